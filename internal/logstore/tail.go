package logstore

import (
	"strings"
	"sync"
	"sync/atomic"

	"roadstead.dev/roadstead/internal/fault"
)

// Arrival is events of one stream that were stored together. It is shared by all who watch and must not be changed.
type Arrival struct {
	Group, Stream string
	Events        []Event
	group         uint64
	bytes         int64
}

// TailQuery says what to watch. With one group, streams can be chosen by name or by prefix; none chosen means all.
type TailQuery struct {
	Groups            []string
	Streams, Prefixes []string
}

func (q *TailQuery) wants(stream string) bool {
	if len(q.Streams) == 0 && len(q.Prefixes) == 0 {
		return true
	}
	for _, s := range q.Streams {
		if s == stream {
			return true
		}
	}
	for _, p := range q.Prefixes {
		if strings.HasPrefix(stream, p) {
			return true
		}
	}
	return false
}

// How far a watcher may be behind before it loses some.
const (
	tailQueue = 1024    // arrivals
	tailBytes = 8 << 20 // bytes of their messages
)

// Tail is one watcher. Writers never wait for it: what it has no room for is lost to it and counted.
type Tail struct {
	// C gives what arrives, durable already, in the order of storing. It is closed when the store stops. Each arrival taken
	// is to be given to Release.
	C      <-chan Arrival
	c      chan Arrival
	lost   atomic.Int64
	queued atomic.Int64 // bytes
	query  TailQuery
	groups []uint64
	hub    *hub
}

// Lost gives the number of events lost since the last call.
func (t *Tail) Lost() int64 { return t.lost.Swap(0) }

// Release says that an arrival taken from C has been dealt with.
func (t *Tail) Release(a Arrival) { t.queued.Add(-a.bytes) }

// Close ends the watching.
func (t *Tail) Close() { t.hub.remove(t) }

// hub knows who watches which group.
type hub struct {
	mu     sync.RWMutex
	groups map[uint64]map[*Tail]struct{} // guarded by mu
	ended  bool                          // guarded by mu
}

// Tail watches what arrives from now on in groups. A group that is deleted just falls silent.
func (s *Store) Tail(q TailQuery) (*Tail, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	c := make(chan Arrival, tailQueue)
	t := &Tail{C: c, c: c, query: q, hub: &s.tail}
	for _, name := range q.Groups {
		g := s.group(name)
		if g == nil {
			return nil, noGroup()
		}
		t.groups = append(t.groups, g.ID)
	}
	if !s.tail.add(t) {
		return nil, fault.New(fault.Unavailable, "The log store is shutting down.")
	}
	return t, nil
}

func (h *hub) add(t *Tail) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	if h.groups == nil {
		h.groups = map[uint64]map[*Tail]struct{}{}
	}
	for _, id := range t.groups {
		if h.groups[id] == nil {
			h.groups[id] = map[*Tail]struct{}{}
		}
		h.groups[id][t] = struct{}{}
	}
	return true
}

func (h *hub) remove(t *Tail) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range t.groups {
		delete(h.groups[id], t)
		if len(h.groups[id]) == 0 {
			delete(h.groups, id)
		}
	}
}

// close ends all watching when the store stops.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	closed := map[*Tail]bool{}
	for _, tails := range h.groups {
		for t := range tails {
			if !closed[t] {
				close(t.c)
				closed[t] = true
			}
		}
	}
	h.groups = nil
}

func (h *hub) watched(group uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.groups[group]) > 0
}

// publish hands arrivals to their watchers without ever waiting.
func (h *hub) publish(arrivals []Arrival) {
	if len(arrivals) == 0 {
		return
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, a := range arrivals {
		for t := range h.groups[a.group] {
			if !t.query.wants(a.Stream) {
				continue
			}
			t.offer(a)
		}
	}
}

func (t *Tail) offer(a Arrival) {
	if t.queued.Add(a.bytes) <= tailBytes {
		select {
		case t.c <- a:
			return
		default:
		}
	}
	t.queued.Add(-a.bytes)
	t.lost.Add(int64(len(a.Events)))
}
