package devcluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// openAdmin listens on the admin address, which is for who runs the process and never for its users: it answers without a
// signature. So it must be on loopback.
func openAdmin(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("--admin %s: say an IP address of loopback, for whoever reaches it needs no key", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w (say another --admin HOST:PORT)", err)
	}
	return l, nil
}

// admin answers on it: net/http/pprof's pages.
func admin(l net.Listener, log *slog.Logger) part {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: newErrorLog(log)}
	return part{"admin", func(ctx context.Context) error { return serveUntil(ctx, srv, l) }}
}
