// Package sigv4 checks AWS Signature Version 4: it reads what a request claims (Parse) and recomputes what it must then have
// been signed with (Claim.Verify). It holds no keys and no clock; package wire decides which key and which time.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Algorithm is the only one that is accepted; SigV4A (asymmetric) and SigV2 are not.
const Algorithm = "AWS4-HMAC-SHA256"

// TimeFormat is the form of X-Amz-Date.
const TimeFormat = "20060102T150405Z"

// UnsignedPayload stands in X-Amz-Content-Sha256 for a body that the signature doesn't cover.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// MaxPresign is the longest life that a presigned URL can ask for.
const MaxPresign = 7 * 24 * time.Hour

// ErrMissing says that the request carries no signature at all.
var ErrMissing = errors.New("sigv4: the request is not signed")

// IncompleteError says that the request's signature can't be read; its text is AWS's own and meant for the caller.
type IncompleteError struct{ Message string }

func (e *IncompleteError) Error() string { return e.Message }

func incomplete(format string, args ...any) error {
	return &IncompleteError{Message: fmt.Sprintf(format, args...)}
}

// Claim is what a signed request says of itself. Nothing of it is true before Verify.
type Claim struct {
	AccessKeyID string
	// Date is the scope's day, YYYYMMDD; Time the full timestamp that was signed.
	Date, Region, Service string
	Time                  time.Time
	// Expires is how long after Time a presigned request is good; zero for one signed in its headers.
	Expires       time.Duration
	Presigned     bool
	SessionToken  string
	SignedHeaders []string
	signature     []byte
}

// Scope is the credential scope without the key id.
func (c *Claim) Scope() string {
	return c.Date + "/" + c.Region + "/" + c.Service + "/aws4_request"
}

// Parse reads the signature from the Authorization header or, for a presigned request, from the query string. The error is
// ErrMissing or an *IncompleteError.
func Parse(r *http.Request, query url.Values) (*Claim, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		return parseHeader(r, h)
	}
	if query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature") {
		return parseQuery(query)
	}
	return nil, ErrMissing
}

func parseHeader(r *http.Request, h string) (*Claim, error) {
	algorithm, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
	if algorithm != Algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%s'", clip(algorithm))
	}
	parts := map[string]string{}
	for _, kv := range strings.FieldsFunc(rest, func(c rune) bool { return c == ',' || c == ' ' }) {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, incomplete("'%s' not a valid key=value pair (missing equal-sign) in Authorization header.", clip(kv))
		}
		parts[k] = v
	}
	for _, k := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[k] == "" {
			return nil, incomplete("Authorization header requires '%s' parameter.", k)
		}
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		// A plain Date header is allowed in place of X-Amz-Date.
		if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			date = t.UTC().Format(TimeFormat)
		}
	}
	if date == "" {
		return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	c := &Claim{SessionToken: r.Header.Get("X-Amz-Security-Token")}
	return c, c.fill(parts["Credential"], parts["SignedHeaders"], parts["Signature"], date)
}

func parseQuery(q url.Values) (*Claim, error) {
	if a := q.Get("X-Amz-Algorithm"); a != Algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%s'", clip(a))
	}
	for _, k := range []string{"X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Date"} {
		if q.Get(k) == "" {
			return nil, incomplete("AWS query-string parameters must include '%s'.", k)
		}
	}
	c := &Claim{Presigned: true, SessionToken: q.Get("X-Amz-Security-Token"), Expires: 15 * time.Minute}
	if e := q.Get("X-Amz-Expires"); e != "" {
		n, err := strconv.ParseInt(e, 10, 64)
		if err != nil || n < 0 || n > int64(MaxPresign/time.Second) {
			return nil, incomplete("X-Amz-Expires must be a number of seconds between 0 and %d", int64(MaxPresign/time.Second))
		}
		c.Expires = time.Duration(n) * time.Second
	}
	return c, c.fill(q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Signature"), q.Get("X-Amz-Date"))
}

func (c *Claim) fill(credential, headers, signature, date string) error {
	// An access key id holds no slash, so five parts are exact.
	cred := strings.Split(credential, "/")
	if len(cred) != 5 || cred[0] == "" {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", clip(credential))
	}
	c.AccessKeyID, c.Date, c.Region, c.Service = cred[0], cred[1], cred[2], cred[3]
	if cred[4] != "aws4_request" {
		return incomplete("Credential should be scoped with a valid terminator: 'aws4_request', not '%s'.", clip(cred[4]))
	}
	t, err := time.Parse(TimeFormat, date)
	if err != nil {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", clip(date))
	}
	c.Time = t
	c.SignedHeaders = strings.Split(headers, ";")
	if c.signature, err = hex.DecodeString(signature); err != nil || len(c.signature) != sha256.Size {
		return incomplete("Signature must be %d hexadecimal digits.", 2*sha256.Size)
	}
	return nil
}

// Signs tells whether a header, named in lower case, is covered by the signature.
func (c *Claim) Signs(header string) bool {
	for _, h := range c.SignedHeaders {
		if h == header {
			return true
		}
	}
	return false
}

// Verify tells whether the request was signed with secret. payload is what the canonical request ends in: the hex SHA-256 of
// the body, or UnsignedPayload. The comparison takes the same time wherever the signatures differ.
func (c *Claim) Verify(r *http.Request, query url.Values, payload, secret string) bool {
	canonical := sha256.Sum256(c.canonical(r, query, payload))
	toSign := Algorithm + "\n" + c.Time.Format(TimeFormat) + "\n" + c.Scope() + "\n" + hex.EncodeToString(canonical[:])
	key := mac([]byte("AWS4"+secret), c.Date)
	key = mac(key, c.Region)
	key = mac(key, c.Service)
	key = mac(key, "aws4_request")
	return hmac.Equal(mac(key, toSign), c.signature)
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func (c *Claim) canonical(r *http.Request, query url.Values, payload string) []byte {
	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	// Every service but S3 escapes the escaped path once more.
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b = appendEscaped(b, path, true)
	b = append(b, '\n')
	b = appendQuery(b, query, c.Presigned)
	b = append(b, '\n')
	for _, h := range c.SignedHeaders {
		b = append(b, h...)
		b = append(b, ':')
		b = appendHeader(b, r, h)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, strings.Join(c.SignedHeaders, ";")...)
	b = append(b, '\n')
	return append(b, payload...)
}

// appendHeader gives a header's values joined by commas, with runs of blanks made one.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	var values []string
	switch name {
	case "host":
		values = []string{r.Host}
	case "content-length":
		if values = r.Header.Values(name); len(values) == 0 && r.ContentLength >= 0 {
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
	case "transfer-encoding":
		values = r.TransferEncoding
	default:
		values = r.Header.Values(name)
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, strings.Join(strings.Fields(v), " ")...)
	}
	return b
}

// appendQuery writes the parameters in the order of their names, and of their values under one name, as they are encoded:
// "-" comes after "%2F" but before "/".
func appendQuery(b []byte, query url.Values, presigned bool) []byte {
	type pair struct{ name, value string }
	var pairs []pair
	for k, vs := range query {
		if presigned && k == "X-Amz-Signature" {
			continue
		}
		for _, v := range vs {
			pairs = append(pairs, pair{escaped(k), escaped(v)})
		}
	}
	slices.SortFunc(pairs, func(x, y pair) int {
		return cmp.Or(strings.Compare(x.name, y.name), strings.Compare(x.value, y.value))
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}

func escaped(s string) string { return string(appendEscaped(nil, s, false)) }

// appendEscaped percent-encodes all but RFC 3986's unreserved characters, and '/' where a path keeps it.
func appendEscaped(b []byte, s string, path bool) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case 'A' <= ch && ch <= 'Z', 'a' <= ch && ch <= 'z', '0' <= ch && ch <= '9',
			ch == '-', ch == '_', ch == '.', ch == '~', path && ch == '/':
			b = append(b, ch)
		default:
			b = append(b, '%', hexDigits[ch>>4], hexDigits[ch&15])
		}
	}
	return b
}

// clip keeps what a caller sent from filling an error message.
func clip(s string) string {
	if len(s) > 128 {
		s = s[:128] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
