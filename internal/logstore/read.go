package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Event is a stored event. Ingested is when it came in, in milliseconds since 1970.
type Event struct {
	Pos
	Stream   string
	Ingested int64
	Message  string
}

// The most that one page holds, and the most that is looked at for it.
const (
	MaxPageEvents = 10_000
	MaxPageBytes  = 1 << 20
	// A page of Filter ends, full or not, when it has looked at so much; bytes count as often as its pattern's cost says.
	maxScanEvents = 500_000
	maxScanBytes  = 32 << 20
)

// Range bounds the times of events: from Start on, before End.
type Range struct{ Start, End int64 }

// Always is the range without bounds.
var Always = Range{0, math.MaxInt64}

// visible is the part of the range that the group's retention leaves.
func (s *Store) visible(g *Group, r Range) span {
	if g.Retention > 0 {
		r.Start = max(r.Start, s.now()-int64(g.Retention)*day)
	}
	return span{Pos{Time: max(r.Start, 0)}, Pos{Time: r.End}}
}

// ReadQuery asks for a page of one stream's events. Without After and Before it is the first page, or with Tail the last.
type ReadQuery struct {
	Group, Stream string
	Range
	After, Before *Pos // events that follow After, or the latest ones that precede Before
	Tail          bool
	Limit         int // at most MaxPageEvents; 0 means that
}

// Read gives a page of events in the order of their times.
func (s *Store) Read(ctx context.Context, q ReadQuery) ([]Event, error) {
	g, st, err := s.find(q.Group, q.Stream)
	if err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > MaxPageEvents {
		q.Limit = MaxPageEvents
	}
	at := s.visible(g, q.Range)
	if q.After != nil && !q.After.Less(at.from) {
		at.from = Pos{q.After.Time, q.After.Seq + 1}
	}
	if q.Before != nil && q.Before.Less(at.to) {
		at.to = *q.Before
	}
	if at.empty() {
		return nil, nil
	}
	if q.Before != nil || q.Tail && q.After == nil {
		if at.from, err = s.pageStart(g.ID, st.ID, at, q.Limit); err != nil {
			return nil, err
		}
	}
	return s.page(ctx, g, st, at, q.Limit)
}

// pageStart is where the last page of the span begins. The index alone tells: it has the lengths.
func (s *Store) pageStart(group, stream uint64, at span, limit int) (from Pos, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendIndexKey(nil, group, stream, at.from),
		UpperBound: appendIndexKey(nil, group, stream, at.to),
	})
	if err != nil {
		return from, fmt.Errorf("logstore: read: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	from = at.to
	var bytes uint64
	n := 0
	for ok := it.Last(); ok && n < limit; ok = it.Prev() {
		size, w := binary.Uvarint(it.Value())
		if w <= 0 {
			return from, fmt.Errorf("index: %w", errDamaged)
		}
		if bytes += size + EventOverhead; bytes > MaxPageBytes && n > 0 {
			break
		}
		from = keyPos(it.Key())
		n++
	}
	return from, nil
}

func (s *Store) page(ctx context.Context, g *Group, st Stream, at span, limit int) (events []Event, err error) {
	if at.empty() {
		return nil, nil
	}
	c, err := s.newCursor(g.ID, []uint64{st.ID}, at, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	for bytes := 0; c.ok && len(events) < limit; c.next() {
		_, after, msg, err := c.event()
		if err != nil {
			return nil, err
		}
		if bytes += len(msg) + EventOverhead; bytes > MaxPageBytes && len(events) > 0 {
			break
		}
		p := c.pos()
		events = append(events, Event{Pos: p, Stream: st.Name, Ingested: p.Time + after, Message: string(msg)})
		if len(events)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return events, nil
}
