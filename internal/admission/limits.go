package admission

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// Wrong requests are answered up to failuresAtOnce, and then one every failureEvery, per address.
	failuresAtOnce = 10
	failureEvery   = 6 * time.Second
	// maxAddresses bounds what is remembered of them.
	maxAddresses = 4096
)

// limits slows down who guesses. Addresses that guess don't keep others out.
type limits struct {
	mu sync.Mutex
	of map[string]*rate.Limiter
}

func newLimits() *limits { return &limits{of: map[string]*rate.Limiter{}} }

func (l *limits) get(r *http.Request) *rate.Limiter {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		host = ip.Mask(net.CIDRMask(64, 128)).String() // a network, whoever has one address of it has all
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if found := l.of[host]; found != nil {
		return found
	}
	if len(l.of) >= maxAddresses {
		// Secrets are far too long to be guessed; this is against load alone, so forgetting is harmless.
		clear(l.of)
	}
	made := rate.NewLimiter(rate.Every(failureEvery), failuresAtOnce)
	l.of[host] = made
	return made
}

// blocked tells whether an address has been wrong too often.
func (l *limits) blocked(r *http.Request) bool { return l.get(r).Tokens() < 1 }

// wrong counts a wrong request.
func (l *limits) wrong(r *http.Request) { l.get(r).Allow() }
