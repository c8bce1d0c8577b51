package wire

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire/sigv4"
)

// route is where a request goes, and in which protocol it is answered, even when it goes nowhere.
type route struct {
	service *Service
	// config is the service's, or a bare one that has only the protocol for an error's form.
	config ServiceConfig
	op     string
	form   url.Values // of a Query request: URL and body together
	status int        // of an unknown operation, when it isn't 400
}

// guess picks the protocol of an error for a request that no service is known of.
func guess(r *http.Request, query url.Values) ServiceConfig {
	if isForm(r) || query.Has("Action") {
		return ServiceConfig{Protocol: Query, Internal: kindInternalFailure}
	}
	p := JSON11
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-amz-json-1.0") {
		p = JSON10
	}
	return ServiceConfig{Protocol: p, Internal: kindInternalFailure}
}

func isForm(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == "application/x-www-form-urlencoded"
}

// findRoute finds the service by what needs no body: X-Amz-Target, or else the service that the signature names. The operation
// of a Query request is known once the body is read (see finishRoute).
func (x *exchange) findRoute(claim *sigv4.Claim) error {
	x.route.config = guess(x.r, x.query)
	if target := x.r.Header.Get("X-Amz-Target"); target != "" {
		prefix, op, _ := strings.Cut(target, ".")
		svc := x.s.byTarget[prefix]
		if svc == nil {
			if claim != nil && len(x.s.bySigning[claim.Service]) > 0 {
				x.route.config = x.s.bySigning[claim.Service][0].cfg
			}
			return fault.New(kindUnknownOp, "No service here has the target %s.", clipped(strings.ToValidUTF8(target, "?")))
		}
		x.route.service, x.route.config, x.route.op = svc, svc.cfg, op
		return nil
	}
	if claim != nil {
		if all := x.s.bySigning[claim.Service]; len(all) > 0 {
			x.route.service, x.route.config = all[0], all[0].cfg
			return nil
		}
		return nil
	}
	// Unsigned: the Action may tell whose form of error the client reads.
	if svc := x.s.byAction(x.query.Get("Version"), x.query.Get("Action"), nil); svc != nil {
		x.route.service, x.route.config = svc, svc.cfg
	}
	return nil
}

// finishRoute finds the operation: in the target for JSON, in the form for Query. Several services may be signed for with one
// name, as the two generations of Elastic Load Balancing are; then the version tells.
func (x *exchange) finishRoute(body []byte) error {
	if x.route.service == nil {
		return fault.New(kindUnknownOp, "No service here answers this request.")
	}
	if x.r.Header.Get("X-Amz-Target") != "" {
		return x.wantPost()
	}
	form := x.query
	if x.r.Method == http.MethodPost && len(body) > 0 && !x.route.config.Protocol.json() {
		b, err := url.ParseQuery(string(body))
		if err != nil {
			return fault.New("MalformedQueryString", "The query string contains a syntax error.")
		}
		for k, v := range x.query {
			if _, ok := b[k]; !ok {
				b[k] = v
			}
		}
		form = b
	}
	x.route.form, x.route.op = form, form.Get("Action")
	svc := x.s.byAction(form.Get("Version"), x.route.op, x.s.bySigning[x.route.config.SigningName])
	switch {
	case svc != nil:
		x.route.service, x.route.config = svc, svc.cfg
	case x.route.config.Protocol.json():
		return fault.New(kindUnknownOp, "The request has no X-Amz-Target header.")
	case x.route.op == "":
		return fault.New("MissingAction", "The request is missing an action or a required parameter.")
	}
	if svc == nil && x.r.Method != http.MethodPost && x.r.Method != http.MethodGet {
		return x.wantPost()
	}
	return nil
}

func (x *exchange) wantPost() error {
	if x.r.Method != http.MethodPost {
		return fault.New(kindUnknownOp, "The method %s is not allowed here.", clipped(strings.ToValidUTF8(x.r.Method, "?")))
	}
	return nil
}

// byAction finds the Query service, among some or all (nil), that has an operation; the version decides between several.
func (s *Server) byAction(version, action string, among []*Service) *Service {
	if action == "" {
		return nil
	}
	if among == nil {
		among = s.cfg.Services
	}
	var found *Service
	for _, svc := range among {
		if svc.cfg.Protocol.json() {
			continue
		}
		if _, ok := svc.operations[action]; !ok {
			continue
		}
		if svc.cfg.APIVersion == version {
			return svc
		}
		if found == nil {
			found = svc
		}
	}
	return found
}
