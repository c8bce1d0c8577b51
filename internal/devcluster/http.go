package devcluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

type hostKey struct{}

// withHost keeps the host that a request was sent to: agents are told to connect to where they have reached us already.
func withHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), hostKey{}, scheme+r.Host)))
	})
}

// agentEndpoints gives where the caller, an agent, shall connect to.
func agentEndpoints(ctx context.Context) (acs, telemetry string) {
	host, _ := ctx.Value(hostKey{}).(string)
	return host + "/acs", host + "/tcs"
}

// newErrorLog makes net/http say what it has to say at debug level: broken connections are clients' affairs.
func newErrorLog(l *slog.Logger) *log.Logger {
	return slog.NewLogLogger(l.Handler(), slog.LevelDebug)
}

// serveUntil answers requests until ctx ends; those under way then have five seconds more.
func serveUntil(ctx context.Context, srv *http.Server, l net.Listener) error {
	var unused newConns
	srv.ConnState = unused.track
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	unused.end()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off: %w", err), srv.Close())
	}
	return nil
}

// newConns are the connections on which nothing was asked yet. Clients make some to have them, and Shutdown waits for
// those for five seconds.
type newConns struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	over  bool
}

// track is an http.Server's ConnState.
func (n *newConns) track(c net.Conn, s http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case s != http.StateNew:
		delete(n.conns, c)
	case n.over:
		_ = c.Close() // nobody has used it
	default:
		if n.conns == nil {
			n.conns = map[net.Conn]bool{}
		}
		n.conns[c] = true
	}
}

// end closes them, and those that come.
func (n *newConns) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	for c := range n.conns {
		_ = c.Close() // nobody has used it
	}
}

// health answers as soon as the API does.
func health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ready"}` + "\n")) // a caller that is gone needs no answer
}
