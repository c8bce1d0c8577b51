package kvtest

import (
	"context"
	"errors"
	"sync"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Fault is how a commit goes wrong.
type Fault int

// The faults of a commit.
const (
	// None lets the commit through.
	None Fault = iota
	// Refuse answers that the commit has not happened and never will, as a full disk does.
	Refuse
	// LoseRequest does nothing, and gives an error that tells nothing.
	LoseRequest
	// LoseAnswer commits, and gives an error that tells nothing.
	LoseAnswer
	// Late gives an error that tells nothing, and commits before the next call of anything.
	Late
	// Overtaken is Late after the next call of anything: the first attempt arrives after its repetition.
	Overtaken
	// Depose ends the term before the commit.
	Depose
	// DeposeAfter commits, ends the term and gives an error that tells nothing.
	DeposeAfter
	faultCount
)

// ErrRefused is in the chain of a refused commit.
var ErrRefused = errors.New("the disk is full, says the test")

var errUnknown = errors.New("no answer, says the test")

// Faulty is a KV that misbehaves as its plan says.
type Faulty struct {
	// KV is the one beneath, and Depose what ends its term.
	KV     state.KV
	Depose func()
	// Plan is asked before each commit. It may block.
	Plan func(n uint64, ops []state.Op) Fault

	mu sync.Mutex
	// before and after are late commits.
	before, after func()
}

var _ state.KV = (*Faulty)(nil)

// Limits implements state.KV.
func (f *Faulty) Limits() state.Limits { return f.KV.Limits() }

// Lead implements state.KV.
func (f *Faulty) Lead(ctx context.Context) (state.Term, int64, error) {
	defer f.settle()()
	t, revision, err := f.KV.Lead(ctx)
	return &faultyTerm{Term: t, f: f}, revision, err
}

// settle lets what was late arrive: some of it now, some when the returned function is called.
func (f *Faulty) settle() func() {
	f.mu.Lock()
	before, after := f.before, f.after
	f.before, f.after = nil, nil
	f.mu.Unlock()
	run := func(fn func()) {
		if fn != nil {
			fn()
		}
	}
	run(before)
	return func() { run(after) }
}

type faultyTerm struct {
	state.Term
	f *Faulty
}

// Resign lets late commits arrive after it, when they must not count any more.
func (t *faultyTerm) Resign(ctx context.Context) error {
	err := t.Term.Resign(ctx)
	t.f.settle()()
	return err
}

func (t *faultyTerm) Page(ctx context.Context, after string, limit int) ([]state.Entry, error) {
	defer t.f.settle()()
	return t.Term.Page(ctx, after, limit)
}

func (t *faultyTerm) Commit(ctx context.Context, n uint64, ops []state.Op) (int64, error) {
	what := t.f.Plan(n, ops)
	defer t.f.settle()()
	late := func() {
		// Nobody hears the answer.
		_, _ = t.Term.Commit(context.WithoutCancel(ctx), n, ops)
	}
	switch what {
	case Refuse:
		return 0, &state.RefusedError{Reason: fault.Wrap(ErrRefused, fault.Unavailable, "The disk is full.")}
	case LoseRequest:
		return 0, errUnknown
	case LoseAnswer:
		late()
		return 0, errUnknown
	case Late, Overtaken:
		t.f.postpone(what, late)
		return 0, errUnknown
	case Depose:
		t.f.Depose()
	case DeposeAfter:
		late()
		t.f.Depose()
		return 0, errUnknown
	}
	return t.Term.Commit(ctx, n, ops)
}

// postpone is called with settle's function still to come, so that the commit arrives with the next call.
func (f *Faulty) postpone(what Fault, late func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if what == Late {
		f.before = late
	} else {
		f.after = late
	}
}

// Faults are all there are, without None.
func Faults() []Fault {
	var all []Fault
	for w := None + 1; w < faultCount; w++ {
		all = append(all, w)
	}
	return all
}
