package state

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
)

// SpareInterfaces are those that the host of an instance offers in some of the subnets named and no task has, in the order in which
// the subnets are named.
func (t *Tables) SpareInterfaces(i *ecs.Instance, subnets []string) []ecs.SpareInterface {
	free := i.SpareInterfaces()
	if len(free) == 0 {
		return nil
	}
	taken := map[string]bool{}
	for task := range t.Tasks.OnInstance(i.ID) {
		if task.Interface != nil && task.LastStatus < ecs.TaskStopped {
			taken[task.Interface.MAC] = true
		}
	}
	free = slices.DeleteFunc(free, func(s ecs.SpareInterface) bool {
		return taken[s.MAC] || !slices.Contains(subnets, s.SubnetID)
	})
	slices.SortStableFunc(free, func(a, b ecs.SpareInterface) int {
		return slices.Index(subnets, a.SubnetID) - slices.Index(subnets, b.SubnetID)
	})
	return free
}
