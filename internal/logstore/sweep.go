package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"roadstead.dev/roadstead/internal/fault"
)

// sweepStep is how many events one request of the sweep deals with, so that writers wait little behind it.
const sweepStep = 50_000

// sweepAlways clears away expired events and those of deleted streams, until ctx ends.
func (s *Store) sweepAlways(ctx context.Context) {
	tick := time.NewTicker(s.cfg.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("log store: sweeping", "error", err)
		}
	}
}

// Sweep clears away once what is expired or deleted. Run does so now and then; nothing that it clears was visible.
func (s *Store) Sweep(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	s.mu.RLock()
	groups := make([]*Group, 0, len(s.groups))
	for _, g := range s.groups {
		groups = append(groups, g)
	}
	s.mu.RUnlock()
	var errs []error
	for _, g := range groups {
		if g.Retention > 0 {
			errs = append(errs, s.sweepExpired(ctx, g))
		}
	}
	return errors.Join(append(errs, s.sweepDead(ctx))...)
}

// expired is a run of expired events at the start of a group: up to end, exclusive, so many bytes and events by stream.
type expired struct {
	end     Pos
	streams map[uint64]*tally
	more    bool
}

type tally struct {
	bytes  int64
	events uint64
}

func (s *Store) sweepExpired(ctx context.Context, g *Group) error {
	for {
		e, err := s.findExpired(g)
		if err != nil || len(e.streams) == 0 {
			return err
		}
		err = s.do(ctx, &request{size: int64(len(e.streams)) * 128, deletes: true, run: func(t *tx) error {
			now := s.group(g.Name)
			if now == nil || now.ID != g.ID || now.Retention != g.Retention {
				e.more = false // decided for a group that is no more, or keeps longer now
				return nil
			}
			return t.dropExpired(now, e)
		}})
		if err != nil || !e.more {
			return err
		}
	}
}

func (s *Store) findExpired(g *Group) (e *expired, err error) {
	e = &expired{streams: map[uint64]*tally{}}
	c, err := s.newCursor(g.ID, nil, span{Pos{}, Pos{Time: s.now() - int64(g.Retention)*day}}, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	for n := 0; c.ok; c.next() {
		if n == sweepStep {
			e.more = true
			break
		}
		stream, _, msg, err := c.event()
		if err != nil {
			return nil, err
		}
		t := e.streams[stream]
		if t == nil {
			t = &tally{}
			e.streams[stream] = t
		}
		t.bytes += int64(len(msg)) + EventOverhead
		t.events++
		p := c.pos()
		e.end = Pos{p.Time, p.Seq + 1}
		n++
	}
	return e, nil
}

// dropExpired deletes the run with range tombstones and counts down what the group and its streams hold.
func (t *tx) dropExpired(g *Group, e *expired) error {
	errs := []error{t.batch.DeleteRange(prefixKey(tagEvent, g.ID), appendEventKey(nil, g.ID, e.end), nil)}
	for id, n := range e.streams {
		errs = append(errs, t.batch.DeleteRange(prefixKey(tagIndex, g.ID, id), appendIndexKey(nil, g.ID, id, e.end), nil))
		name, ok, err := t.s.get(prefixKey(tagName, g.ID, id))
		if err != nil {
			return err
		}
		if !ok {
			continue // a deleted stream, counted down when it was deleted
		}
		st, err := t.stream(g, string(name))
		if fault.Is(err, fault.ResourceNotFound) || err == nil && st.ID != id {
			continue // deleted, and perhaps made anew, in this very batch
		}
		if err != nil {
			return err
		}
		st.Bytes = max(0, st.Bytes-n.bytes)
		t.addBytes(g, -n.bytes)
		errs = append(errs, t.setStream(g, st))
	}
	return errors.Join(errs...)
}

// sweepDead deletes the events of deleted streams. They lie between those of other streams, so they go one by one.
func (s *Store) sweepDead(ctx context.Context) error {
	type dead struct{ group, stream uint64 }
	var found []dead
	err := s.scan([]byte{tagDead}, func(k, _ []byte) error {
		found = append(found, dead{binary.BigEndian.Uint64(k[1:]), idOf(k)})
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range found {
		if err := s.bury(ctx, d.group, d.stream); err != nil {
			return err
		}
	}
	return nil
}

// bury deletes one dead stream's events, step by step, and then the mark that it is dead.
func (s *Store) bury(ctx context.Context, group, stream uint64) error {
	for more := true; more; {
		var at []Pos
		more = false
		err := s.scan(prefixKey(tagIndex, group, stream), func(k, _ []byte) error {
			if len(at) == sweepStep {
				more = true
				return errEnough
			}
			at = append(at, keyPos(k))
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		err = s.do(ctx, &request{size: int64(len(at)) * 32, deletes: true, run: func(t *tx) error {
			return t.bury(group, stream, at, more)
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("enough for now")

func (t *tx) bury(group, stream uint64, at []Pos, more bool) error {
	var errs []error
	var key []byte
	for _, p := range at {
		key = appendEventKey(key[:0], group, p)
		errs = append(errs, t.batch.Delete(key, nil))
	}
	if more {
		end := appendIndexKey(nil, group, stream, at[len(at)-1])
		errs = append(errs, t.batch.DeleteRange(prefixKey(tagIndex, group, stream), append(end, 0), nil))
	} else {
		errs = append(errs, t.clear(prefixKey(tagIndex, group, stream)), t.batch.Delete(prefixKey(tagDead, group, stream), nil))
	}
	return errors.Join(errs...)
}
