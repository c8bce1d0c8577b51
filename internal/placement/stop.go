package placement

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// ChooseToStop chooses n of a service's tasks to be stopped on scale-in, in the order in which to stop them. The tasks are those that
// may be stopped, of one cluster and one group, and to run; those of the group that may not, such as protected ones, count in
// spreads all the same.
//
// Tasks that are on no registered instance go first. Then, by the developer guide, spread stops tasks so that the zones stay
// balanced, and binpack stops them where the most is left free after it. So, if the strategy has no binpack and no random, the
// zone with the most tasks of the group goes first, whatever is spread by, then the fullest value of each attribute or instance that is
// spread by; a service without a strategy is spread over zones. Where nothing decides, it is the instance with the
// most tasks of the group, and the newest task. The same tables and tasks give the same answer.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-strategies.html
func ChooseToStop(t *state.Tables, tasks []*ecs.Task, strategy []ecs.PlacementStrategy, n int) []*ecs.Task {
	if n <= 0 || len(tasks) == 0 {
		return nil
	}
	r := t.Roster(tasks[0].Cluster)
	s := &stopping{order: stopOrder(strategy), tables: t, seed: mix(uint64(t.Tasks.Len())) ^ uint64(len(tasks))}
	byInstance := map[int]*leaving{}
	var chosen []*ecs.Task
	for _, task := range tasks {
		at, found := r.Find(task.Instance)
		if !found {
			chosen = append(chosen, task)
			continue
		}
		if byInstance[at] == nil {
			byInstance[at] = s.leaving(r.Instances[at], task.Group)
		}
		byInstance[at].tasks = append(byInstance[at].tasks, task)
	}
	slices.SortFunc(chosen, newest)
	if len(chosen) >= n {
		return chosen[:n]
	}
	return s.choose(s.cells(r, byInstance, tasks[0]), chosen, n)
}

// stopOrder is the strategy's order, with the zones before it where it only spreads.
func stopOrder(strategy []ecs.PlacementStrategy) order {
	o := newOrder(strategy)
	if o.packed || o.random {
		return o
	}
	zone := ecs.PlacementStrategy{Type: ecs.StrategySpread, Field: attributePrefix + ecs.AttributeZone}
	rest := slices.DeleteFunc(slices.Clone(strategy), func(s ecs.PlacementStrategy) bool { return s == zone })
	return newOrder(append([]ecs.PlacementStrategy{zone}, rest[:min(len(rest), MaxStrategies-1)]...))
}

// stopping is a choice under way.
type stopping struct {
	order    order
	tables   *state.Tables
	seed     uint64
	counters []int32
}

// leaving is an instance with those of its tasks that may be stopped, the first to go first.
type leaving struct {
	tasks []*ecs.Task
	// cpu and memory are what is free, group how many tasks of the group there are.
	cpu, memory, group int32
}

// leavingCell has the instances with the same values of all attributes that are spread by, as cell has.
type leavingCell struct {
	instances heap[*leaving]
	paths     []int32
	counts    [MaxStrategies]int32
}

func (s *stopping) leaving(i *ecs.Instance, group string) *leaving {
	in := s.tables.InUse(i.ID)
	return &leaving{cpu: i.Registered.CPU - in.CPU, memory: i.Registered.MemoryMiB - in.MemoryMiB,
		group: s.tables.GroupCount(i.Cluster, group, i.ID)}
}

func (s *stopping) cells(r *state.Roster, byInstance map[int]*leaving, like *ecs.Task) heap[*leavingCell] {
	parts := newPartition(r, nil)
	if len(s.order.attributes) > 0 {
		parts = (&check{order: s.order}).partition(r)
	}
	s.counters = make([]int32, parts.counters)
	for id, n := range s.tables.GroupCounts(like.Cluster, like.Group) {
		if at, found := r.Find(id); found {
			for _, p := range parts.paths[parts.cellOf[at]] {
				s.counters[p] += n
			}
		}
	}
	in := make([][]*leaving, len(parts.paths))
	for at, l := range byInstance {
		slices.SortFunc(l.tasks, s.before)
		in[parts.cellOf[at]] = append(in[parts.cellOf[at]], l)
	}
	var items []*leavingCell
	for k, instances := range in {
		if len(instances) == 0 {
			continue
		}
		x := &leavingCell{paths: parts.paths[k]}
		x.instances = makeHeap(instances, func(a, b *leaving) bool { return s.compare(a, b, nil, nil) < 0 })
		s.refresh(x)
		items = append(items, x)
	}
	return makeHeap(items, func(x, y *leavingCell) bool {
		return s.compare(x.instances.items[0], y.instances.items[0], x, y) < 0
	})
}

func (s *stopping) refresh(x *leavingCell) bool {
	stale := false
	for i, p := range x.paths {
		if x.counts[i] != s.counters[p] {
			x.counts[i], stale = s.counters[p], true
		}
	}
	return stale
}

// choose takes the first task of the first instance until there are enough. Counters only shrink, so that who comes to a cell
// looks again.
func (s *stopping) choose(cells heap[*leavingCell], chosen []*ecs.Task, n int) []*ecs.Task {
	for len(chosen) < n && len(cells.items) > 0 {
		x := cells.items[0]
		if s.refresh(x) {
			cells.fix()
			continue
		}
		top := x.instances.items[0]
		task := top.tasks[0]
		chosen = append(chosen, task)
		for _, p := range x.paths {
			s.counters[p]--
		}
		s.refresh(x)
		top.tasks = top.tasks[1:]
		top.group--
		top.cpu += task.Reserved.CPU
		top.memory += task.Reserved.MemoryMiB
		if len(top.tasks) == 0 {
			x.instances.pop()
		} else {
			x.instances.fix()
		}
		if len(x.instances.items) == 0 {
			cells.pop()
		} else {
			cells.fix()
		}
	}
	return chosen
}

// compare is negative where a goes before b; the cells are nil where it is the same one.
func (s *stopping) compare(a, b *leaving, x, y *leavingCell) int {
	attribute := 0
	for _, l := range s.order.levels {
		d := 0
		switch l {
		case byAttribute:
			if x != nil {
				d = cmp.Compare(y.counts[attribute], x.counts[attribute])
			}
			attribute++
		case byInstance:
			d = cmp.Compare(b.group, a.group)
		case byCPU:
			d = cmp.Compare(b.cpu+b.tasks[0].Reserved.CPU, a.cpu+a.tasks[0].Reserved.CPU)
		case byMemory:
			d = cmp.Compare(b.memory+b.tasks[0].Reserved.MemoryMiB, a.memory+a.tasks[0].Reserved.MemoryMiB)
		case byRandom:
			d = s.before(a.tasks[0], b.tasks[0])
		}
		if d != 0 {
			return d
		}
	}
	return cmp.Or(cmp.Compare(b.group, a.group), s.before(a.tasks[0], b.tasks[0]))
}

// before orders tasks that nothing else does.
func (s *stopping) before(a, b *ecs.Task) int {
	if s.order.random {
		if d := cmp.Compare(s.chance(a), s.chance(b)); d != 0 {
			return d
		}
	}
	return newest(a, b)
}

func (s *stopping) chance(t *ecs.Task) uint64 { return mix(s.seed ^ binary.BigEndian.Uint64(t.ID[:])) }

func newest(a, b *ecs.Task) int {
	return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
}
