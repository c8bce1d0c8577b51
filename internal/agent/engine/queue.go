package engine

import (
	"context"
	"sync"
)

// queue hands work to a few workers in the order it came. It has no bound: what is in it is bounded by the tasks there are.
type queue struct {
	mu    sync.Mutex
	work  []func()
	ready chan struct{}
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// push adds work. It never blocks.
func (q *queue) push(f func()) {
	q.mu.Lock()
	q.work = append(q.work, f)
	q.mu.Unlock()
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop takes the oldest work; more says that there is some left.
func (q *queue) pop() (f func(), more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.work) == 0 {
		return nil, false
	}
	f, q.work[0] = q.work[0], nil
	if q.work = q.work[1:]; len(q.work) == 0 {
		q.work = nil
	}
	return f, len(q.work) > 0
}

// run is one worker; it returns when ctx ends and its present work is done.
func (q *queue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.ready:
		}
		for ctx.Err() == nil {
			f, more := q.pop()
			if more {
				q.wake()
			}
			if f == nil {
				break
			}
			f()
		}
	}
}
