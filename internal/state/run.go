package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/fault"
)

var (
	errEnded = fault.New(fault.Unavailable, "The control plane is shutting down. Try again.")
	// errNotLeader is told while nothing better is known.
	errNotLeader = fault.New(fault.Unavailable, "This server has lost the leadership of the control plane and is taking it up again. Try again.")
)

// Run makes Updates durable until ctx ends; then it finishes those taken already, resigns and returns ctx's cause.
// Losing the leadership does not end it: it takes it up again and reads everything anew.
func (s *Store) Run(ctx context.Context) error {
	for {
		err := s.serve(ctx)
		s.dropAll(ctx, err)
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), s.resign(ctx))
		}
		s.log.Warn("the state's leadership is lost; taking it up again", "error", err)
		if err := s.leadAgain(ctx); err != nil {
			// It may have led already, and not have read all.
			return errors.Join(err, s.resign(ctx))
		}
	}
}

// serve commits batch after batch until the term ends, or all that was taken before ctx's end is done.
func (s *Store) serve(ctx context.Context) error {
	for n := uint64(1); ; {
		if ctx.Err() != nil {
			s.refuse(errEnded)
		}
		b := s.take()
		if b == nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			select {
			case <-s.wake:
			case <-s.term.Lost():
				return ErrLost
			case <-ctx.Done():
			}
			continue
		}
		err := s.commit(ctx, n, b)
		refused := (*RefusedError)(nil)
		switch {
		case err == nil:
			n++
		case errors.Is(err, ErrLost) || !errors.As(err, &refused):
			b.fail(unknownOutcome(err))
			return err
		default:
			s.rollBack(b, refused.Reason)
		}
	}
}

// refuse lets no Update begin any more.
func (s *Store) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
	s.stir()
}

// take gives the next batch to be committed, or nil if nothing waits.
func (s *Store) take() *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sealed) == 0 {
		if s.open.empty() {
			return nil
		}
		s.seal()
	}
	b := s.sealed[0]
	s.sealed[0] = nil
	s.sealed = s.sealed[1:]
	s.stir()
	return b
}

// commit makes a batch durable and publishes it, or returns why not. An unknown outcome is asked for until it is known.
func (s *Store) commit(ctx context.Context, n uint64, b *batch) error {
	ops := b.ops()
	pause, afterEnd := 10*time.Millisecond, 0
	for unknown := false; ; unknown = true {
		revision, err := s.attempt(ctx, n, ops)
		if err == nil {
			s.publish(b, revision)
			return nil
		}
		refused := (*RefusedError)(nil)
		switch {
		case errors.As(err, &refused) && !unknown:
			return err
		case errors.As(err, &refused):
			// This attempt is refused, but an earlier one may still take effect, until the term is over.
			return fmt.Errorf("%w: an earlier attempt's outcome is unknown, the last was refused: %w", ErrLost, refused.Reason)
		case errors.Is(err, ErrLost):
			return err
		}
		if ctx.Err() != nil {
			if afterEnd++; afterEnd > 3 {
				return fmt.Errorf("%w: given up at the end: %w", ErrLost, err)
			}
		}
		s.log.Warn("a commit's outcome is unknown; asking again", "error", err)
		select {
		case <-s.term.Lost():
			return fmt.Errorf("%w: %w", ErrLost, err)
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// attempt outlives ctx, so that an orderly end has no unknown outcomes.
func (s *Store) attempt(ctx context.Context, n uint64, ops []Op) (int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	return s.term.Commit(ctx, n, ops)
}

// publish makes a durable batch visible and lets its Updates return.
func (s *Store) publish(b *batch, revision int64) {
	c := &Commit{Revision: revision, View: viewOf(b.tables, revision)}
	for _, ch := range b.changes {
		c.add(ch)
	}
	s.advance(c)
	close(b.done)
}

// rollBack fails a refused batch and all that was built on it; the head is the last durable state again.
func (s *Store) rollBack(b *batch, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Error("a write was refused", "error", reason)
	b.fail(reason)
	s.failWaiting(reason)
	s.head = s.View().Tables.copy(s.w)
	s.w.generation++
	s.stir()
}

// failWaiting fails every batch that is not under way. mu is held.
func (s *Store) failWaiting(err error) {
	for _, b := range append(s.sealed, s.open) {
		b.fail(err)
	}
	s.sealed, s.open, s.last = nil, newBatch(), nil
}

// dropAll fails what waits and refuses what comes, until this process leads again.
func (s *Store) dropAll(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = errNotLeader
	if ctx.Err() != nil {
		s.refusal = errEnded
	}
	s.failWaiting(fault.Wrap(err, fault.Unavailable, "The control plane lost its leadership before the change was written. Try again."))
	s.stir()
}

func unknownOutcome(err error) error {
	return fault.Wrap(err, fault.Unavailable, "The control plane lost its leadership while the change was being written; it may or may not have happened. Look, and try again.")
}

// stir wakes the Updates that wait for room. mu is held.
func (s *Store) stir() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// resign ends the term, so that the next leader need not wait for a lease to expire.
func (s *Store) resign(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	if err := s.term.Resign(ctx); err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("resign: %w", err)
	}
	return nil
}
