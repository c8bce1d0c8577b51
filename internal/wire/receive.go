package wire

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

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
	if err := x.s.bodies.Acquire(x.r.Context(), want); err != nil {
		return nil, err
	}
	x.held = want
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
	z, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		return nil, fault.New(kindSerialization, "The request body is not valid gzip.")
	}
	out, err := io.ReadAll(io.LimitReader(z, x.s.cfg.MaxBody+1))
	if err != nil {
		return nil, fault.New(kindSerialization, "The request body is not valid gzip.")
	}
	if int64(len(out)) > x.s.cfg.MaxBody {
		return nil, x.tooLarge()
	}
	return out, nil
}

func hashOf(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}
