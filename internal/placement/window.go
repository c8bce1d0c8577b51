package placement

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"iter"
	"math"

	"roadstead.dev/roadstead/internal/ecs"
)

// all is the window of everything.
const all = 0

// How many instances with room are enough to choose from, how many for each task of several, and at how many more than
// those the search ends for an index over all of them.
const (
	enoughToChoose  = 12
	enoughPerTask   = 4
	smallestToShare = 48
	lookedAt        = 8
)

// window is how many candidates are enough. The least loaded of a dozen is nearly as good a choice as the least loaded
// of thousands, and looking at all of those for each single task would make many calls cost their product. A strategy is about
// all instances, but for random.
// M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.
func (c *check) window() int {
	n := int(c.tables.ClusterCounts(c.Cluster).Instances)
	enough := max(enoughToChoose, c.Count*enoughPerTask)
	if c.order.strategic() || n < smallestToShare || c.Count > n/enoughPerTask || enough >= n {
		return all
	}
	return enough
}

// placeInWindow places the tasks on as few instances as are enough, looking at not many more.
func (c *check) placeInWindow(enough int) []Placement {
	candidates := make([]candidate, 0, enough)
	looked := 0
	for i := range c.around() {
		if looked++; looked > enough*lookedAt {
			return nil
		}
		n := c.candidate(i)
		if c.reason(&n) != "" {
			continue
		}
		n.tie = mix(binary.BigEndian.Uint64(n.instance.ID[:]) ^ uint64(c.tables.Tasks.Len()))
		if c.order.random {
			n.arrival = c.interval(&n)
		}
		if candidates = append(candidates, n); len(candidates) == enough {
			break
		}
	}
	if len(candidates) < enough {
		return nil
	}
	heap := make([]*candidate, len(candidates))
	for i := range candidates {
		heap[i] = &candidates[i]
	}
	return c.fill(c.single(heap))
}

// newSeed follows from the tables, so that the same question has the same answer, and each task placed changes it.
func (c *check) newSeed() uint64 {
	n := c.tables.ClusterCounts(c.Cluster)
	h := fnv.New64a()
	h.Write([]byte(c.Definition.Family))
	at := mix(h.Sum64() ^ uint64(c.Definition.Revision))
	at = mix(at ^ uint64(n.Pending)<<32 ^ uint64(n.Running))
	return mix(at ^ uint64(c.tables.Tasks.Len()))
}

// mix spreads every bit of x over all of the result (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// interval is the time to a candidate's next task at random. Where each instance's tasks come at intervals of an exponential
// distribution, the one at which the next comes is any with the same probability.
func (c *check) interval(n *candidate) float64 {
	x := mix(c.seed ^ mix(binary.BigEndian.Uint64(n.instance.ID[:])^binary.BigEndian.Uint64(n.instance.ID[8:])<<1^uint64(n.placed)))
	return -math.Log((float64(x>>11) + 1) / (1 << 53))
}

// around iterates over the instances considered from a point that follows from the seed, and on from the first.
func (c *check) around() iter.Seq[*ecs.Instance] {
	var start ecs.InstanceID
	binary.BigEndian.PutUint64(start[:], c.seed)
	return func(yield func(*ecs.Instance) bool) {
		for i := range c.tables.Instances.InClusterFrom(c.Cluster, start) {
			if c.considers(i) && !yield(i) {
				return
			}
		}
		for i := range c.tables.Instances.InCluster(c.Cluster) {
			if bytes.Compare(i.ID[:], start[:]) >= 0 {
				return
			}
			if c.considers(i) && !yield(i) {
				return
			}
		}
	}
}
