// Package orphans ends tasks whose instance is INACTIVE: nobody will report on them any more. Whoever deregisters an
// instance ends them himself; this is for what he did not come to.
package orphans

import (
	"context"
	"log/slog"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the controller needs.
type Config struct {
	Store *state.Store
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Run ends orphans until ctx ends.
func Run(ctx context.Context, c Config) error {
	return loop.Run(ctx, loop.Config{Name: "orphans", Store: c.Store, Now: c.Now, Log: c.Log, Plan: Plan, Interested: instanceLeft})
}

// instanceLeft tells whether an instance became INACTIVE.
func instanceLeft(c *state.Commit) bool {
	for _, ch := range c.Instances {
		if ch.New != nil && ch.New.Status == ecs.InstanceInactive {
			return true
		}
	}
	return false
}

// Plan ends the tasks of INACTIVE instances.
func Plan(now ecs.Millis, t *state.Tables) ([]loop.Change, ecs.Millis) {
	var changes []loop.Change
	for i := range t.Instances.All() {
		if i.Status != ecs.InstanceInactive {
			continue
		}
		for task := range t.Tasks.OnInstance(i.ID) {
			if task.LastStatus < ecs.TaskStopped {
				changes = append(changes, end(now, task.ID))
			}
		}
	}
	return changes, 0
}

func end(now ecs.Millis, id ecs.TaskID) loop.Change {
	return func(tx *state.Tx) error {
		task := tx.Tasks.Get(id)
		if task == nil {
			return nil
		}
		if i := tx.Instances.Get(task.Instance); i != nil && i.Status != ecs.InstanceInactive {
			return nil
		}
		lifecycle.Lose(tx, now, task, ecs.StopUserInitiated, "Container instance deregistered.")
		return nil
	}
}
