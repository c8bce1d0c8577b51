package loop

import "sync"

// Large tells when a controller applies large plans, so that others can leave it the processors for a moment. The zero value is ready.
type Large struct {
	mu    sync.Mutex
	plans int
	over  chan struct{}
}

// large is how many changes make a plan large.
const large = 4

// apply notes a plan of so many changes that is applied until done is called.
func (l *Large) apply(changes int) (done func()) {
	if l == nil || changes < large {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plans++; l.plans == 1 {
		l.over = make(chan struct{})
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.plans--; l.plans == 0 {
			close(l.over)
		}
	}
}

// Applying is nil while no large plan is applied, and else closed when none is any more. Safe for concurrent use.
func (l *Large) Applying() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plans == 0 {
		return nil
	}
	return l.over
}
