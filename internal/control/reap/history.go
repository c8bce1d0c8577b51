package reap

import (
	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// planHistory says which service deployments and revisions go: those of services that are gone, and those that ended too long ago and
// that nothing names any more. wake is when the next one is due; 0 is never.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html
func planHistory(now, keep ecs.Millis, t *state.Tables) (changes []loop.Change, wake ecs.Millis) {
	named := map[string]bool{}
	for d := range t.ServiceDeployments.All() {
		due, at := deploymentDue(t, d, keep)
		if due && at <= now {
			changes = append(changes, deleteDeployment(d.Key(), keep, now))
			continue
		}
		if due {
			loop.Sooner(&wake, at)
		}
		base := d.Cluster + "/" + d.Service + "/"
		named[base+d.Target.ID] = true
		for _, source := range d.Sources {
			named[base+source.ID] = true
		}
		if d.Rollback != nil {
			named[base+d.Rollback.Revision] = true
		}
	}
	for r := range t.ServiceRevisions.All() {
		if !named[r.Key()] && !inService(t, r) {
			changes = append(changes, deleteRevision(r.Key()))
		}
	}
	return changes, wake
}

// deploymentDue tells whether a deployment will go if nothing happens, and when.
func deploymentDue(t *state.Tables, d *ecs.ServiceDeployment, keep ecs.Millis) (bool, ecs.Millis) {
	s := t.Services.Get(d.Cluster + "/" + d.Service)
	switch {
	case s == nil || s.Status == ecs.ServiceInactive || d.CreatedAt < s.CreatedAt:
		return true, 0
	case d.Status.Ongoing() || s.ServiceDeployment == d.ID:
		return false, 0
	}
	return true, d.FinishedAt + keep
}

// inService tells whether a service runs a revision or may go back to it.
func inService(t *state.Tables, r *ecs.ServiceRevision) bool {
	s := t.Services.Get(r.Cluster + "/" + r.Service)
	if s == nil || s.Status == ecs.ServiceInactive || r.CreatedAt < s.CreatedAt {
		return false
	}
	for i := range s.Deployments {
		if s.Deployments[i].RevisionID() == r.ID {
			return true
		}
	}
	return s.Completed != nil && s.Completed.RevisionID() == r.ID
}

func deleteDeployment(key string, keep, now ecs.Millis) loop.Change {
	return func(tx *state.Tx) error {
		if d := tx.ServiceDeployments.Get(key); d != nil {
			if due, at := deploymentDue(&tx.Tables, d, keep); due && at <= now {
				tx.ServiceDeployments.Delete(key)
			}
		}
		return nil
	}
}

// deleteRevision needs no other look: a revision that no service runs is never named anew.
func deleteRevision(key string) loop.Change {
	return func(tx *state.Tx) error {
		if r := tx.ServiceRevisions.Get(key); r != nil && !inService(&tx.Tables, r) {
			tx.ServiceRevisions.Delete(key)
		}
		return nil
	}
}
