package images

import (
	"context"
	"sync"
	"sync/atomic"
)

// flights are the pulls under way. Those who want the same wait for the same pull; it ends when the last of them has lost
// interest.
type flights struct {
	mu   sync.Mutex
	by   map[flightKey]*flight
	done sync.WaitGroup
}

// flightKey tells which pulls are one: those of a name in the same way, by the same credentials, since what one caller may
// have another may not.
type flightKey struct {
	name               string
	username, password string
	fallback           bool
}

type flight struct {
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	waiters int
	meter   meter
	// entry and err are there once done is closed.
	entry *entry
	err   error
}

// meter counts a pull's bytes.
type meter struct{ have, total atomic.Int64 }

// join gives the flight for a key, and starts one with run if there is none. The caller must leave it.
func (f *flights) join(base context.Context, key flightKey, run func(context.Context, *meter) (*entry, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.by[key]; fl != nil {
		fl.waiters++
		return fl
	}
	fl := &flight{done: make(chan struct{}), waiters: 1}
	fl.ctx, fl.cancel = context.WithCancel(base)
	if f.by == nil {
		f.by = map[flightKey]*flight{}
	}
	f.by[key] = fl
	f.done.Go(func() {
		fl.entry, fl.err = run(fl.ctx, &fl.meter)
		fl.cancel()
		f.forget(key, fl)
		close(fl.done)
	})
	return fl
}

func (f *flights) forget(key flightKey, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[key] == fl {
		delete(f.by, key)
	}
}

// leave ends a caller's interest. Whoever comes after the last has left starts anew.
func (f *flights) leave(key flightKey, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiters--; fl.waiters == 0 {
		fl.cancel()
		if f.by[key] == fl {
			delete(f.by, key)
		}
	}
}

// wait waits for all that were started.
func (f *flights) wait() { f.done.Wait() }
