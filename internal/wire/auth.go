package wire

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire/sigv4"
)

// maxSkew is how far a client's clock may be off.
const maxSkew = 5 * time.Minute

// The words of AWS's front door, which people search for.
const (
	textNoToken       = "Missing Authentication Token"
	textUnknownKey    = "The security token included in the request is invalid."
	textExpiredKey    = "The security token included in the request is expired"
	textBadSignature  = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textValidRegion   = "Credential should be scoped to a valid region, not '%s'. "
	textRightService  = "Credential should be scoped to correct service: '%s'. "
	textDateMismatch  = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'."
	textNotSigned     = "'%s' must be a 'SignedHeader' in the AWS Authorization."
	textPayloadDiffer = "The value of the X-Amz-Content-Sha256 header does not match the request body."
)

// claimCheck is a signature whose claim is acceptable if the signature is right.
type claimCheck struct {
	claim *sigv4.Claim
	key   Key
}

// Authenticate checks a request's signature for a service, by the service's signing name, and whether its signer may call the
// operation, and tells who it is. body is the whole body as it was sent. It is for what the SDKs know no operation for, such as
// an agent's websocket. The error is a *fault.Error.
func (s *Server) Authenticate(r *http.Request, service, operation string, body []byte) (Caller, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Caller{}, fault.New(kindIncomplete, "The query string contains a syntax error.")
	}
	claim, cerr := sigv4.Parse(r, query)
	c, err := s.checkClaim(r, claim, cerr, service)
	if err != nil {
		return Caller{}, err
	}
	if err := c.verify(r, query, body); err != nil {
		return Caller{}, err
	}
	if s.cfg.Authorize != nil {
		if err := s.cfg.Authorize(c.key.Caller, service, operation); err != nil {
			return Caller{}, err
		}
	}
	return c.key.Caller, nil
}

// checkClaim checks everything but the signature itself: none of it needs the body.
func (s *Server) checkClaim(r *http.Request, c *sigv4.Claim, cerr error, service string) (*claimCheck, error) {
	var inc *sigv4.IncompleteError
	switch {
	case errors.Is(cerr, sigv4.ErrMissing):
		return nil, fault.New(kindMissingToken, textNoToken)
	case errors.As(cerr, &inc):
		return nil, fault.New(kindIncomplete, "%s", inc.Message)
	case cerr != nil:
		return nil, cerr
	}
	if err := checkScope(c, s.cfg.Region, service); err != nil {
		return nil, err
	}
	if err := checkHeaders(r, c); err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if err := checkTime(c, now); err != nil {
		return nil, err
	}
	key, err := s.cfg.Keys.Key(r.Context(), c.AccessKeyID, c.SessionToken)
	switch {
	case fault.Is(err, fault.ResourceNotFound):
		return nil, fault.New(kindUnrecognized, textUnknownKey)
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare([]byte(key.SessionToken), []byte(c.SessionToken)) != 1:
		return nil, fault.New(kindUnrecognized, textUnknownKey)
	case !key.Expires.IsZero() && !now.Before(key.Expires):
		return nil, fault.New(kindExpiredToken, textExpiredKey)
	}
	return &claimCheck{claim: c, key: key}, nil
}

func checkScope(c *sigv4.Claim, region, service string) error {
	switch {
	case c.Region != region && !globalRegion(c):
		return fault.New(kindBadSignature, textValidRegion, clipped(strings.ToValidUTF8(c.Region, "?")))
	case service == "":
		return fault.New(kindUnknownOp, "No service here is called '%s', which the request is signed for.", clipped(strings.ToValidUTF8(c.Service, "?")))
	case c.Service != service:
		return fault.New(kindBadSignature, textRightService, service)
	case c.Date != c.Time.Format("20060102"):
		return fault.New(kindBadSignature, textDateMismatch, clipped(strings.ToValidUTF8(c.Date, "?")), c.Time.Format("20060102"), c.Time.Format(sigv4.TimeFormat))
	}
	return nil
}

// globalRegion is for the services that AWS has once for all regions: their clients sign for us-east-1 wherever they are.
func globalRegion(c *sigv4.Claim) bool {
	return c.Region == "us-east-1" && (c.Service == "iam" || c.Service == "sts")
}

// checkHeaders refuses a signature that doesn't cover what decides the request's meaning.
func checkHeaders(r *http.Request, c *sigv4.Claim) error {
	if !c.Signs("host") {
		return fault.New(kindBadSignature, textNotSigned, "Host")
	}
	for _, h := range []string{"X-Amz-Target", "X-Amz-Date", "X-Amz-Security-Token"} {
		if r.Header.Get(h) != "" && !c.Signs(strings.ToLower(h)) {
			return fault.New(kindBadSignature, textNotSigned, h)
		}
	}
	return nil
}

// checkTime holds the signature's time against the clock.
func checkTime(c *sigv4.Claim, now time.Time) error {
	const f = sigv4.TimeFormat
	now = now.UTC()
	if c.Time.After(now.Add(maxSkew)) {
		return fault.New(kindBadSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			c.Time.Format(f), now.Add(maxSkew).Format(f), now.Format(f))
	}
	if c.Presigned {
		if now.After(c.Time.Add(c.Expires)) {
			return fault.New(kindRequestExpired, "Request has expired. It was good until %s; it is now %s.", c.Time.Add(c.Expires).Format(f), now.Format(f))
		}
		return nil
	}
	if c.Time.Before(now.Add(-maxSkew)) {
		return fault.New(kindBadSignature, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			c.Time.Format(f), now.Add(-maxSkew).Format(f), now.Format(f))
	}
	return nil
}

// verify checks the signature over the whole request.
func (c *claimCheck) verify(r *http.Request, query url.Values, body []byte) error {
	if c.key.Unchecked {
		return nil
	}
	payload := hashOf(body)
	switch sent := r.Header.Get("X-Amz-Content-Sha256"); {
	case sent == "" || sent == payload:
	case sent == sigv4.UnsignedPayload:
		payload = sent
	case strings.HasPrefix(sent, "STREAMING-"):
		return fault.New(kindBadSignature, "The payload form %s is not supported.", clipped(sent))
	default:
		return fault.New(kindBadSignature, textPayloadDiffer)
	}
	if !c.claim.Verify(r, query, payload, c.key.Secret) {
		return fault.New(kindBadSignature, textBadSignature)
	}
	return nil
}
