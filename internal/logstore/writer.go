package logstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"roadstead.dev/roadstead/internal/fault"
)

// request is one change asked of the writer.
type request struct {
	// run checks the change against the state and adds it to tx, or adds nothing and returns why not.
	run     func(*tx) error
	size    int64 // bytes it will add, about
	deletes bool  // it makes room
	done    chan error
}

// commit is a batch on its way to the disk, and those who wait for it.
type commit struct {
	batch   *pebble.Batch
	waiting []*request
	live    []Arrival
}

// tx is the open batch. It is used by the writer's goroutine only.
type tx struct {
	s     *Store
	batch *pebble.Batch
	buf   []byte
	dirty map[uint64]struct{} // groups whose byte count changed
	live  []Arrival
}

// A batch takes what waits, up to these bounds; later requests make up the next one.
const (
	maxBatchBytes    = 4 << 20
	maxBatchRequests = 1024
	maxStreamsKept   = 1 << 14
)

// do asks the writer for a change and waits until it is durable. When ctx ends first the change may yet come about.
func (s *Store) do(ctx context.Context, r *request) error {
	if err := s.usable(); err != nil {
		return err
	}
	r.done = make(chan error, 1)
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return errStopped(s)
	case <-s.broken:
		return s.usable()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
	case <-s.broken:
	}
	select {
	case err := <-r.done:
		return err
	default:
		return errStopped(s)
	}
}

func errStopped(s *Store) error {
	if err := s.usable(); err != nil {
		return err
	}
	return fault.New(fault.Unavailable, "The log store is shutting down.")
}

// write is the writer: it alone changes the database, the counters and the group table.
func (s *Store) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.requests:
			c := s.gather(r)
			if c == nil {
				continue
			}
			if err := s.db.ApplyNoSyncWait(c.batch, pebble.Sync); err != nil {
				s.fail(fmt.Errorf("logstore: commit: %w", err))
				return
			}
			select {
			case s.unacked <- c:
			case <-s.broken:
				return
			}
		}
	}
}

// gather makes a batch of the request and those that wait behind it; nil if all of them were refused.
func (s *Store) gather(r *request) *commit {
	t := &tx{s: s, batch: s.db.NewBatch(), dirty: map[uint64]struct{}{}}
	c := &commit{batch: t.batch}
	if len(s.streams) > maxStreamsKept {
		clear(s.streams)
	}
	for {
		err := s.room(int64(t.batch.Len())+r.size, r.deletes)
		if err == nil {
			err = r.run(t)
		}
		if err != nil {
			r.done <- err
		} else {
			c.waiting = append(c.waiting, r)
		}
		if t.batch.Len() >= maxBatchBytes || len(c.waiting) >= maxBatchRequests {
			break
		}
		select {
		case r = <-s.requests:
			continue
		default:
		}
		break
	}
	if len(c.waiting) == 0 {
		s.discard(t.batch)
		return nil
	}
	if err := t.finish(); err != nil {
		s.fail(err)
	}
	c.live = t.live
	return c
}

func (s *Store) discard(b *pebble.Batch) {
	if err := b.Close(); err != nil {
		s.cfg.Log.Warn("log store: dropping a batch", "error", err)
	}
}

// finish adds what every batch carries: the counters and the byte counts of the groups that it touched.
func (t *tx) finish() error {
	errs := []error{
		t.number(metaKey("format"), formatVersion),
		t.number(metaKey("seq"), t.s.seq),
		t.number(metaKey("id"), t.s.id),
	}
	for id := range t.dirty {
		errs = append(errs, t.number(prefixKey(tagBytes, id), uint64(t.s.bytes[id])))
	}
	return errors.Join(errs...)
}

func (t *tx) number(key []byte, n uint64) error {
	return t.batch.Set(key, binary.AppendUvarint(nil, n), nil)
}

// clear deletes all keys that start with prefix, by a range tombstone.
func (t *tx) clear(prefix []byte) error {
	return t.batch.DeleteRange(prefix, after(prefix), nil)
}

func (t *tx) nextID() uint64 { t.s.id++; return t.s.id }

// addBytes changes what the group is said to hold.
func (t *tx) addBytes(g *Group, n int64) {
	t.s.bytes[g.ID] = max(0, t.s.bytes[g.ID]+n)
	t.dirty[g.ID] = struct{}{}
}

// setGroup stores a group and shows it to readers.
func (t *tx) setGroup(g *Group) error {
	v, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("logstore: group: %w", err)
	}
	if err := t.batch.Set(groupKey(g.Name), v, nil); err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.groups[g.Name] = g
	return nil
}

// stream gives the writer's record of a stream, to be changed in place and stored by setStream.
func (t *tx) stream(g *Group, name string) (*Stream, error) {
	ref := streamRef{g.ID, name}
	if st, ok := t.s.streams[ref]; ok {
		if st == nil {
			return nil, noStream() // deleted, perhaps in this very batch
		}
		return st, nil
	}
	st, err := t.s.readStream(g, name)
	if err != nil {
		return nil, err
	}
	t.s.streams[ref] = &st
	return &st, nil
}

func (t *tx) setStream(g *Group, st *Stream) error {
	t.s.streams[streamRef{g.ID, st.Name}] = st
	return t.batch.Set(streamKey(g.ID, st.Name), encodeStream(st), nil)
}

// acknowledge waits for batches to be durable, in order, and tells those who wait and those who watch.
func (s *Store) acknowledge() {
	for c := range s.unacked {
		if err := c.batch.SyncWait(); err != nil {
			s.fail(fmt.Errorf("logstore: sync: %w", err))
			return
		}
		s.discard(c.batch)
		s.tail.publish(c.live)
		for _, r := range c.waiting {
			r.done <- nil
		}
	}
}
