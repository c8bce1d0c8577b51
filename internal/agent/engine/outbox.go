package engine

import (
	"sync"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

// batchBytes is about how large a batch of states may grow, well below what a frame may hold.
const batchBytes = 1 << 20

// reporter is something whose state the server is to be told: a task, or one that there is not.
type reporter interface {
	// report gives the state and its version.
	report() (acs.TaskState, uint64)
	// reported says that a version of it is durable at the server.
	reported(version uint64)
}

// outbox holds who has something to report, oldest first, each once: what is reported is the state of the moment it is
// collected, so that a task that changes five times while the server is away is one report when it is back.
type outbox struct {
	mu      sync.Mutex
	waiting []reporter
	queued  map[reporter]bool
	ready   chan struct{}
}

func newOutbox() *outbox {
	return &outbox{queued: map[reporter]bool{}, ready: make(chan struct{}, 1)}
}

func (o *outbox) put(r reporter) {
	o.mu.Lock()
	if !o.queued[r] {
		o.queued[r] = true
		o.waiting = append(o.waiting, r)
	}
	o.mu.Unlock()
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

func (o *outbox) take() reporter {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		return nil
	}
	r := o.waiting[0]
	o.waiting[0] = nil
	o.waiting = o.waiting[1:]
	delete(o.queued, r)
	return r
}

// Batch is states that were collected for one message. Exactly one of Engine's Acknowledge and Resend ends it.
type Batch struct {
	States []acs.TaskState
	marks  []mark
}

type mark struct {
	who     reporter
	version uint64
}

// Changed is ready when there may be something to Collect.
func (e *Engine) Changed() <-chan struct{} { return e.outbox.ready }

// Collect takes what is to be reported, as far as it fits in one message; nil is nothing.
func (e *Engine) Collect() *Batch {
	b := &Batch{}
	for size := 0; size < batchBytes; {
		r := e.outbox.take()
		if r == nil {
			break
		}
		state, version := r.report()
		b.States = append(b.States, state)
		b.marks = append(b.marks, mark{r, version})
		size += sizeOf(&state)
	}
	if len(b.States) == 0 {
		return nil
	}
	e.outbox.wake()
	return b
}

// sizeOf estimates a state's length in a frame, in bytes, on the large side.
func sizeOf(s *acs.TaskState) int {
	n := 300 + len(s.Reason)
	for i := range s.Containers {
		c := &s.Containers[i]
		n += 350 + len(c.Name) + len(c.Reason) + len(c.ImageDigest) + 150*len(c.NetworkBindings)
	}
	return n
}

// Acknowledge says that the server has a batch for good.
func (e *Engine) Acknowledge(b *Batch) {
	for _, m := range b.marks {
		m.who.reported(m.version)
	}
}

// Resend puts back what was not acknowledged when a connection ended.
func (e *Engine) Resend(b *Batch) {
	for _, m := range b.marks {
		e.outbox.put(m.who)
	}
}

// absent is a task that the agent does not have, though the server thinks so: it has ended.
type absent struct{ state acs.TaskState }

func absentTask(id ecs.TaskID, code, reason string) *absent {
	return &absent{acs.TaskState{ID: id, Status: ecs.TaskStopped, StopCode: code, Reason: reason}}
}

func (a *absent) report() (acs.TaskState, uint64) { return a.state, 0 }
func (a *absent) reported(uint64)                 {}
