package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"
	"roadstead.dev/roadstead/internal/fault"
)

// CreateStream makes an empty stream in a group.
func (s *Store) CreateStream(ctx context.Context, group, name string) error {
	return s.do(ctx, &request{size: 1024, run: func(t *tx) error {
		g := s.group(group)
		if g == nil {
			return noGroup()
		}
		_, err := t.stream(g, name)
		if err == nil {
			return fault.New(AlreadyExists, "The specified log stream already exists")
		}
		if !fault.Is(err, fault.ResourceNotFound) {
			return err
		}
		st := &Stream{ID: t.nextID(), Name: name, Created: s.now()}
		if err := t.batch.Set(prefixKey(tagName, g.ID, st.ID), []byte(name), nil); err != nil {
			return err
		}
		return t.setStream(g, st)
	}})
}

// DeleteStream deletes a stream. Its events are gone for readers at once; the sweep takes them off the disk.
func (s *Store) DeleteStream(ctx context.Context, group, name string) error {
	return s.do(ctx, &request{size: 256, deletes: true, run: func(t *tx) error {
		g := s.group(group)
		if g == nil {
			return noGroup()
		}
		st, err := t.stream(g, name)
		if err != nil {
			return err
		}
		s.streams[streamRef{g.ID, name}] = nil
		t.addBytes(g, -st.Bytes)
		errs := []error{
			t.batch.Delete(streamKey(g.ID, name), nil),
			t.batch.Delete(prefixKey(tagName, g.ID, st.ID), nil),
		}
		if st.Count > 0 {
			errs = append(errs, t.batch.Set(prefixKey(tagDead, g.ID, st.ID), nil, nil))
		}
		return errors.Join(errs...)
	}})
}

func (s *Store) readStream(g *Group, name string) (Stream, error) {
	v, ok, err := s.get(streamKey(g.ID, name))
	if err != nil {
		return Stream{}, err
	}
	if !ok {
		return Stream{}, noStream()
	}
	return decodeStream(name, v)
}

// Stream describes a stream.
func (s *Store) Stream(group, name string) (Stream, error) {
	_, st, err := s.find(group, name)
	return st, err
}

func (s *Store) find(group, name string) (*Group, Stream, error) {
	if err := s.usable(); err != nil {
		return nil, Stream{}, err
	}
	g := s.group(group)
	if g == nil {
		return nil, Stream{}, noGroup()
	}
	st, err := s.readStream(g, name)
	return g, st, err
}

// StreamQuery asks for a group's streams in the order of their names or, with ByTime, of their last events.
type StreamQuery struct {
	Group, Prefix      string
	ByTime, Descending bool
	After              *StreamMark // those that follow it in that order
	Limit              int
}

// StreamMark is a place in the order of streams: a name, and with ByTime the time of the last event.
type StreamMark struct {
	Last int64
	Name string
}

// Streams lists streams, and tells whether there are more. With ByTime it reads the records of all the group's streams, but
// keeps no more of them than it returns.
func (s *Store) Streams(q StreamQuery) (streams []Stream, more bool, err error) {
	if err := s.usable(); err != nil {
		return nil, false, err
	}
	g := s.group(q.Group)
	if g == nil {
		return nil, false, noGroup()
	}
	if q.ByTime {
		streams, err = s.streamsByTime(g, q)
	} else {
		streams, err = s.streamsByName(g, q)
	}
	if err != nil {
		return nil, false, err
	}
	if len(streams) > q.Limit {
		return streams[:q.Limit], true, nil
	}
	return streams, false, nil
}

// streamsByName gives one more than the limit if there is one.
func (s *Store) streamsByName(g *Group, q StreamQuery) (streams []Stream, err error) {
	prefix := streamKey(g.ID, q.Prefix)
	o := &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}
	if q.After != nil {
		at := streamKey(g.ID, q.After.Name)
		switch {
		case q.Descending && string(at) < string(o.UpperBound):
			o.UpperBound = at
		case !q.Descending && string(at) >= string(prefix):
			o.LowerBound = append(at, 0)
		}
	}
	it, err := s.db.NewIter(o)
	if err != nil {
		return nil, fmt.Errorf("logstore: read: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	first, next := it.First, it.Next
	if q.Descending {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok && len(streams) <= q.Limit; ok = next() {
		st, err := decodeStream(string(it.Key()[9:]), it.Value())
		if err != nil {
			return nil, err
		}
		streams = append(streams, st)
	}
	return streams, nil
}

func (s *Store) streamsByTime(g *Group, q StreamQuery) ([]Stream, error) {
	before := func(a, b StreamMark) bool {
		if q.Descending {
			a, b = b, a
		}
		return a.Last < b.Last || a.Last == b.Last && a.Name < b.Name
	}
	var best []Stream
	err := s.scan(streamKey(g.ID, q.Prefix), func(k, v []byte) error {
		st, err := decodeStream(string(k[9:]), v)
		if err != nil {
			return err
		}
		m := StreamMark{st.Last, st.Name}
		if q.After != nil && !before(*q.After, m) {
			return nil
		}
		i := sort.Search(len(best), func(i int) bool { return before(m, StreamMark{best[i].Last, best[i].Name}) })
		if i > q.Limit {
			return nil
		}
		best = append(best, Stream{})
		copy(best[i+1:], best[i:])
		best[i] = st
		best = best[:min(len(best), q.Limit+1)]
		return nil
	})
	return best, err
}

// names finds streams' names by their ids, remembering those found.
type names struct {
	s     *Store
	group uint64
	known map[uint64]string // "" for a stream that is deleted
}

func (n *names) of(id uint64) (string, error) {
	if name, ok := n.known[id]; ok {
		return name, nil
	}
	v, _, err := n.s.get(prefixKey(tagName, n.group, id))
	if err != nil {
		return "", err
	}
	if len(n.known) > maxStreamsKept {
		clear(n.known)
	}
	n.known[id] = string(v)
	return string(v), nil
}

func idOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }
