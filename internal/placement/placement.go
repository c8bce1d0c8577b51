// Package placement decides which instances tasks go to, and which of a service's stop first. It reads tables and changes
// nothing: the same tables and the same request give the same answer.
//
// Tasks of one request are placed together: each instance of the cluster is looked at once, those that can take a task go into
// heaps in the order that the strategy makes of them (order.go), and each task takes the first, so that the cost is near
// nodes + tasks * log(nodes). What an instance must meet is in check.go.
//
// For few tasks without a strategy in a large cluster only as many instances are looked at as make a good choice (window.go).
package placement

import (
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
	ReasonGPU       = "RESOURCE:GPU"
	ReasonPorts     = "RESOURCE:PORTS"
	ReasonENI       = "RESOURCE:ENI"
	ReasonMemberOf  = "MemberOf placement constraint unsatisfied."
	// ReasonDaemon is ours: a critical daemon does not run on the instance, or not yet.
	ReasonDaemon   = "DAEMON"
	ReasonDistinct = "DistinctInstance placement constraint unsatisfied."
)

// ReasonNoFargate is what those are told in place of failures who asked for Fargate and need not know of instances.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
const ReasonNoFargate = "Capacity is unavailable at this time. Please try again later or in a different availability zone"

// Request is a group of like tasks to be placed. Its constraints and strategy are valid ones (ValidateConstraints,
// ValidateStrategy): an expression that cannot be read is met by no instance.
type Request struct {
	Cluster    string
	Definition *ecs.TaskDefinition
	Overrides  *ecs.TaskOverride
	// Group is the tasks' group (service:NAME, family:NAME or another): what spread and distinctInstance count. Empty is the
	// definition's family:NAME.
	Group string
	// Constraints are those of the request or of the service; the definition's own are added to them.
	Constraints []ecs.PlacementConstraint
	// Strategy is what the instances are ordered by; without one the least loaded take tasks first.
	Strategy []ecs.PlacementStrategy
	// CapacityProvider restricts the tasks to the instances of a provider. FARGATE and FARGATE_SPOT mean launch type FARGATE.
	CapacityProvider string
	// Count is how many tasks; 0 places none.
	Count int
	// LaunchType is EC2 (also if empty), FARGATE or EXTERNAL.
	LaunchType string
	// Attributes are what an instance must have beside those that the definition requires.
	Attributes []ecs.Attribute
	// Subnets are those in which a task in the network mode awsvpc may be.
	Subnets []string
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

// Place chooses an instance for each task, in the order of the strategy. If there is room for fewer than Count, it gives those
// places and, for each ACTIVE instance of the cluster (of the capacity provider, if the request names one), why that takes
// no more; without such instances there are no failures. The result is ordered as chosen.
func Place(t *state.Tables, r Request) ([]Placement, []Failure) {
	if r.Count <= 0 {
		return nil, nil
	}
	c := newCheck(t, r)
	if enough := c.window(); enough != all {
		if placed := c.placeInWindow(enough); len(placed) == r.Count {
			return placed, nil
		}
	}
	roster := t.Roster(r.Cluster)
	if r.Count == 1 {
		if top := c.best(roster); top != nil {
			return []Placement{c.take(top)}, nil
		}
	}
	placed := c.fill(c.sort(roster))
	if len(placed) < r.Count {
		return placed, c.failures(roster, placed)
	}
	return placed, nil
}

// Check says why one instance cannot take one task of the request, or "" if it can.
func Check(t *state.Tables, r Request, i *ecs.Instance) string {
	_, reason := On(t, r, i)
	return reason
}

// On places one task on the instance, wherever others would go: StartTask names its instances. If that cannot take it, reason says
// why, and is "" otherwise.
func On(t *state.Tables, r Request, i *ecs.Instance) (p Placement, reason string) {
	if i == nil || i.Cluster != r.Cluster {
		return Placement{}, ReasonMissing
	}
	if i.Status != ecs.InstanceActive {
		return Placement{}, ReasonInactive
	}
	c := newCheck(t, r)
	n := c.candidate(i)
	if reason := c.reason(&n); reason != "" {
		return Placement{}, reason
	}
	return c.take(&n), ""
}

// failures explains, after placed, why no instance takes another task.
func (c *check) failures(r *state.Roster, placed []Placement) []Failure {
	count := map[ecs.InstanceID]int32{}
	for _, p := range placed {
		count[p.Instance]++
	}
	var out []Failure
	for _, i := range r.Instances {
		if !c.considers(i) {
			continue
		}
		n := c.candidate(i)
		reason := c.reason(&n)
		for range count[i.ID] {
			c.take(&n)
			reason = c.fits(&n)
		}
		out = append(out, Failure{Instance: i.ID, Reason: reason})
	}
	return out
}
