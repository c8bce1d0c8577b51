package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"roadstead.dev/roadstead/internal/fault"
)

// Config says what a Store works with. Only KV is required.
type Config struct {
	KV  KV
	Log *slog.Logger
	// BatchOps and BatchBytes are how far a batch is filled, if the KV's limits allow as much. A single Update may go up to
	// the KV's limits. 4096 and 4 MiB if 0.
	BatchOps, BatchBytes int
	// MaxWaiting is how many full batches may wait for those before them; Updates beyond wait their turn. 8 if 0.
	MaxWaiting int
	// CommitTimeout is how long an attempt at a commit may take before it is asked for again. 5 s if 0.
	CommitTimeout time.Duration
	// PageSize is how many entries are read at once at the start. 4096 if 0.
	PageSize int
	// Outbox, if set, is called at the end of every Update that has changed something while there are event rules, with what
	// it has changed, so that it can put what the rules must be told into EventOutbox, in the same transaction. It must be quick
	// and write nothing else. The Commit has no view. What it adds is dropped where the transaction becomes too large by it.
	Outbox func(tx *Tx, c *Commit)
}

// Store is the state of one control plane. See the package's documentation.
type Store struct {
	cfg Config
	log *slog.Logger

	// tail is the last commit published: its view is the one that View gives.
	tail atomic.Pointer[link]

	// mu guards what follows; it is held while an Update's function runs.
	mu sync.Mutex
	w  *writer
	// head is the newest tables, durable or not.
	head *Tables
	// open takes the next Updates; full ones wait in sealed, in order.
	open   *batch
	sealed []*batch
	// last is the newest batch that has changes: whoever has read the head depends on it. Nil or done: all is durable.
	last *batch
	// refusal is why no Update is taken at the moment; nil while this process leads.
	refusal error
	// changed is closed and replaced when there is room again or the refusal changes.
	changed chan struct{}
	buf     bytes.Buffer

	// wake tells the committer that the open batch has changes.
	wake chan struct{}
	// term is the committer's.
	term Term
}

// ErrTooLarge is in the chain of the error of an Update that can't be made durable as one.
var ErrTooLarge = errors.New("change too large for one transaction")

// Open waits until this process leads and reads everything stored. The Store takes Updates from now on, but they become
// durable only while Run runs.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.KV == nil {
		return nil, errors.New("state: no KV configured")
	}
	setDefaults(&cfg)
	s := &Store{
		cfg: cfg, log: cfg.Log, w: newWriter(), open: newBatch(), changed: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	term, revision, err := cfg.KV.Lead(ctx)
	if err != nil {
		return nil, fmt.Errorf("become the one that writes the state: %w", err)
	}
	head, err := s.load(ctx, term)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the stored state: %w", err), term.Resign(context.WithoutCancel(ctx)))
	}
	s.term, s.head = term, head
	s.w.generation++
	s.tail.Store(newLink(&Commit{View: viewOf(head.copy(nil), revision)}))
	return s, nil
}

func setDefaults(cfg *Config) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	limits := cfg.KV.Limits()
	cfg.BatchOps = min(orDefault(cfg.BatchOps, 4096), limits.Ops)
	cfg.BatchBytes = min(orDefault(cfg.BatchBytes, 4<<20), limits.Bytes)
	cfg.MaxWaiting = orDefault(cfg.MaxWaiting, 8)
	cfg.CommitTimeout = orDefault(cfg.CommitTimeout, 5*time.Second)
	cfg.PageSize = orDefault(cfg.PageSize, 4096)
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func viewOf(t *Tables, revision int64) *View { return &View{Tables: *t, Revision: revision} }

// View gives the newest durable snapshot, in constant time.
func (s *Store) View() *View { return s.tail.Load().commit.View }

// Watch gives a feed of all commits after the view it starts with.
func (s *Store) Watch() *Feed { return &Feed{at: s.tail.Load()} }

// Leading tells whether this process leads: View may be stale where it does not.
func (s *Store) Leading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal == nil
}

// Update runs fn alone on the newest tables and returns nil once what it wrote is durable. An error of fn undoes all that
// fn did and is returned as it is, once what fn may have read is durable. fn runs at most once and must not block, and
// must not call Update.
//
// Other errors: fault.Unavailable if the write was refused or its outcome is unknown, which the message says; ErrTooLarge in the
// chain if it is more than one transaction can hold; ctx's, if it ended first: the write may become durable still.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return s.Begin(ctx, fn)(ctx)
}

// Begin is Update that does not wait: fn has run when it returns, and the function that it gives waits until what fn wrote is
// durable and returns what Update would. An Update that begins after it sees what fn wrote, so that a caller may have
// several on their way.
func (s *Store) Begin(ctx context.Context, fn func(tx *Tx) error) (durable func(context.Context) error) {
	if err := s.lockForUpdate(ctx); err != nil {
		return func(context.Context) error { return err }
	}
	err := s.apply(fn)
	b := s.last
	s.mu.Unlock()
	return func(ctx context.Context) error {
		if b == nil {
			return err
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a write to become durable: %w", context.Cause(ctx))
		}
		if b.err != nil {
			return b.err
		}
		return err
	}
}

// lockForUpdate takes mu once an Update may run.
func (s *Store) lockForUpdate(ctx context.Context) error {
	s.mu.Lock()
	for {
		if err := context.Cause(ctx); err != nil {
			s.mu.Unlock()
			return err
		}
		if s.refusal != nil {
			err := s.refusal
			s.mu.Unlock()
			return err
		}
		if len(s.sealed) < s.cfg.MaxWaiting {
			return nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// apply runs fn and puts what it wrote into a batch. mu is held.
func (s *Store) apply(fn func(tx *Tx) error) error {
	s.w.begin()
	finished := false
	defer func() {
		s.w.active = false
		if !finished { // fn panicked
			s.undo()
			s.mu.Unlock()
		}
	}()
	err := fn(&Tx{Tables: *s.head})
	if err == nil {
		err = s.accept()
	}
	if err != nil {
		s.undo()
	}
	finished = true
	return err
}

// accept encodes what the Tx wrote and joins it to the open batch.
func (s *Store) accept() error {
	changes := s.w.compact()
	if len(changes) == 0 {
		return nil
	}
	own := len(changes)
	if s.cfg.Outbox != nil && s.head.EventRules.Len() > 0 {
		changes = s.tell(changes)
	}
	if err := s.encode(changes); err != nil {
		return err
	}
	limits := s.cfg.KV.Limits()
	if len(changes) > own && (len(changes) > limits.Ops || sizeOf(changes) > limits.Bytes) {
		changes = s.untell(changes, own)
	}
	if size := sizeOf(changes); len(changes) > limits.Ops || size > limits.Bytes {
		return fault.Wrap(ErrTooLarge, fault.Client,
			"The change writes %d records of together %d bytes; at most %d and %d are possible at once. Do it in smaller parts.",
			len(changes), size, limits.Ops, limits.Bytes)
	}
	if !s.open.empty() && !s.open.fits(changes, s.cfg.BatchOps, s.cfg.BatchBytes) {
		// The batch's snapshot must not have these changes.
		s.undo()
		s.seal()
		s.redo(changes)
	}
	s.open.join(changes)
	s.last = s.open
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// tell lets the outbox add to what the Tx wrote, and returns all of it.
func (s *Store) tell(changes []change) []change {
	var c Commit
	for _, ch := range changes {
		c.add(ch)
	}
	s.cfg.Outbox(&Tx{Tables: *s.head}, &c)
	return s.w.changes
}

// untell takes back what the outbox added: a change must not fail because there is no room left to tell of it.
func (s *Store) untell(changes []change, own int) []change {
	s.log.Error("events of a change were dropped: they do not fit into its transaction", "records", own, "bytes", sizeOf(changes))
	for i := len(changes) - 1; i >= own; i-- {
		s.head.table(changes[i].table).replace(changes[i].new, changes[i].old)
	}
	s.w.changes = changes[:own]
	return s.w.changes
}

// encode fills in the stored values.
func (s *Store) encode(changes []change) error {
	s.buf.Reset()
	ends := make([]int, len(changes))
	for i := range changes {
		if changes[i].new != nil {
			if err := encode(&s.buf, changes[i].new); err != nil {
				return err
			}
		}
		ends[i] = s.buf.Len()
	}
	all, start := bytes.Clone(s.buf.Bytes()), 0
	for i, end := range ends {
		if changes[i].new != nil {
			changes[i].value = all[start:end:end]
		}
		start = end
	}
	return nil
}

// undo takes back what the Tx wrote.
func (s *Store) undo() {
	for i := len(s.w.changes) - 1; i >= 0; i-- {
		c := &s.w.changes[i]
		if c.old != nil || c.new != nil {
			s.head.table(c.table).replace(c.new, c.old)
		}
	}
}

func (s *Store) redo(changes []change) {
	for i := range changes {
		s.head.table(changes[i].table).replace(changes[i].old, changes[i].new)
	}
}

// seal closes the open batch with a snapshot and opens the next.
func (s *Store) seal() {
	s.open.tables = s.head.copy(nil)
	s.w.generation++
	s.sealed = append(s.sealed, s.open)
	s.open = newBatch()
}
