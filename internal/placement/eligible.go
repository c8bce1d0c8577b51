package placement

import (
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Eligible gives the ACTIVE instances, by id, that tasks of a request may be on by attributes, capacity provider and constraints,
// whatever room they have and whether their agents are there: those that a daemon is for.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service-options.html
func Eligible(t *state.Tables, r Request) []*ecs.Instance {
	c := newCheck(t, r)
	var out []*ecs.Instance
	for _, i := range t.Roster(r.Cluster).Instances {
		if !c.considers(i) || !c.suits(i) {
			continue
		}
		if n := c.candidate(i); c.allowed(&n) {
			out = append(out, i)
		}
	}
	return out
}

// allowed looks at every constraint but distinctInstance.
func (c *check) allowed(n *candidate) bool {
	for i := range c.members {
		if !c.meets(&c.members[i], n) {
			return false
		}
	}
	return true
}
