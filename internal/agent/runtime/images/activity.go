package images

import (
	"context"
	"sync"
)

// activity keeps the collection of garbage apart from work that makes things which nothing refers to yet: a layer that is
// here already may be about to be used. (Leases protect what is made, not what is found.) Garbage is collected when the
// last of the work ends.
type activity struct {
	mu   sync.Mutex
	cond *sync.Cond
	// busy counts work under way; collecting says that garbage is being collected.
	busy               int
	collecting, wanted bool
	stopped            bool
}

func (a *activity) init() { a.cond = sync.NewCond(&a.mu) }

// begin waits for a collection to end. It is false once the store is closed.
func (a *activity) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.collecting {
		a.cond.Wait()
	}
	a.busy++
	return !a.stopped
}

// end ends what begin began, and has collect run if garbage is to be collected and nothing else is under way.
func (a *activity) end(garbage bool, collect func()) {
	a.mu.Lock()
	a.busy--
	a.wanted = a.wanted || garbage
	if a.busy > 0 || !a.wanted || a.collecting || a.stopped {
		a.cond.Broadcast()
		a.mu.Unlock()
		return
	}
	a.collecting, a.wanted = true, false
	a.mu.Unlock()
	go func() {
		collect()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.collecting = false
		a.cond.Broadcast()
	}()
}

// settle waits for a collection that is under way to end.
func (a *activity) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.collecting {
		a.cond.Wait()
	}
}

// stop waits for all that is under way, and lets nothing new begin.
func (a *activity) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	for a.busy > 0 || a.collecting {
		a.cond.Wait()
	}
}

// work runs f with garbage collection kept away, and has garbage collected afterwards.
func (s *Store) work(ctx context.Context, f func(context.Context) error) error {
	defer s.busy.end(true, s.collect)
	if !s.busy.begin() {
		return errClosed
	}
	ctx, done, err := s.back.lease(ctx)
	if err != nil {
		return err
	}
	defer done()
	return f(ctx)
}

// collect removes what no image refers to. Failing costs disk space, which the next one frees.
func (s *Store) collect() {
	ctx, cancel := s.context(context.Background())
	defer cancel()
	if err := s.dropReplaced(ctx); err != nil {
		s.log.Warn("replaced images are still here", "err", err)
	}
	if err := s.back.collect(ctx); err != nil {
		s.log.Warn("garbage of the image store is still here", "err", err)
	}
}
