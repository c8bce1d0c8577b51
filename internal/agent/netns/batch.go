package netns

import "sync"

// batcher makes callers who come while work is on its way share the next round of it. Some changes to the kernel cost the
// same for one thing as for a hundred: a transaction of nftables, the removal of interfaces (which waits until no
// processor can see them any more), a walk through the tracked connections.
type batcher[T any] struct {
	// run does the work of a round; it returns one error for each item, or nil.
	run func([]T) []error

	mu      sync.Mutex // guards what follows
	busy    bool
	waiting []*batched[T]
}

type batched[T any] struct {
	item T
	done chan error
	// lead is closed when the waiting caller is to run the next round.
	lead chan struct{}
}

// do has the item's work done and returns how it went. One of the callers of each round runs it, so that there is no
// goroutine to end.
func (b *batcher[T]) do(item T) error {
	mine := &batched[T]{item: item, done: make(chan error, 1), lead: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, mine)
	leading := !b.busy
	b.busy = true
	b.mu.Unlock()
	if !leading {
		select {
		case err := <-mine.done:
			return err
		case <-mine.lead:
		}
	}
	b.round()
	return <-mine.done
}

func (b *batcher[T]) round() {
	b.mu.Lock()
	round := b.waiting
	b.waiting = nil
	b.mu.Unlock()
	items := make([]T, len(round))
	for i, w := range round {
		items[i] = w.item
	}
	errs := b.run(items)
	b.mu.Lock()
	if len(b.waiting) > 0 {
		close(b.waiting[0].lead)
	} else {
		b.busy = false
	}
	b.mu.Unlock()
	for i, w := range round {
		var err error
		if errs != nil {
			err = errs[i]
		}
		w.done <- err
	}
}

// all is one error for each of n items.
func all(n int, err error) []error {
	if err == nil {
		return nil
	}
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
