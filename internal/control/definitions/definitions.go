// Package definitions removes the task definition revisions that are DELETE_IN_PROGRESS once no task and no service refers to them. It alone
// deletes revisions; the family's last number stays, so that none is given twice.
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
		return len(c.Definitions) > 0 || len(c.Services) > 0
	}
	return false
}

// Plan deletes the revisions that are to go and that nothing refers to.
func Plan(_ ecs.Millis, t *state.Tables) ([]loop.Change, ecs.Millis) {
	var changes []loop.Change
	for d := range t.Definitions.Deleting() {
		if !inUse(t, d.ID()) {
			changes = append(changes, remove(d.ID()))
		}
	}
	return changes, 0
}

func inUse(t *state.Tables, id ecs.DefinitionID) bool {
	for s := range t.Services.All() {
		for i := range s.Deployments {
			if s.Deployments[i].Definition == id {
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
		if d := tx.Definitions.Get(id); d != nil && d.Status == ecs.DefinitionDeleteInProgress && !inUse(&tx.Tables, id) {
			tx.Definitions.Delete(id)
		}
		return nil
	}
}
