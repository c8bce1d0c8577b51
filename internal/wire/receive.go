package wire

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire/sigv4"
)

// receive checks all that can be checked before the body, reads the body within its bounds, verifies the signature over it and
// undoes its compression. Only then is anything of it parsed.
func (x *exchange) receive() ([]byte, error) {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		x.route.config = guess(x.r, nil)
		return nil, fault.New("MalformedQueryString", "The query string contains a syntax error.")
	}
	x.query = query
	claim, cerr := sigv4.Parse(x.r, query)
	if cerr != nil {
		claim = nil
	}
	if err := x.findRoute(claim); err != nil {
		return nil, x.drained(err)
	}
	if x.r.URL.Path != "/" && x.r.URL.Path != "" {
		x.route.status = http.StatusNotFound
		return nil, x.drained(fault.New(kindUnknownOp, "There is nothing at this path."))
	}
	if errors.Is(cerr, sigv4.ErrMissing) && x.s.takesUnsigned() {
		if body, ok, err := x.unsigned(); ok || err != nil {
			return body, err
		}
	}
	check, err := x.s.checkClaim(x.r, claim, cerr, x.route.signingName())
	if err != nil {
		return nil, x.drained(err)
	}
	body, err := x.readBody()
	if err != nil {
		return nil, err
	}
	if err := check.verify(x.r, query, body); err != nil {
		return nil, err
	}
	x.caller = check.key.Caller
	if body, err = x.decompress(body); err != nil {
		return nil, err
	}
	return body, x.finishRoute(body)
}

// maxUnsigned bounds the body of a request that nobody has signed, in bytes.
const maxUnsigned = 128 << 10

// takesUnsigned tells whether any operation here can be called unsigned.
func (s *Server) takesUnsigned() bool {
	for _, svc := range s.cfg.Services {
		if len(svc.cfg.Unsigned) > 0 {
			return true
		}
	}
	return false
}

// unsigned reads a request that carries no signature and tells whether it calls an operation that needs none.
func (x *exchange) unsigned() ([]byte, bool, error) {
	if x.r.Header.Get("X-Amz-Target") != "" || !isForm(x.r) || x.r.ContentLength > maxUnsigned {
		return nil, false, nil
	}
	body, err := io.ReadAll(io.LimitReader(x.r.Body, maxUnsigned))
	x.bytesIn += int64(len(body))
	if err != nil {
		return nil, false, fault.Wrap(err, kindSerialization, "The request body ended before it was complete.")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, false, nil //nolint:nilerr // unsigned and unreadable: what it lacks first is the signature
	}
	svc := x.s.byAction(form.Get("Version"), form.Get("Action"), nil)
	if svc == nil || !slices.Contains(svc.cfg.Unsigned, form.Get("Action")) {
		return nil, false, nil
	}
	x.route.service, x.route.config = svc, svc.cfg
	x.route.op, x.route.form = form.Get("Action"), form
	return body, true, nil
}

// signingName is what a signature's scope must name; empty when no service is known.
func (r *route) signingName() string {
	if r.service == nil {
		return ""
	}
	return r.service.cfg.SigningName
}

// drained reads what is left of the body, within bounds, so that a client that is still writing comes to read the answer.
func (x *exchange) drained(err error) error {
	n, _ := io.CopyN(io.Discard, x.r.Body, 4*x.s.cfg.MaxBody) // how it ends doesn't matter: the answer is an error anyway
	x.bytesIn += n
	return err
}

// smallBody is the size, in bytes, up to which a body is not counted against Config.MaxBodies: ordinary requests never wait
// for large ones.
const smallBody = 64 << 10

// bodyTimeout bounds how long a larger body may take to arrive.
const bodyTimeout = time.Minute

// readBody reads the body whole, at most MaxBody bytes.
func (x *exchange) readBody() ([]byte, error) {
	limit := x.s.cfg.MaxBody
	if x.r.ContentLength > limit {
		return nil, x.drained(x.tooLarge())
	}
	want := limit
	if x.r.ContentLength >= 0 && x.r.Header.Get("Content-Encoding") == "" {
		want = x.r.ContentLength
	}
	if want > smallBody {
		if err := x.s.bodies.Acquire(x.r.Context(), want); err != nil {
			return nil, err
		}
		x.held = want
		// Who takes of the common memory must not sit on it. A writer without deadlines (a test's) has no slow clients either.
		rc := http.NewResponseController(x.w)
		_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
		defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	}
	body := make([]byte, 0, max(x.r.ContentLength, 0)+512)
	for {
		n, err := x.r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		x.bytesIn += int64(n)
		switch {
		case int64(len(body)) > limit:
			return nil, x.drained(x.tooLarge())
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			if x.r.Context().Err() != nil {
				return nil, x.r.Context().Err()
			}
			return nil, fault.Wrap(err, kindSerialization, "The request body ended before it was complete.")
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

func (x *exchange) tooLarge() error {
	return fault.New(kindTooLarge, "The request body is larger than %d bytes.", x.s.cfg.MaxBody)
}

// release gives back what readBody took of the server's memory.
func (x *exchange) release() {
	if x.held > 0 {
		x.s.bodies.Release(x.held)
		x.held = 0
	}
}

// decompress undoes Content-Encoding: gzip, which SDKs use for large requests of some operations (PutLogEvents). The signature
// is over the compressed bytes; the limit holds for both forms.
func (x *exchange) decompress(body []byte) ([]byte, error) {
	switch enc := strings.ToLower(strings.TrimSpace(x.r.Header.Get("Content-Encoding"))); enc {
	case "", "identity", "amz-1.0": // amz-1.0 is what Java's old clients always send
		return body, nil
	case "gzip":
	default:
		return nil, fault.New(kindSerialization, "The content encoding %s is not supported.", clipped(strings.ToValidUTF8(enc, "?")))
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(kindSerialization, "The request body is not valid gzip.")
	}
	out, err := io.ReadAll(io.LimitReader(z, x.s.cfg.MaxBody+1))
	switch {
	case int64(len(out)) > x.s.cfg.MaxBody:
		return nil, x.tooLarge()
	case err != nil:
		return nil, fault.New(kindSerialization, "The request body is not valid gzip.")
	}
	return out, nil
}

func hashOf(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}
