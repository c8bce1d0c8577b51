package agent

import (
	"math/rand/v2"
	"time"
)

// The waits between connections, as the stock agent has them.
const (
	backoffFirst  = 250 * time.Millisecond
	backoffMost   = 2 * time.Minute
	backoffFactor = 1.5
	backoffJitter = 0.2
	// goodWhile is how long a session must have held for the next wait to be the first again.
	goodWhile = time.Minute
	// inactiveWait is how long an instance that was deregistered stays away.
	inactiveWait = time.Hour
)

// backoff gives growing waits. The zero value begins at the first.
type backoff struct{ base time.Duration }

// next gives the wait before the next try, and makes the one after it longer.
func (b *backoff) next() time.Duration {
	if b.base == 0 {
		b.base = backoffFirst
	}
	wait := float64(b.base) * (1 - backoffJitter + 2*backoffJitter*rand.Float64())
	b.base = min(time.Duration(float64(b.base)*backoffFactor), backoffMost)
	return time.Duration(wait)
}

func (b *backoff) reset() { b.base = 0 }
