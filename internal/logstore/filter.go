package logstore

import (
	"context"
	"errors"
)

// FilterQuery asks for a page of a group's events that match, of all streams or of those named or with the prefix.
type FilterQuery struct {
	Group   string
	Streams []string
	Prefix  string
	Range
	Backward bool // latest first
	After    *Pos // events that follow it in that order
	Limit    int  // at most MaxPageEvents; 0 means that
	// Match tells whether a message is wanted; it must not keep the slice. All are if it is nil.
	Match func(message []byte) bool
	// Cost is how many times longer Match takes than looking at the message does; the search ends so much the sooner. 0 is 1.
	Cost int
}

// FilterPage is what Filter found. Next is the place to go on after, nil when all has been searched. A page may be empty
// with more to come: the search stops after so many events looked at.
type FilterPage struct {
	Events []Event
	Next   *Pos
}

// Filter searches a group in the order of events' times, or in the opposite order.
func (s *Store) Filter(ctx context.Context, q FilterQuery) (page FilterPage, err error) {
	if err := s.usable(); err != nil {
		return page, err
	}
	g := s.group(q.Group)
	if g == nil {
		return page, noGroup()
	}
	chosen, err := s.choose(g, q)
	if err != nil {
		return page, err
	}
	if q.Limit <= 0 || q.Limit > MaxPageEvents {
		q.Limit = MaxPageEvents
	}
	at := s.visible(g, q.Range)
	switch {
	case q.After != nil && q.Backward && q.After.Less(at.to):
		at.to = *q.After
	case q.After != nil && !q.Backward && !q.After.Less(at.from):
		at.from = Pos{q.After.Time, q.After.Seq + 1}
	}
	if at.empty() || chosen.none() {
		return page, nil
	}
	c, err := s.newCursor(g.ID, chosen.ids, at, q.Backward)
	if err != nil {
		return page, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	f := filtering{q: q, c: c, chosen: chosen, names: names{s: s, group: g.ID, known: map[uint64]string{}}}
	err = f.run(ctx)
	return f.page, err
}

// choice is the streams that a query wants: all, those of ids, or those that has says.
type choice struct {
	ids []uint64
	has map[uint64]bool
	all bool
}

func (c choice) none() bool { return !c.all && len(c.ids) == 0 && len(c.has) == 0 }

// mergeAtMost is the number of streams up to which their indexes are merged; with more the whole group is walked.
const mergeAtMost = 100

func (s *Store) choose(g *Group, q FilterQuery) (choice, error) {
	var ids []uint64
	switch {
	case len(q.Streams) > 0:
		seen := map[string]bool{}
		for _, name := range q.Streams {
			st, err := s.readStream(g, name)
			if err != nil {
				return choice{}, err
			}
			if !seen[name] {
				ids = append(ids, st.ID)
			}
			seen[name] = true
		}
	case q.Prefix != "":
		err := s.scan(streamKey(g.ID, q.Prefix), func(k, v []byte) error {
			st, err := decodeStream(string(k[9:]), v)
			ids = append(ids, st.ID)
			return err
		})
		if err != nil {
			return choice{}, err
		}
	default:
		return choice{all: true}, nil
	}
	if len(ids) <= mergeAtMost {
		return choice{ids: ids}, nil
	}
	c := choice{has: make(map[uint64]bool, len(ids))}
	for _, id := range ids {
		c.has[id] = true
	}
	return c, nil
}

// filtering is one search under way.
type filtering struct {
	q      FilterQuery
	c      *cursor
	chosen choice
	names  names
	page   FilterPage
	bytes  int // of the page
}

func (f *filtering) run(ctx context.Context) error {
	var scanned, scannedBytes int
	var last Pos
	for ; f.c.ok; f.c.next() {
		if len(f.page.Events) == f.q.Limit || scanned == f.names.s.cfg.scanEvents || scannedBytes >= maxScanBytes {
			f.page.Next = &last
			return nil
		}
		stream, after, msg, err := f.c.event()
		if err != nil {
			return err
		}
		full, err := f.take(stream, after, msg)
		if err != nil {
			return err
		}
		if full {
			f.page.Next = &last
			return nil
		}
		last = f.c.pos()
		scanned++
		scannedBytes += (len(msg) + EventOverhead) * max(1, f.q.Cost)
		if scanned%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// take adds the event to the page if it is wanted, and says when the page has no room for it.
func (f *filtering) take(stream uint64, after int64, msg []byte) (full bool, err error) {
	if f.chosen.has != nil && !f.chosen.has[stream] || f.q.Match != nil && !f.q.Match(msg) {
		return false, nil
	}
	name, err := f.names.of(stream)
	if err != nil || name == "" {
		return false, err
	}
	if f.bytes+len(msg)+EventOverhead > MaxPageBytes && len(f.page.Events) > 0 {
		return true, nil
	}
	f.bytes += len(msg) + EventOverhead
	p := f.c.pos()
	f.page.Events = append(f.page.Events, Event{Pos: p, Stream: name, Ingested: p.Time + after, Message: string(msg)})
	return false, nil
}
