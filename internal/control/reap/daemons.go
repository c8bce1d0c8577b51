package reap

import (
	"slices"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// planDaemons says which deployments and revisions of daemons go: those that ended too long ago and that nothing names any more. What is
// left of a daemon that is deleted goes with it.
func planDaemons(now, keep ecs.Millis, t *state.Tables) (changes []loop.Change, wake ecs.Millis) {
	named := map[string]bool{}
	for d := range t.DaemonDeployments.All() {
		base := d.Cluster + "/" + d.Daemon + "/"
		owner := t.Daemons.Get(d.Cluster + "/" + d.Daemon)
		current := owner != nil && owner.Deployment == d.ID
		if !current && !d.Status.Ongoing() {
			if due := d.FinishedAt + keep; due > now {
				loop.Sooner(&wake, due)
			} else {
				changes = append(changes, func(tx *state.Tx) error { tx.DaemonDeployments.Delete(d.Key()); return nil })
				continue
			}
		}
		for _, id := range append([]string{d.Target}, d.Sources...) {
			named[base+id] = true
		}
		if d.Rollback != nil {
			named[base+d.Rollback.Revision] = true
		}
	}
	for r := range t.DaemonRevisions.All() {
		if !named[r.Key()] && !inDaemon(t, r) {
			changes = append(changes, func(tx *state.Tx) error {
				if !inDaemon(&tx.Tables, r) {
					tx.DaemonRevisions.Delete(r.Key())
				}
				return nil
			})
		}
	}
	return changes, wake
}

// inDaemon tells whether a daemon runs a revision or may go back to it.
func inDaemon(t *state.Tables, r *ecs.DaemonRevision) bool {
	d := t.Daemons.Get(r.Cluster + "/" + r.Daemon)
	return d != nil && (d.Completed == r.ID || slices.Contains(d.Revisions, r.ID))
}
