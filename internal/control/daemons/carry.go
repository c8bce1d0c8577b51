package daemons

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// work is a daemon on its way through one update.
type work struct {
	tx  *state.Tx
	now ecs.Millis
	cfg *Config
	d   *ecs.Daemon
	dep *ecs.DaemonDeployment
}

// carryOut does what is to be done for a daemon, up to MaxTasks tasks of it; the rest is found again. A deployment comes to one status in
// an update at most, so that each is told of.
func (c *Config) carryOut(tx *state.Tx, now ecs.Millis, key string) error {
	old := tx.Daemons.Get(key)
	if old == nil {
		return nil
	}
	d := *old
	d.Revisions = slices.Clone(old.Revisions)
	w := &work{tx: tx, now: now, cfg: c, d: &d}
	before := lifecycle.CurrentDaemonDeployment(&tx.Tables, old)
	if before != nil {
		dep := *before
		w.dep = &dep
	}
	todo := c.decide(now, &tx.Tables, &d, w.dep)
	if todo.turn == turnGone {
		w.remove()
		return nil
	}
	w.take(todo.turn)
	w.stop(todo.stops)
	w.start(todo.places)
	if !same(old, &d) {
		tx.Daemons.Put(&d)
	}
	if w.dep != nil && changed(before, w.dep) {
		tx.DaemonDeployments.Put(w.dep)
	}
	return nil
}

// same compares what a work changes.
func same(a, b *ecs.Daemon) bool {
	return a.Failed == b.Failed && a.Completed == b.Completed && a.Unplaced == b.Unplaced && slices.Equal(a.Revisions, b.Revisions)
}

func changed(a, b *ecs.DaemonDeployment) bool {
	return a.Status != b.Status || a.ReadyAt != b.ReadyAt || a.FailureCount != b.FailureCount || a.RollbackFailures != b.RollbackFailures
}

// Why deployments end, as ECS tells it of service deployments.
const (
	breakerReason = "Daemon deployment circuit breaker: tasks failed to start."
	alarmReason   = "Daemon deployment failed: alarm detected."
)

// take takes the daemon's own next step.
func (w *work) take(t turn) {
	switch t {
	case turnBegin:
		w.dep.Status, w.dep.StartedAt = ecs.ServiceDeploymentInProgress, w.now
		w.dep.IgnoredAlarms = w.cfg.triggered(w.dep)
	case turnAlarm:
		w.dep.TriggeredAlarms = w.cfg.triggered(w.dep)
		w.fail(alarmReason)
	case turnBroken:
		w.dep.BreakerTriggered = true
		w.fail(breakerReason)
	case turnBack:
		w.back()
	case turnReady:
		w.dep.ReadyAt = w.now
	case turnUnready:
		w.dep.ReadyAt = 0
	case turnDone:
		w.d.Completed = w.d.Revisions[0]
		if w.dep.Rollback != nil {
			w.finish(ecs.ServiceDeploymentRollbackSuccessful, w.dep.StatusReason)
		} else {
			w.finish(ecs.ServiceDeploymentSuccessful, "Deployment completed successfully.")
		}
	case turnTidied:
		w.d.Revisions = w.d.Revisions[:1]
	}
	if w.dep != nil {
		w.dep.UpdatedAt = w.now
	}
}

// fail ends a deployment, or has it go back to the last revision that was deployed with success.
func (w *work) fail(reason string) {
	switch {
	case w.dep.Rollback != nil:
		w.d.Failed = true
		w.finish(ecs.ServiceDeploymentRollbackFailed, reason)
	case w.d.Completed == "" || w.d.Completed == w.d.Revisions[0]:
		w.d.Failed = true
		w.finish(ecs.ServiceDeploymentStopped, reason)
	default:
		w.dep.Status, w.dep.StatusReason = ecs.ServiceDeploymentStopRequested, reason
	}
}

func (w *work) back() {
	to := w.d.Completed
	rest := slices.DeleteFunc(w.d.Revisions, func(id string) bool { return id == to })
	w.d.Revisions, w.d.Unplaced = append([]string{to}, rest...), nil
	w.dep.Status, w.dep.ReadyAt = ecs.ServiceDeploymentRollbackInProgress, 0
	w.dep.Rollback = &ecs.Rollback{Reason: w.dep.StatusReason, StartedAt: w.now, Revision: to}
}

func (w *work) finish(status ecs.ServiceDeploymentStatus, reason string) {
	lifecycle.FinishDaemon(&w.tx.Tables, w.now, w.d, w.dep, status, reason)
}

// remove deletes a daemon without tasks and what is kept of it, the daemon itself with the last of it.
func (w *work) remove() {
	left := w.cfg.MaxTasks
	var deployments, revisions []string
	for dep := range w.tx.DaemonDeployments.Under(w.d.Key()) {
		deployments = append(deployments, dep.Key())
	}
	for r := range w.tx.DaemonRevisions.Under(w.d.Key()) {
		revisions = append(revisions, r.Key())
	}
	// The deployment that deletes it is told of until the end.
	deployments = slices.DeleteFunc(deployments, func(key string) bool { return w.dep != nil && key == w.dep.Key() })
	for _, key := range revisions[:min(left, len(revisions))] {
		w.tx.DaemonRevisions.Delete(key)
		left--
	}
	for _, key := range deployments[:min(left, len(deployments))] {
		w.tx.DaemonDeployments.Delete(key)
		left--
	}
	switch {
	case left == 0:
		// The rest is found again: this update has deleted something.
		w.d.UpdatedAt = w.now
		w.tx.Daemons.Put(w.d)
	case w.dep != nil && w.dep.Status.Ongoing():
		lifecycle.FinishDaemon(&w.tx.Tables, w.now, w.d, w.dep, ecs.ServiceDeploymentSuccessful, "Daemon deleted.")
		w.tx.DaemonDeployments.Put(w.dep)
	default:
		if w.dep != nil {
			w.tx.DaemonDeployments.Delete(w.dep.Key())
		}
		w.tx.Daemons.Delete(w.d.Key())
	}
}

func (w *work) stop(stops []stop) {
	for _, v := range stops[:min(len(stops), w.cfg.MaxTasks)] {
		lifecycle.Stop(w.tx, w.now, v.task, ecs.StopServiceSchedulerStopped, v.why)
		if v.failed && w.dep.Status.Ongoing() {
			lifecycle.CountDaemonFailure(w.dep, w.now)
		}
	}
}

// start makes tasks on the instances that lack one. An agent that is not there yet is no news: it is waited for.
func (w *work) start(instances []*ecs.Instance) {
	if len(instances) == 0 {
		w.d.Unplaced = nil
		return
	}
	r := lifecycle.CurrentRevision(&w.tx.Tables, w.d)
	def := w.tx.Definitions.Get(r.Definition)
	if def == nil {
		w.unplaced(instances[0], "the daemon task definition "+r.Definition.String()+" does not exist")
		return
	}
	req := request(w.d, r, def)
	req.Connected = w.cfg.Connected
	made := 0
	var full *ecs.Instance
	var why string
	for _, i := range instances {
		if made == w.cfg.MaxTasks {
			break
		}
		at, reason := placement.On(&w.tx.Tables, req, i)
		switch {
		case reason == "":
			made++
			lifecycle.Create(w.tx, w.now, lifecycle.Spec{
				Cluster: w.d.Cluster, Definition: def, Group: ecs.DaemonGroup(w.d.Name), StartedBy: r.StartedBy(), LaunchType: ecs.LaunchEC2,
				CapacityProvider: i.CapacityProvider, Tags: w.tags(r), EnableExecuteCommand: r.EnableExecuteCommand, Instance: i.ID, GPUs: at.GPUs,
			})
		case reason != placement.ReasonAgent && full == nil:
			full, why = i, reason
		}
	}
	if full != nil {
		w.unplaced(full, why)
	} else {
		w.d.Unplaced = nil
	}
}

// unplaced notes an instance without room, if that is news.
func (w *work) unplaced(i *ecs.Instance, reason string) {
	if u := w.d.Unplaced; u == nil || u.Instance != i.ID || u.Reason != reason {
		w.d.Unplaced = &ecs.DaemonUnplaced{Instance: i.ID, Reason: reason, At: w.now}
	}
}

// propagateDaemon has tasks get their daemon's tags.
const propagateDaemon = "DAEMON"

// tags are what a daemon gives its tasks.
func (w *work) tags(r *ecs.DaemonRevision) []ecs.Tag {
	var out []ecs.Tag
	if r.PropagateTags == propagateDaemon {
		out = slices.Clone(w.d.Tags)
	}
	if r.EnableECSManagedTags {
		out = append(out, ecs.Tag{Key: ecs.TagClusterName, Value: w.d.Cluster})
	}
	return out
}
