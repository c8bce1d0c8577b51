package placement

import (
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// What follows is computed once for the instances of a cluster and a definition, expression or list of attributes, and kept
// with the roster until an instance changes: an instance has some fifty attributes.

type suitsKey struct {
	definition *ecs.TaskDefinition
	// added are the attributes that the definition does not require by itself.
	added string
	// native are those that native agents must have beside: of overrides too.
	native string
	ec2    bool
}

type memberKey string

type partitionKey string

// eligible tells of each instance whether its attributes suit and it meets the static constraints.
func (c *check) eligible(r *state.Roster) []bool {
	key := suitsKey{definition: c.Definition, ec2: c.ec2}
	for _, a := range c.required[len(c.Definition.RequiresAttributes):] {
		key.added += a.Name + "\x00" + a.Value + "\x00"
	}
	key.native = strings.Join(c.native, "\x00")
	suits := r.Memo(key, func() any { return column(r, c.suits) }).([]bool)
	var both []bool
	for i := range c.members {
		m := &c.members[i]
		if m.expr != nil && !m.static {
			continue
		}
		meets := r.Memo(memberKey(m.text), func() any {
			return column(r, func(i *ecs.Instance) bool { return c.meets(m, &candidate{instance: i}) })
		}).([]bool)
		if both == nil {
			both = append(both, suits...)
		}
		for at := range both {
			both[at] = both[at] && meets[at]
		}
	}
	if both == nil {
		return suits
	}
	return both
}

func column(r *state.Roster, is func(*ecs.Instance) bool) []bool {
	out := make([]bool, len(r.Instances))
	for at, i := range r.Instances {
		out[at] = is(i)
	}
	return out
}

// partition parts instances into cells.
type partition struct {
	// cellOf is the cell of each instance of the roster, paths the counters of each cell.
	cellOf []int32
	paths  [][]int32
	// counters is how many counters there are.
	counters int
}

// partition parts the instances by the values of the attributes that are spread by, and is nil if there are none. Instances
// without one are together.
func (c *check) partition(r *state.Roster) *partition {
	names := c.order.attributes
	if names == nil {
		return nil
	}
	return r.Memo(partitionKey(strings.Join(names, "\x00")), func() any { return newPartition(r, names) }).(*partition)
}

func newPartition(r *state.Roster, names []string) *partition {
	type step struct {
		from  int32
		value string
		has   bool
	}
	p := &partition{cellOf: make([]int32, len(r.Instances))}
	numbers, cellAt := map[step]int32{}, map[int32]int32{}
	for at, i := range r.Instances {
		path, last := make([]int32, 0, len(names)), int32(-1)
		for _, name := range names {
			s := step{from: last}
			s.value, s.has = i.Attribute(name)
			n, ok := numbers[s]
			if !ok {
				n = int32(len(numbers))
				numbers[s] = n
			}
			path, last = append(path, n), n
		}
		k, ok := cellAt[last]
		if !ok {
			k = int32(len(p.paths))
			cellAt[last] = k
			p.paths = append(p.paths, path)
		}
		p.cellOf[at] = k
	}
	p.counters = len(numbers)
	return p
}
