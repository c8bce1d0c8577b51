package deploy

import (
	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// victims chooses n of a deployment's tasks to be stopped: those that do not run yet first, then those that the placement strategy
// can do without. Tasks that are protected, if that counts, moving or unhealthy are not chosen.
func (d *decision) victims(now ecs.Millis, t *state.Tables, cluster string, of *ecs.Deployment, c *census, n int, protect, byZones bool) []*ecs.Task {
	var waiting, running []*ecs.Task
	moving := make(map[*ecs.Task]bool, len(c.moving))
	for _, task := range c.moving {
		moving[task] = true
	}
	for task := range t.Tasks.StartedBy(cluster, of.ID) {
		switch {
		case !task.IsWanted() || task.HealthStatus == ecs.HealthUnhealthy || moving[task]:
		case protect && task.Protected(now):
			loop.Sooner(&d.wake, task.ProtectedUntil)
		case task.IsHealthy():
			running = append(running, task)
		default:
			waiting = append(waiting, task)
		}
	}
	strategy := of.PlacementStrategy
	if byZones {
		strategy = append([]ecs.PlacementStrategy{byZone}, strategy...)
	}
	out := placement.ChooseToStop(t, waiting, strategy, n)
	return append(out, placement.ChooseToStop(t, running, strategy, n-len(out))...)
}
