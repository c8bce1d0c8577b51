package placement

import (
	"cmp"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// level is what one strategy of a chain orders by.
type level uint8

const (
	// byAttribute: the fewest tasks of the group on all instances with the same value of the attribute (and, where spreads are chained,
	// of those before it).
	byAttribute level = iota
	// byInstance: the fewest tasks of the group.
	byInstance
	// byCPU, byMemory: the least that is free.
	byCPU
	byMemory
	byRandom
)

// order is a strategy made ready: instances are compared by the first level in which they differ. Where they differ in none,
// the least loaded goes first, or, if the strategy packs, the most loaded.
type order struct {
	levels []level
	// attributes are the names of those spread by, as many as there are such levels.
	attributes []string
	// What there is among the levels.
	instances, packed, random bool
}

func newOrder(strategy []ecs.PlacementStrategy) order {
	var o order
	for _, s := range strategy[:min(len(strategy), MaxStrategies)] {
		switch {
		case s.Type == ecs.StrategyRandom:
			o.levels, o.random = append(o.levels, byRandom), true
		case s.Type == ecs.StrategyBinpack && strings.EqualFold(s.Field, binpackCPU):
			o.levels, o.packed = append(o.levels, byCPU), true
		case s.Type == ecs.StrategyBinpack:
			o.levels, o.packed = append(o.levels, byMemory), true
		case isInstance(s.Field):
			o.levels, o.instances = append(o.levels, byInstance), true
		default:
			o.levels = append(o.levels, byAttribute)
			o.attributes = append(o.attributes, strings.TrimPrefix(s.Field, attributePrefix))
		}
	}
	return o
}

// strategic tells whether the order is more than random, so that all instances must be known.
func (o *order) strategic() bool { return o.packed || o.instances || len(o.attributes) > 0 }

// cell holds the candidates that have the same values of all attributes that are spread by: levels of attributes are the
// same for all of them, and placing a task changes the order of one of them only.
type cell struct {
	candidates heap[*candidate]
	// paths are the numbers of its counters, one for each attribute.
	paths []int32
	// counts are the counters as they were when the cell got its place among the cells. They only grow, so that a cell's
	// place is never too late: who comes to it looks again.
	counts [MaxStrategies]int32
}

// cells are the candidates in order.
type cells struct {
	heap heap[*cell]
	// counters are the tasks of the group with the same values up to an attribute.
	counters []int32
}

// refresh brings a cell up to date and tells whether it was not.
func (s *cells) refresh(x *cell) bool {
	stale := false
	for i, p := range x.paths {
		if x.counts[i] != s.counters[p] {
			x.counts[i], stale = s.counters[p], true
		}
	}
	return stale
}

// compare orders two candidates; the cells are nil where it is the same one.
func (o *order) compare(a, b *candidate, x, y *cell) int {
	attribute := 0
	for _, l := range o.levels {
		d := 0
		switch l {
		case byAttribute:
			if x != nil {
				d = cmp.Compare(x.counts[attribute], y.counts[attribute])
			}
			attribute++
		case byInstance:
			d = cmp.Compare(a.group, b.group)
		case byCPU:
			d = cmp.Compare(a.cpu, b.cpu)
		case byMemory:
			d = cmp.Compare(a.memory, b.memory)
		case byRandom:
			d = cmp.Compare(a.arrival, b.arrival)
		}
		if d != 0 {
			return d
		}
	}
	switch {
	case a.load == b.load:
		return compareID(a, b)
	case a.load < b.load != o.packed:
		return -1
	}
	return 1
}

func (o *order) candidates(items []*candidate) heap[*candidate] {
	return makeHeap(items, func(a, b *candidate) bool { return o.compare(a, b, nil, nil) < 0 })
}

func (o *order) cells(items []*cell, counters []int32) *cells {
	s := &cells{counters: counters}
	for _, x := range items {
		s.refresh(x)
	}
	s.heap = makeHeap(items, func(x, y *cell) bool {
		return o.compare(x.candidates.items[0], y.candidates.items[0], x, y) < 0
	})
	return s
}

// single makes one cell of candidates that no attribute parts.
func (c *check) single(items []*candidate) *cells {
	if len(items) == 0 {
		return c.order.cells(nil, nil)
	}
	return c.order.cells([]*cell{{candidates: c.order.candidates(items)}}, nil)
}

// fill places up to Count tasks, each on the first candidate.
func (c *check) fill(s *cells) []Placement {
	placed := make([]Placement, 0, min(c.Count, 1<<14))
	for len(placed) < c.Count && len(s.heap.items) > 0 {
		x := s.heap.items[0]
		if s.refresh(x) {
			s.heap.fix()
			continue
		}
		top := x.candidates.items[0]
		full := !top.checked && (!c.takes(top.instance.ID) || c.devices(top) != "")
		if !full {
			placed = append(placed, c.take(top))
			for _, p := range x.paths {
				s.counters[p]++
			}
			s.refresh(x)
			full = c.fits(top) != ""
		}
		if full {
			x.candidates.pop()
		} else {
			x.candidates.fix()
		}
		if len(x.candidates.items) == 0 {
			s.heap.pop()
		} else {
			s.heap.fix()
		}
	}
	return placed
}

// sort looks at all instances and puts those that can take a task, as far as is seen without their devices and connections,
// in order.
func (c *check) sort(r *state.Roster) *cells {
	made, in := make([]candidate, 0, len(r.Instances)), make([][]*candidate, 1)
	parts := c.partition(r)
	if parts != nil {
		in = make([][]*candidate, len(parts.paths))
	}
	groups := c.fitting(r, parts, func(n *candidate) {
		made = append(made, *n)
		in[n.cell] = append(in[n.cell], &made[len(made)-1])
	})
	if parts == nil {
		return c.single(in[0])
	}
	return c.parted(parts, in, groups)
}

// best is the first candidate of all, for one task, found without a list of them. It is nil if there is none, or if it
// turns out not to be one: then sort tells more.
func (c *check) best(r *state.Roster) *candidate {
	if len(r.Instances) == 0 {
		return nil
	}
	first := make([]candidate, 1)
	parts := c.partition(r)
	if parts != nil {
		first = make([]candidate, len(parts.paths))
	}
	groups := c.fitting(r, parts, func(n *candidate) {
		if b := &first[n.cell]; b.instance == nil || c.order.compare(n, b, nil, nil) < 0 {
			*b = *n
		}
	})
	top := &first[0]
	if parts != nil {
		in := make([][]*candidate, len(first))
		for k := range first {
			if first[k].instance != nil {
				in[k] = []*candidate{&first[k]}
			}
		}
		s := c.parted(parts, in, groups)
		if len(s.heap.items) == 0 {
			return nil
		}
		top = s.heap.items[0].candidates.items[0]
	}
	if top.instance == nil || !c.takes(top.instance.ID) || c.devices(top) != "" {
		return nil
	}
	return top
}

// parted makes cells of the candidates in each of them.
func (c *check) parted(parts *partition, in [][]*candidate, groups []int32) *cells {
	counters := make([]int32, parts.counters)
	for at, n := range groups {
		if n > 0 {
			for _, p := range parts.paths[parts.cellOf[at]] {
				counters[p] += n
			}
		}
	}
	var items []*cell
	for k, candidates := range in {
		if len(candidates) > 0 {
			items = append(items, &cell{candidates: c.order.candidates(candidates), paths: parts.paths[k]})
		}
	}
	return c.order.cells(items, counters)
}

// fitting calls add with each candidate, which it may copy, and gives the count of the group of every instance of the
// roster, where that matters.
func (c *check) fitting(r *state.Roster, parts *partition, add func(*candidate)) (groups []int32) {
	uses := make([]*state.Use, len(r.Instances))
	c.tables.EachInUse(r, func(at int, u *state.Use) { uses[at] = u })
	groups = c.groupCounts(r)
	ok := c.eligible(r)
	var n candidate // one for all: add gets its address
	for at, i := range r.Instances {
		if !ok[at] || !c.considers(i) {
			continue
		}
		n = makeCandidate(i, uses[at])
		if groups != nil {
			n.group = groups[at]
		}
		if c.resources(&n) != "" || c.distinct && n.group > 0 || !c.meetsAll(&n) {
			continue
		}
		if parts != nil {
			n.cell = parts.cellOf[at]
		}
		if c.order.random {
			n.arrival = c.interval(&n)
		}
		n.load = n.loadWith(&c.needs)
		add(&n)
	}
	return groups
}

// meetsAll looks at the constraints that are not looked at once for a roster.
func (c *check) meetsAll(n *candidate) bool {
	for i := range c.members {
		if m := &c.members[i]; !m.static && !c.meets(m, n) {
			return false
		}
	}
	return true
}

func (c *check) groupCounts(r *state.Roster) []int32 {
	if !c.counts {
		return nil
	}
	counts, at := make([]int32, len(r.Instances)), 0
	for id, n := range c.tables.GroupCounts(c.Cluster, c.Group) {
		for at < len(r.Instances) && string(r.Instances[at].ID[:]) < string(id[:]) {
			at++
		}
		if at < len(r.Instances) && r.Instances[at].ID == id {
			counts[at] = n
		}
	}
	return counts
}
