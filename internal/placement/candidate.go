package placement

import (
	"bytes"
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
)

// candidate is an instance with what is free of it, as the tasks placed so far leave it.
type candidate struct {
	instance    *ecs.Instance
	cpu, memory int32
	used        []ecs.Port
	// load is how full the instance is with one task more, 1 being full; key of the order.
	load float64
	// tie goes before the id where the load is the same.
	tie uint64
}

func makeCandidate(i *ecs.Instance, inUse ecs.Resources, needs ecs.Resources) candidate {
	n := candidate{
		instance: i,
		cpu:      i.Registered.CPU - inUse.CPU,
		memory:   i.Registered.MemoryMiB - inUse.MemoryMiB,
		used:     inUse.Ports,
	}
	n.load = n.loadWith(needs)
	return n
}

func newCandidate(i *ecs.Instance, inUse ecs.Resources, needs ecs.Resources) *candidate {
	n := makeCandidate(i, inUse, needs)
	return &n
}

// take counts one task more. The list of used ports is the state's and never appended to in place.
func (n *candidate) take(needs ecs.Resources) {
	n.cpu -= needs.CPU
	n.memory -= needs.MemoryMiB
	if len(needs.Ports) > 0 {
		n.used = slices.Concat(n.used, needs.Ports)
	}
}

func (n *candidate) loadWith(needs ecs.Resources) float64 {
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

func (n *candidate) portsClash(wanted []ecs.Port) bool {
	for _, p := range wanted {
		if slices.Contains(n.used, p) || slices.Contains(n.instance.Registered.Ports, p) {
			return true
		}
	}
	return false
}

// less is the order in which instances are filled: the least loaded first, then by id, so that it is total.
func (n *candidate) less(m *candidate) bool {
	if n.load != m.load {
		return n.load < m.load
	}
	if n.tie != m.tie {
		return n.tie < m.tie
	}
	return bytes.Compare(n.instance.ID[:], m.instance.ID[:]) < 0
}

// candidates is a heap.
type candidates []*candidate

func (h candidates) Len() int           { return len(h) }
func (h candidates) Less(i, j int) bool { return h[i].less(h[j]) }
func (h candidates) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *candidates) Push(x any)        { *h = append(*h, x.(*candidate)) }
func (h *candidates) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
