package devcluster

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

const (
	// relayHeader is how servers of one installation know each other's requests: its value is a secret of theirs.
	relayHeader = "X-Roadstead-Relay"
	// relayPatience is how long a request waits for there to be a leader: a lease's time, an election and the reading of the state.
	relayPatience = 20 * time.Second
)

// relay is the handler of a server that may lead or not: while it leads it answers itself, and otherwise it hands requests, agents'
// connections included, on to the server that leads. So clients and agents may use the address of any server of an installation.
type relay struct {
	secret    string
	transport http.RoundTripper
	log       *slog.Logger

	mu  sync.Mutex
	own http.Handler
	// leading tells whether own may answer; it is set with own.
	leading func() bool
	// leader is the server that leads; nil while none is known.
	leader *url.URL
	// changed is closed and replaced when own or leader is another.
	changed chan struct{}
}

// newRelay makes a relay that trusts leaders' certificates of a CA, beside those that the machine trusts.
func newRelay(secret string, ca *x509.Certificate, log *slog.Logger) (*relay, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	roots.AddCert(ca)
	// HTTP/1.1 alone: agents' websockets go over it.
	return &relay{secret: secret, log: log, changed: make(chan struct{}), transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 5 * time.Second}).DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, DisableCompression: true,
	}}, nil
}

// follow notes where the server is that leads; "" is not known.
func (r *relay) follow(leader string) {
	u, err := url.Parse(leader)
	if leader == "" || err != nil {
		u = nil
	}
	r.change(func() { r.leader = u })
	r.log.Info("another server leads: requests are handed on to it", "leader", leader)
}

// lead has the relay answer itself, as long as leading says so.
func (r *relay) lead(own http.Handler, leading func() bool) {
	r.change(func() { r.own, r.leading, r.leader = own, leading, nil })
}

func (r *relay) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// answers waits until somebody can answer, and gives who: this server, or another.
func (r *relay) answers(ctx context.Context) (own http.Handler, leader *url.URL, err error) {
	for {
		r.mu.Lock()
		own, leading, leader, changed := r.own, r.leading, r.leader, r.changed
		r.mu.Unlock()
		// One that has lost the leadership and knows of no other one says so itself.
		if own != nil && (leader == nil || leading()) {
			return own, nil, nil
		}
		if leader != nil {
			return nil, leader, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// ready waits until requests are answered.
func (r *relay) ready(ctx context.Context) error {
	_, _, err := r.answers(ctx)
	return err
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	relayed := subtle.ConstantTimeCompare([]byte(req.Header.Get(relayHeader)), []byte(r.secret)) == 1
	if from := req.Header.Get("X-Forwarded-For"); relayed && from != "" {
		req.RemoteAddr = net.JoinHostPort(from, "0")
	}
	req.Header.Del(relayHeader)
	waiting, cancel := context.WithTimeout(req.Context(), relayPatience)
	defer cancel()
	for {
		own, leader, err := r.answers(waiting)
		switch {
		case err != nil || leader != nil && relayed: // which would go round in circles
			unavailable(w)
			return
		case own != nil:
			own.ServeHTTP(w, req)
			return
		}
		err = r.forward(w, req, leader)
		if err == nil {
			return
		}
		r.log.Debug("the leader was not reached", "leader", leader.String(), "err", err)
		// Nothing of the request was sent: whoever leads next can have it.
		select {
		case <-time.After(50 * time.Millisecond):
		case <-waiting.Done():
			unavailable(w)
			return
		}
	}
}

// forward has the leader answer. Its error says that the leader was not reached, and that nothing was read or written.
func (r *relay) forward(w http.ResponseWriter, req *http.Request, leader *url.URL) (unreached error) {
	in := req.WithContext(req.Context())
	if req.Body != nil {
		in.Body = io.NopCloser(req.Body) // A transport that does not reach anybody closes the body.
	}
	from, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		from = req.RemoteAddr
	}
	proxy := httputil.ReverseProxy{
		Transport: r.transport, FlushInterval: -1, ErrorLog: newErrorLog(r.log),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(leader)
			p.Out.Host = p.In.Host // It is signed, and where agents are told to connect to.
			p.Out.Header.Set(relayHeader, r.secret)
			p.Out.Header.Set("X-Forwarded-For", from)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
				unreached = err
				return
			}
			r.log.Debug("a request was cut off on its way to the leader", "err", err)
			unavailable(w)
		},
	}
	proxy.ServeHTTP(w, in)
	return unreached
}

// unavailable is an answer after which AWS's clients try again.
func unavailable(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", "ServiceUnavailableException")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"__type":"ServiceUnavailableException","message":"No server leads the control plane at the moment. Try again."}`) // a caller that is gone needs no answer
}
