package ecsapi

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roadstead.dev/roadstead/internal/fault"
)

// How often one agent's key may call, in calls a second and at once. AWS allows an account's agents together 120 and 200 reports,
// and so an agent that keeps to that is never refused; agents try again after a ThrottlingException.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
const (
	reportRate, reportBurst             = 120, 400
	registrationRate, registrationBurst = 1, 60
)

// throttles bound what agents ask for, by their keys. Users' keys are not bound.
type throttles struct {
	mu sync.Mutex
	of map[throttled]*rate.Limiter
	// swept is when those were dropped last that nobody uses.
	swept time.Time
}

// agentCall is a kind of call that agents make.
type agentCall int

const (
	callReport agentCall = iota
	callRegistration
)

// throttled is an agent's calls of a kind.
type throttled struct {
	key  string
	call agentCall
}

// sweepEvery is longer than any of the limits takes to be full again.
const sweepEvery = 5 * time.Minute

// allowed refuses a call of an agent's that comes too often.
func (a *API) allowed(ctx context.Context, call agentCall) error {
	key := a.Agent(ctx)
	if key == "" || a.throttles.allow(throttled{key, call}, a.Now()) {
		return nil
	}
	return fault.New(fault.Throttling, "Rate exceeded")
}

func (t *throttles) allow(what throttled, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.swept) > sweepEvery {
		t.swept = now
		for k, l := range t.of {
			if l.TokensAt(now) >= float64(l.Burst()) {
				delete(t.of, k)
			}
		}
	}
	l := t.of[what]
	if l == nil {
		l = rate.NewLimiter(reportRate, reportBurst)
		if what.call == callRegistration {
			l = rate.NewLimiter(registrationRate, registrationBurst)
		}
		if t.of == nil {
			t.of = map[throttled]*rate.Limiter{}
		}
		t.of[what] = l
	}
	return l.AllowN(now, 1)
}
