package lifecycle

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// DeployDaemon has a daemon that is about to be stored run a revision, and puts what is kept of it: the revision and a PENDING deployment. A
// nil revision is for one that is being deleted. A deployment that goes on until then is STOPPED.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-daemons-deployments.html
func DeployDaemon(tx *state.Tx, now ecs.Millis, d *ecs.Daemon, r *ecs.DaemonRevision, c ecs.DaemonDeploymentConfiguration) {
	record := &ecs.DaemonDeployment{
		Cluster: d.Cluster, Daemon: d.Name, ID: ecs.NewServiceDeploymentID(), Status: ecs.ServiceDeploymentPending, CreatedAt: now, UpdatedAt: now,
		Configuration: c, Sources: slices.Clone(d.Revisions),
	}
	if old := CurrentDaemonDeployment(&tx.Tables, d); old != nil && old.Status.Ongoing() {
		ended := *old
		FinishDaemon(&tx.Tables, now, d, &ended, ecs.ServiceDeploymentStopped, "Daemon deployment stopped because a new daemon deployment was started.")
		tx.DaemonDeployments.Put(&ended)
	}
	if r != nil {
		record.Target = r.ID
		tx.DaemonRevisions.Put(r)
		d.Revisions = append([]string{r.ID}, d.Revisions...)
	}
	tx.DaemonDeployments.Put(record)
	d.Deployment, d.UpdatedAt, d.Failed, d.Unplaced = record.ID, now, false, nil
}

// CurrentDaemonDeployment is the one that goes on, or the last one.
func CurrentDaemonDeployment(t *state.Tables, d *ecs.Daemon) *ecs.DaemonDeployment {
	return t.DaemonDeployments.Get(d.Key() + "/" + d.Deployment)
}

// FinishDaemon ends a deployment that is about to be stored, with the numbers as they are.
func FinishDaemon(t *state.Tables, now ecs.Millis, d *ecs.Daemon, dep *ecs.DaemonDeployment, status ecs.ServiceDeploymentStatus, reason string) {
	dep.Counts, dep.Threshold = CountDaemon(t, d), DaemonThreshold(t, d)
	dep.Status, dep.StatusReason, dep.FinishedAt, dep.UpdatedAt = status, reason, now, now
	if dep.StartedAt == 0 {
		dep.StartedAt = now
	}
	if status == ecs.ServiceDeploymentStopped {
		dep.StoppedAt = now
	}
}

// DaemonThreshold is how many launches of a daemon may fail in one deployment, by the rule of services.
func DaemonThreshold(t *state.Tables, d *ecs.Daemon) int32 {
	var breaker *ecs.DeploymentCircuitBreaker
	return breaker.Threshold(int32(len(DaemonInstances(t, CurrentRevision(t, d)))))
}

// CurrentRevision is what a daemon is to run; nil if there is nothing.
func CurrentRevision(t *state.Tables, d *ecs.Daemon) *ecs.DaemonRevision {
	if len(d.Revisions) == 0 {
		return nil
	}
	return t.DaemonRevisions.Get(d.Key() + "/" + d.Revisions[0])
}

// DaemonInstances are those that a revision is for: the ACTIVE ones of its capacity providers.
func DaemonInstances(t *state.Tables, r *ecs.DaemonRevision) []*ecs.Instance {
	if r == nil {
		return nil
	}
	var out []*ecs.Instance
	for _, i := range t.Roster(r.Cluster).Instances {
		if i.Status == ecs.InstanceActive && slices.Contains(r.CapacityProviders, i.CapacityProvider) {
			out = append(out, i)
		}
	}
	return out
}

// CountDaemon gives the numbers of instances of each of a daemon's revisions and capacity providers, those of the revision that is to run
// first.
func CountDaemon(t *state.Tables, d *ecs.Daemon) []ecs.DaemonCounts {
	var out []ecs.DaemonCounts
	of := func(revision, provider string) *ecs.DaemonCounts {
		for i := range out {
			if out[i].Revision == revision && out[i].CapacityProvider == provider {
				return &out[i]
			}
		}
		out = append(out, ecs.DaemonCounts{Revision: revision, CapacityProvider: provider})
		return &out[len(out)-1]
	}
	r := CurrentRevision(t, d)
	if r != nil {
		for _, p := range r.CapacityProviders {
			of(r.ID, p)
		}
	}
	served := map[ecs.InstanceID]bool{}
	for task := range t.Tasks.OfGroup(d.Cluster, ecs.DaemonGroup(d.Name)) {
		if task.LastStatus >= ecs.TaskStopped {
			continue
		}
		c := of(ecs.RevisionOfStarter(task.StartedBy), task.CapacityProvider)
		switch {
		case task.DesiredStatus >= ecs.TaskStopped:
			c.Draining++
		case task.LastStatus == ecs.TaskRunning:
			c.Running++
			served[task.Instance] = true
		}
	}
	if r == nil || r.Critical {
		return out
	}
	for _, i := range DaemonInstances(t, r) {
		if !served[i.ID] {
			of(r.ID, i.CapacityProvider).Without++
		}
	}
	return out
}

// noteDaemonEnd counts a failed launch of a daemon's task with its deployment.
func noteDaemonEnd(tx *state.Tx, daemon string, task *ecs.Task) {
	d := tx.Daemons.Get(task.Cluster + "/" + daemon)
	if d == nil || len(d.Revisions) == 0 || d.Revisions[0] != ecs.RevisionOfStarter(task.StartedBy) || !LaunchFailed(&tx.Tables, task) {
		return
	}
	if dep := CurrentDaemonDeployment(&tx.Tables, d); dep != nil && dep.Status.Ongoing() {
		counted := *dep
		CountDaemonFailure(&counted, task.StoppedAt)
		tx.DaemonDeployments.Put(&counted)
	}
}

// CountDaemonFailure adds a task that failed to a deployment that is about to be stored.
func CountDaemonFailure(dep *ecs.DaemonDeployment, now ecs.Millis) {
	if dep.Rollback != nil {
		dep.RollbackFailures++
	} else {
		dep.FailureCount++
	}
	dep.UpdatedAt = now
}
