package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/fault"
)

// leadAgain takes up the leadership again after it was lost, resigning first so that nothing of the lost term can still
// happen, and reads everything anew. What differs from what was published so far is published as one commit, so that
// feeds go on without a gap. Its only error is ctx's.
func (s *Store) leadAgain(ctx context.Context) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := s.tryToLead(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.Warn("the state's leadership is not taken up yet", "error", err, "again_in", pause)
		if why := (*fault.Error)(nil); errors.As(err, &why) {
			s.refuse(why)
		} else {
			s.refuse(errNotLeader)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Store) tryToLead(ctx context.Context) error {
	if err := s.resign(ctx); err != nil {
		return err
	}
	term, revision, err := s.cfg.KV.Lead(ctx)
	if err != nil {
		return fmt.Errorf("lead: %w", err)
	}
	s.term = term
	head, err := s.load(ctx, term)
	if err != nil {
		return fmt.Errorf("read the stored state: %w", err)
	}
	c := &Commit{Revision: revision}
	if err := difference(&s.View().Tables, head, c); err != nil {
		return err
	}
	c.View = viewOf(head.copy(nil), revision)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.generation++
	s.head, s.refusal = head, nil
	s.advance(c)
	s.stir()
	return nil
}

// difference adds to c what leads from old to new. Rows of new that are as they were in old become old's own, so that equal
// pointers mean equal rows.
func difference(old, new *Tables, c *Commit) error {
	for id := range tableCount {
		was, is := old.table(id), new.table(id)
		var equal []change
		var failed error
		is.rows(func(key string, row any) bool {
			before := was.counterpart(row)
			same, err := equalRows(before, row)
			if err != nil {
				failed = fmt.Errorf("key %q: %w", key, err)
				return false
			}
			ch := change{table: id, key: key, old: before, new: row}
			if same {
				equal = append(equal, ch)
			} else {
				c.add(ch)
			}
			return true
		})
		was.rows(func(key string, row any) bool {
			if is.counterpart(row) == nil {
				c.add(change{table: id, key: key, old: row})
			}
			return true
		})
		if failed != nil {
			return failed
		}
		for _, ch := range equal {
			is.replace(ch.new, ch.old)
		}
	}
	return nil
}

func equalRows(a, b any) (bool, error) {
	if a == nil || b == nil {
		return a == b, nil
	}
	var x, y bytes.Buffer
	if err := encode(&x, a); err != nil {
		return false, err
	}
	if err := encode(&y, b); err != nil {
		return false, err
	}
	return bytes.Equal(x.Bytes(), y.Bytes()), nil
}
