package placement

import (
	"bytes"
	"math"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// candidate is an instance with what is free of it, as the tasks placed so far leave it.
type candidate struct {
	instance *ecs.Instance
	// cpu, memory and enis are what is free.
	cpu, memory, enis int32
	// placed is how many tasks of the request it has got, group how many of the request's group it has with them.
	placed, group int32
	// cell is the number of the candidate's cell.
	cell int32
	// checked tells that all was looked at that a task needs, and gpus is what is free of these.
	checked bool
	gpus    []string
	// load is how full the instance is with one task more, 1 being full.
	load float64
	// arrival is when the next task comes at random.
	arrival float64
	// tie goes before the id where all else is the same.
	tie uint64
}

// noLimit is more network interfaces than any instance has.
const noLimit = math.MaxInt32

func makeCandidate(i *ecs.Instance, u *state.Use) candidate {
	n := candidate{instance: i, cpu: i.Registered.CPU, memory: i.Registered.MemoryMiB, enis: noLimit}
	if i.Registered.ENIs > 0 {
		n.enis = i.Registered.ENIs
	}
	if u != nil {
		n.cpu -= u.CPU
		n.memory -= u.MemoryMiB
		n.enis -= u.ENIs
	}
	return n
}

// candidate makes one by itself, with what its order needs.
func (c *check) candidate(i *ecs.Instance) candidate {
	in := c.tables.InUse(i.ID)
	n := makeCandidate(i, &state.Use{CPU: in.CPU, MemoryMiB: in.MemoryMiB, ENIs: in.ENIs})
	if c.counts {
		n.group = c.tables.GroupCount(c.Cluster, c.Group, i.ID)
	}
	n.load = n.loadWith(&c.needs)
	return n
}

// take gives the candidate one task more.
func (c *check) take(n *candidate) Placement {
	p := Placement{Instance: n.instance.ID}
	n.cpu -= c.needs.CPU
	n.memory -= c.needs.MemoryMiB
	n.enis -= c.needs.ENIs
	n.group++
	n.placed++
	if c.gpus > 0 {
		p.GPUs, n.gpus = n.gpus[:c.gpus:c.gpus], n.gpus[c.gpus:]
	}
	n.load = n.loadWith(&c.needs)
	if c.order.random {
		n.arrival += c.interval(n)
	}
	return p
}

func (n *candidate) loadWith(needs *ecs.Resources) float64 {
	return max(
		fraction(n.instance.Registered.CPU-n.cpu+needs.CPU, n.instance.Registered.CPU),
		fraction(n.instance.Registered.MemoryMiB-n.memory+needs.MemoryMiB, n.instance.Registered.MemoryMiB),
	)
}

func fraction(used, of int32) float64 {
	if of <= 0 {
		return 1
	}
	return float64(used) / float64(of)
}

// compareID is the order where all else is the same, so that it is total.
func compareID(a, b *candidate) int {
	switch {
	case a.tie < b.tie:
		return -1
	case a.tie > b.tie:
		return 1
	}
	return bytes.Compare(a.instance.ID[:], b.instance.ID[:])
}
