// Package definitions removes the task definition revisions that are DELETE_IN_PROGRESS once no task, no service and no daemon refers to them. Those of
// daemons are DELETED for an hour first, as ECS's waiters look for that. It alone deletes revisions; the family's last number stays, so
// that none is given twice.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/delete-task-definition-v2.html
package definitions

import (
	"context"
	"log/slog"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the controller needs.
type Config struct {
	Store *state.Store
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Run removes definitions until ctx ends.
func Run(ctx context.Context, c Config) error {
	return loop.Run(ctx, loop.Config{Name: "definitions", Store: c.Store, Now: c.Now, Log: c.Log, Plan: Plan, Interested: interested})
}

// interested tells whether a revision may have become free.
func interested(c *state.Commit) bool {
	for range c.View.Definitions.Deleting() {
		for _, ch := range c.Tasks {
			if ch.New == nil {
				return true
			}
		}
		return len(c.Definitions) > 0 || len(c.Services) > 0 || len(c.Daemons) > 0
	}
	return false
}

// keepDeleted is how long a daemon's revision is shown as DELETED.
const keepDeleted = time.Hour

// Plan deletes the revisions that are to go and that nothing refers to, and wakes when the next DELETED one goes.
func Plan(now ecs.Millis, t *state.Tables) (changes []loop.Change, wake ecs.Millis) {
	for d := range t.Definitions.Deleting() {
		switch {
		case d.DeletedAt != nil:
			if due := ecs.MillisOf(d.DeletedAt.Add(keepDeleted)); due <= now {
				changes = append(changes, remove(d.ID()))
			} else {
				loop.Sooner(&wake, due)
			}
		case inUse(t, d.ID()):
		case d.Daemon:
			changes = append(changes, deleted(d.ID(), now))
		default:
			changes = append(changes, remove(d.ID()))
		}
	}
	return changes, wake
}

func inUse(t *state.Tables, id ecs.DefinitionID) bool {
	for s := range t.Services.All() {
		for i := range s.Deployments {
			if s.Deployments[i].Definition == id {
				return true
			}
		}
	}
	for d := range t.Daemons.All() {
		for _, revision := range append([]string{d.Completed}, d.Revisions...) {
			if r := t.DaemonRevisions.Get(d.Key() + "/" + revision); r != nil && r.Definition == id {
				return true
			}
		}
	}
	for c := range t.Clusters.All() {
		for task := range t.Tasks.OfFamily(c.Name, id.Family) {
			if task.Definition == id {
				return true
			}
		}
	}
	return false
}

func remove(id ecs.DefinitionID) loop.Change {
	return func(tx *state.Tx) error {
		if d := tx.Definitions.Get(id); d != nil && (d.Status == ecs.DefinitionDeleteInProgress || d.Status == ecs.DefinitionDeleted) && !inUse(&tx.Tables, id) {
			tx.Definitions.Delete(id)
		}
		return nil
	}
}

func deleted(id ecs.DefinitionID, now ecs.Millis) loop.Change {
	return func(tx *state.Tx) error {
		old := tx.Definitions.Get(id)
		if old == nil || old.Status != ecs.DefinitionDeleteInProgress || inUse(&tx.Tables, id) {
			return nil
		}
		d, at := *old, now.Time()
		d.Status, d.DeletedAt = ecs.DefinitionDeleted, &at
		tx.Definitions.Put(&d)
		return nil
	}
}
