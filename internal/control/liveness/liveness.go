// Package liveness ends tasks of services on instances whose agents have been silent for too long, so that the services replace them.
// It alone ends tasks for that. When the agent comes back it is told of no such task, and ends what it has of them, so that none runs twice
// for long.
//
// ECS itself waits until an instance is deregistered; how long an agent may be silent here is a setting. Whether an agent is there is
// known to the leader's sessions and not stored: a new leader counts anew, as the agents have to come to it first.
package liveness

import (
	"context"
	"log/slog"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the controller needs. Store, Connected and After must be set.
type Config struct {
	Store *state.Store
	// Connected tells whether an instance's agent is there. It is called inside updates.
	Connected func(ecs.InstanceID) bool
	// After is how long an agent may be silent; looks are a tenth of it apart, at most ten seconds.
	After time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Reason is what a task that was lost says of its end.
const Reason = "The agent of the task's container instance has been disconnected for too long."

// watcher is a running controller. silent has, for each instance without an agent, since when that was seen.
type watcher struct {
	Config
	silent map[ecs.InstanceID]ecs.Millis
}

// Run looks after instances until ctx ends.
func Run(ctx context.Context, c Config) error {
	w := &watcher{Config: c, silent: map[ecs.InstanceID]ecs.Millis{}}
	return loop.Run(ctx, loop.Config{
		Name: "liveness", Store: c.Store, Now: c.Now, Log: c.Log, Plan: w.plan,
		// Sessions are no commits.
		Interested: func(*state.Commit) bool { return false },
	})
}

func (w *watcher) plan(now ecs.Millis, t *state.Tables) ([]loop.Change, ecs.Millis) {
	after := ecs.Millis(w.After.Milliseconds())
	wake := now + max(1, min(after/10, 10_000))
	var changes []loop.Change
	seen := make(map[ecs.InstanceID]ecs.Millis, len(w.silent))
	for i := range t.Instances.All() {
		if i.Status != ecs.InstanceActive && i.Status != ecs.InstanceDraining || w.Connected(i.ID) {
			continue
		}
		since, known := w.silent[i.ID]
		if !known {
			since = now
		}
		seen[i.ID] = since
		if since+after > now {
			wake = min(wake, since+after)
			continue
		}
		for task := range t.Tasks.OnInstance(i.ID) {
			if isLost(t, task) {
				changes = append(changes, w.lose(now, task.ID))
			}
		}
	}
	w.silent = seen
	return changes, wake
}

// isLost tells whether a task on a silent instance is to be replaced elsewhere: those of services are, but a DAEMON's has its place
// there and nowhere else, unless it is to stop anyway.
func isLost(t *state.Tables, task *ecs.Task) bool {
	name, ok := ecs.ServiceOfGroup(task.Group)
	if !ok || task.LastStatus >= ecs.TaskStopped {
		return false
	}
	s := t.Services.Get(task.Cluster + "/" + name)
	return s == nil || s.SchedulingStrategy != ecs.SchedulingDaemon || task.DesiredStatus == ecs.TaskStopped
}

func (w *watcher) lose(now ecs.Millis, id ecs.TaskID) loop.Change {
	return func(tx *state.Tx) error {
		if task := tx.Tasks.Get(id); task != nil && isLost(&tx.Tables, task) && !w.Connected(task.Instance) {
			lifecycle.Lose(tx, now, task, ecs.StopInfrastructureHealth, Reason)
		}
		return nil
	}
}
