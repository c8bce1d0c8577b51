// Package memkv is a state.KV in memory, for tests and for a control plane that may forget.
package memkv

import (
	"context"
	"fmt"
	"sync"

	"github.com/tidwall/btree"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// KV is a store in memory. Several Stores may share one; one of them leads at a time.
type KV struct {
	limits state.Limits

	mu       sync.Mutex
	data     btree.Map[string, []byte]
	revision int64
	// leader is the term that may write; nil if there is none. free is closed when it ends.
	leader *term
	free   chan struct{}
}

var _ state.KV = (*KV)(nil)

// Unlimited is what New takes for limits that are never reached.
var Unlimited = state.Limits{Ops: 1 << 20, Bytes: 1 << 30}

// New makes an empty store.
func New(limits state.Limits) *KV { return &KV{limits: limits, free: make(chan struct{})} }

// Limits implements state.KV.
func (kv *KV) Limits() state.Limits { return kv.limits }

// Lead implements state.KV.
func (kv *KV) Lead(ctx context.Context) (state.Term, int64, error) {
	for {
		kv.mu.Lock()
		if kv.leader == nil {
			kv.leader = &term{kv: kv, lost: make(chan struct{})}
			kv.revision++
			t, revision := kv.leader, kv.revision
			kv.mu.Unlock()
			return t, revision, nil
		}
		free := kv.free
		kv.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// Depose ends the present term, as the expiry of a lease would.
func (kv *KV) Depose() {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	kv.end()
}

// end is called with mu held.
func (kv *KV) end() {
	if kv.leader == nil {
		return
	}
	close(kv.leader.lost)
	kv.leader = nil
	close(kv.free)
	kv.free = make(chan struct{})
}

type term struct {
	kv   *KV
	lost chan struct{}
	// done is the number of the last commit.
	done uint64
	last int64
}

func (t *term) Page(ctx context.Context, after string, limit int) ([]state.Entry, error) {
	t.kv.mu.Lock()
	defer t.kv.mu.Unlock()
	if t.kv.leader != t {
		return nil, state.ErrLost
	}
	var page []state.Entry
	t.kv.data.Ascend(after, func(k string, v []byte) bool {
		if k > after {
			page = append(page, state.Entry{Key: k, Value: v})
		}
		return len(page) < limit
	})
	return page, context.Cause(ctx)
}

func (t *term) Commit(ctx context.Context, n uint64, ops []state.Op) (int64, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	t.kv.mu.Lock()
	defer t.kv.mu.Unlock()
	switch {
	case t.kv.leader != t:
		return 0, state.ErrLost
	case n == t.done:
		return t.last, nil
	case n != t.done+1:
		return 0, fmt.Errorf("%w: commit %d after %d", state.ErrLost, n, t.done)
	}
	if err := t.kv.check(ops); err != nil {
		return 0, err
	}
	for _, op := range ops {
		if op.Value == nil {
			t.kv.data.Delete(op.Key)
		} else {
			t.kv.data.Set(op.Key, op.Value)
		}
	}
	t.kv.revision++
	t.done, t.last = n, t.kv.revision
	return t.last, nil
}

func (kv *KV) check(ops []state.Op) error {
	bytes, seen := 0, make(map[string]bool, len(ops))
	for _, op := range ops {
		if seen[op.Key] {
			return &state.RefusedError{Reason: fault.New(fault.Server, "key %q is twice in a commit", op.Key)}
		}
		seen[op.Key] = true
		bytes += len(op.Key) + len(op.Value)
	}
	if len(ops) > kv.limits.Ops || bytes > kv.limits.Bytes {
		return &state.RefusedError{Reason: fault.New(fault.Server, "%d operations of %d bytes are over the limits", len(ops), bytes)}
	}
	return nil
}

func (t *term) Lost() <-chan struct{} { return t.lost }

func (t *term) Resign(context.Context) error {
	t.kv.mu.Lock()
	defer t.kv.mu.Unlock()
	if t.kv.leader == t {
		t.kv.end()
	}
	return nil
}

// Size is how many bytes of memory are stored, roughly.
func (kv *KV) Size() uint64 {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	var n uint64
	kv.data.Scan(func(k string, v []byte) bool {
		n += uint64(len(k) + len(v) + 64)
		return true
	})
	return n
}
