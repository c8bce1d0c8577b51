// Package placement decides which instances tasks go to. It reads tables and changes nothing: the same tables and the same
// request give the same answer.
//
// Tasks of one request are placed together: each instance of the cluster is looked at once, those that fit go into a heap
// by how full the task would make them, and each task takes the top, so that the cost is near nodes + tasks * log(nodes).
// Constraints and strategies have their place in Request and in candidate.less.
//
// For few tasks in a large cluster only as many instances are looked at as make a good choice (see window).
package placement

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"hash/fnv"
	"iter"
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Reasons of failures, in the order in which they are looked for.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
const (
	ReasonMissing   = "MISSING"
	ReasonInactive  = "INACTIVE"
	ReasonAgent     = "AGENT"
	ReasonAttribute = "ATTRIBUTE"
	ReasonCPU       = "RESOURCE:CPU"
	ReasonMemory    = "RESOURCE:MEMORY"
	ReasonPorts     = "RESOURCE:PORTS"
	ReasonGPU       = "RESOURCE:GPU"
)

// What agents say of themselves and launch types ask for: that they are outside EC2, and that they isolate tasks as Fargate does.
const (
	attributeExternal = "ecs.capability.external"
	attributeFargate  = "roadstead.capability.fargate"
)

// Request is a group of like tasks to be placed.
type Request struct {
	Cluster    string
	Definition *ecs.TaskDefinition
	Overrides  *ecs.TaskOverride
	// Group is the tasks' group (service:NAME, family:NAME or another): what spread and distinctInstance count.
	Group string
	// Constraints are those of the request or of the service; the definition's own are added to them.
	Constraints []ecs.PlacementConstraint
	Strategy    []ecs.PlacementStrategy
	// CapacityProvider restricts the tasks to the instances of a provider, unless it is empty, FARGATE or FARGATE_SPOT.
	CapacityProvider string
	// Count is how many tasks; 0 places none.
	Count int
	// LaunchType is EC2 (also if empty), which any instance serves, EXTERNAL or FARGATE.
	LaunchType string
	// Attributes are what an instance must have beside those that the definition requires.
	Attributes []ecs.Attribute
	// Connected tells whether an instance's agent is there; nil means that all are.
	Connected func(ecs.InstanceID) bool
}

// Failure says why an instance could take no more of the tasks.
type Failure struct {
	Instance ecs.InstanceID
	Reason   string
}

// Placement is a place for one task.
type Placement struct {
	Instance ecs.InstanceID
	// GPUs are the ids of those of the instance's GPUs that the task gets.
	GPUs []string
}

// Place chooses an instance for each task, least loaded first. If it has room for fewer than Count, it gives those
// it has and, for each ACTIVE instance of the cluster, why that takes no more; a cluster without one gives no failures.
// The result is ordered as chosen.
func Place(t *state.Tables, r Request) ([]Placement, []Failure) {
	if r.Count <= 0 {
		return nil, nil
	}
	c := newCheck(r)
	enough := c.window(t)
	if r.Count == 1 {
		if best := c.least(t, enough); best != nil {
			return []Placement{{Instance: best.instance.ID}}, nil
		}
		return nil, c.failures(t, nil)
	}
	placed := c.fill(c.candidates(t, enough))
	if len(placed) < r.Count && enough != all {
		placed = c.fill(c.candidates(t, all))
	}
	if len(placed) < r.Count {
		return placed, c.failures(t, placed)
	}
	return placed, nil
}

// fill places up to Count tasks on the candidates, the least loaded first.
func (c *check) fill(candidates candidates) []Placement {
	heap.Init(&candidates)
	placed := make([]Placement, 0, min(c.Count, 1024))
	for len(placed) < c.Count && len(candidates) > 0 {
		top := candidates[0]
		placed = append(placed, Placement{Instance: top.instance.ID})
		top.take(c.needs)
		if c.fits(top) != "" {
			heap.Pop(&candidates)
			continue
		}
		top.load = top.loadWith(c.needs)
		heap.Fix(&candidates, 0)
	}
	return placed
}

// Check says why one instance cannot take one task of the request, or "" if it can. StartTask names its instances.
func Check(t *state.Tables, r Request, i *ecs.Instance) string {
	if i == nil || i.Cluster != r.Cluster {
		return ReasonMissing
	}
	if i.Status != ecs.InstanceActive {
		return ReasonInactive
	}
	c := newCheck(r)
	n := newCandidate(i, t.InUse(i.ID), c.needs)
	return c.reason(n)
}

// check is a request made ready for looking at many instances.
type check struct {
	Request
	needs    ecs.Resources
	gpu      bool
	required []ecs.Attribute
}

func newCheck(r Request) *check {
	c := &check{Request: r, needs: r.Definition.Needs(r.Overrides), required: r.Definition.RequiresAttributes}
	_, gpus := r.Definition.NeedsGPUs(r.Overrides)
	c.gpu = gpus > 0
	switch r.LaunchType {
	case ecs.LaunchExternal:
		c.required = append(slices.Clip(c.required), ecs.Attribute{Name: attributeExternal})
	case ecs.LaunchFargate:
		c.required = append(slices.Clip(c.required), ecs.Attribute{Name: attributeFargate})
	}
	c.required = append(slices.Clip(c.required), r.Attributes...)
	return c
}

func (c *check) reason(n *candidate) string {
	if c.Connected != nil && !c.Connected(n.instance.ID) {
		return ReasonAgent
	}
	if !hasAttributes(n.instance, c.required) {
		return ReasonAttribute
	}
	return c.fits(n)
}

// fits looks at resources alone: what changes while tasks of the request are placed.
func (c *check) fits(n *candidate) string {
	switch {
	case n.cpu < c.needs.CPU:
		return ReasonCPU
	case n.memory < c.needs.MemoryMiB:
		return ReasonMemory
	case c.gpu:
		return ReasonGPU
	case len(c.needs.Ports) > 0 && n.portsClash(c.needs.Ports):
		return ReasonPorts
	}
	return ""
}

func hasAttributes(i *ecs.Instance, required []ecs.Attribute) bool {
	for _, a := range required {
		value, ok := i.Attribute(a.Name)
		if !ok || (a.Value != "" && a.Value != value) {
			return false
		}
	}
	return true
}

// all is the window of everything.
const all = 0

// How many instances with room are enough to choose from, and how many for each task of several.
const (
	enoughToChoose  = 24
	enoughPerTask   = 4
	smallestToShare = 2 * enoughToChoose
)

// window is how many candidates are enough. The least loaded of some tens is nearly as good a choice as the least loaded
// of thousands, and looking at all of those for each single task would make many calls cost their product.
// M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.
func (c *check) window(t *state.Tables) int {
	n := int(t.ClusterCounts(c.Cluster).Instances)
	enough := max(enoughToChoose, c.Count*enoughPerTask)
	if n < smallestToShare || c.Count > n/enoughPerTask || enough >= n {
		return all
	}
	return enough
}

// start is where a window begins. It follows from the tables, so that the same question has the same answer, and each task
// placed moves it.
func (c *check) start(t *state.Tables) (id ecs.InstanceID) {
	n := t.ClusterCounts(c.Cluster)
	h := fnv.New64a()
	h.Write([]byte(c.Definition.Family))
	at := mix(h.Sum64() ^ uint64(c.Definition.Revision))
	at = mix(at ^ uint64(n.Pending)<<32 ^ uint64(n.Running))
	at = mix(at ^ uint64(t.Tasks.Len()))
	binary.BigEndian.PutUint64(id[:], at)
	return id
}

// tie orders equally loaded instances of a window at random, but always the same: by id the first one behind the start
// would be taken, and runs of loaded instances grow.
func (c *check) tie(t *state.Tables, n *candidate, enough int) uint64 {
	if enough == all {
		return 0
	}
	return mix(binary.BigEndian.Uint64(n.instance.ID[:]) ^ uint64(t.Tasks.Len()))
}

// mix spreads every bit of x over all of the result (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// active iterates over the cluster's ACTIVE instances, by id; for a window from its start on and around.
func (c *check) active(t *state.Tables, enough int) iter.Seq[*ecs.Instance] {
	var start ecs.InstanceID
	if enough != all {
		start = c.start(t)
	}
	return func(yield func(*ecs.Instance) bool) {
		for i := range t.Instances.InClusterFrom(c.Cluster, start) {
			if i.Status == ecs.InstanceActive && !yield(i) {
				return
			}
		}
		if start.IsZero() {
			return
		}
		for i := range t.Instances.InCluster(c.Cluster) {
			if bytes.Compare(i.ID[:], start[:]) >= 0 {
				return
			}
			if i.Status == ecs.InstanceActive && !yield(i) {
				return
			}
		}
	}
}

// candidates are the instances that can take one task, or enough of them.
func (c *check) candidates(t *state.Tables, enough int) candidates {
	var out candidates
	for i := range c.active(t, enough) {
		n := newCandidate(i, t.InUse(i.ID), c.needs)
		if c.reason(n) != "" {
			continue
		}
		n.tie = c.tie(t, n, enough)
		if out = append(out, n); len(out) == enough {
			break
		}
	}
	return out
}

// least is the first candidate in order, found without making a heap; nil if there is none.
func (c *check) least(t *state.Tables, enough int) *candidate {
	var best *candidate
	var spare candidate
	seen := 0
	for i := range c.active(t, enough) {
		spare = makeCandidate(i, t.InUse(i.ID), c.needs)
		if c.reason(&spare) != "" {
			continue
		}
		spare.tie = c.tie(t, &spare, enough)
		if best == nil || spare.less(best) {
			keep := spare
			best = &keep
		}
		if seen++; seen == enough {
			break
		}
	}
	return best
}

// failures explains, after placed, why no instance takes another task.
func (c *check) failures(t *state.Tables, placed []Placement) []Failure {
	count := map[ecs.InstanceID]int{}
	for _, p := range placed {
		count[p.Instance]++
	}
	var out []Failure
	for i := range c.active(t, all) {
		n := newCandidate(i, t.InUse(i.ID), c.needs)
		for range count[i.ID] {
			n.take(c.needs)
		}
		out = append(out, Failure{Instance: i.ID, Reason: c.reason(n)})
	}
	return out
}
