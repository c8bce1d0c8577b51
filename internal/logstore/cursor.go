package logstore

import (
	"container/heap"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// A cursor walks events in their order. Walking a whole group is one scan of its events. Walking some of its streams merges
// their index entries and fetches each event; those fetches go only forward, through blocks that the last one often has read.
type cursor struct {
	events *pebble.Iterator
	merge  *merge // nil when the whole group is walked
	group  uint64
	back   bool // latest first
	key    []byte
	ok     bool
}

// span is a range of positions, from inclusive, to exclusive.
type span struct{ from, to Pos }

func (s span) empty() bool { return !s.from.Less(s.to) }

// newCursor stands on the first event of the span, or on the last if it is to walk back: of the whole group if streams is
// nil, of these streams otherwise.
func (s *Store) newCursor(group uint64, streams []uint64, at span, back bool) (*cursor, error) {
	c := &cursor{group: group, back: back}
	var err error
	c.events, err = s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendEventKey(nil, group, at.from),
		UpperBound: appendEventKey(nil, group, at.to),
	})
	if err != nil {
		return nil, fmt.Errorf("logstore: read: %w", err)
	}
	if streams == nil {
		c.ok = start(c.events, back)
		return c, nil
	}
	c.merge = &merge{back: back}
	for _, id := range streams {
		if err := c.merge.add(s.db, group, id, at); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	heap.Init(c.merge)
	c.seek()
	return c, nil
}

func start(it *pebble.Iterator, back bool) bool {
	if back {
		return it.Last()
	}
	return it.First()
}

func step(it *pebble.Iterator, back bool) bool {
	if back {
		return it.Prev()
	}
	return it.Next()
}

// seek brings events to the merge's first position that has an event.
func (c *cursor) seek() {
	for c.ok = false; len(c.merge.heads) > 0; c.merge.next() {
		c.key = appendEventKey(c.key[:0], c.group, c.merge.heads[0].pos)
		if c.events.SeekGE(c.key) && string(c.events.Key()) == string(c.key) {
			c.ok = true
			return
		}
	}
}

func (c *cursor) next() {
	if c.merge == nil {
		c.ok = step(c.events, c.back)
		return
	}
	c.merge.next()
	c.seek()
}

func (c *cursor) pos() Pos { return keyPos(c.events.Key()) }

// event is what the cursor stands on; message is valid until next.
func (c *cursor) event() (stream uint64, ingestedAfter int64, message []byte, err error) {
	return decodeEvent(c.events.Value())
}

func (c *cursor) close() error {
	errs := []error{c.events.Error()}
	if c.merge != nil {
		errs = append(errs, c.merge.err)
		for _, it := range c.merge.all {
			errs = append(errs, it.Close())
		}
	}
	if err := errors.Join(append(errs, c.events.Close())...); err != nil {
		return fmt.Errorf("logstore: read: %w", err)
	}
	return nil
}

// merge is a heap of streams' index iterators by the position on which each stands.
type merge struct {
	heads []head
	all   []*pebble.Iterator
	back  bool
	err   error
}

type head struct {
	pos Pos
	it  *pebble.Iterator
}

func (m *merge) add(db *pebble.DB, group, stream uint64, at span) error {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: appendIndexKey(nil, group, stream, at.from),
		UpperBound: appendIndexKey(nil, group, stream, at.to),
	})
	if err != nil {
		return fmt.Errorf("logstore: read: %w", err)
	}
	m.all = append(m.all, it)
	if start(it, m.back) {
		m.heads = append(m.heads, head{keyPos(it.Key()), it})
	}
	return it.Error()
}

// next moves on from the first position.
func (m *merge) next() {
	h := &m.heads[0]
	if step(h.it, m.back) {
		h.pos = keyPos(h.it.Key())
		heap.Fix(m, 0)
		return
	}
	m.err = errors.Join(m.err, h.it.Error())
	heap.Pop(m)
}

func (m *merge) Len() int           { return len(m.heads) }
func (m *merge) Less(i, j int) bool { return m.heads[i].pos.Less(m.heads[j].pos) != m.back }
func (m *merge) Swap(i, j int)      { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merge) Push(x any)         { m.heads = append(m.heads, x.(head)) }
func (m *merge) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return last
}
