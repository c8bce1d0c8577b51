package deploy

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// stages are a rolling deployment's in their order.
var stages = []string{ecs.StageReconcile, ecs.StagePreScaleUp, ecs.StageScaleUp, ecs.StagePostScaleUp, ecs.StageBakeTime, ecs.StageCleanUp}

// nextStage is the stage that a service deployment comes to now; "" if it stays where it is. ready says that all tasks that it
// needs are healthy, baked that they have been for long enough.
func nextStage(s *ecs.Service, d *ecs.ServiceDeployment, ready, baked bool) string {
	if d == nil || d.Status != ecs.ServiceDeploymentPending && d.Status != ecs.ServiceDeploymentInProgress {
		return ""
	}
	switch d.Stage {
	case "":
		// Reconciling is for what an unfinished deployment left.
		if len(s.Deployments) > 2 {
			return ecs.StageReconcile
		}
		return ecs.StagePreScaleUp
	case ecs.StageScaleUp:
		if !ready {
			return ""
		}
	case ecs.StageBakeTime:
		if !baked {
			return ""
		}
	case ecs.StageCleanUp:
		return ""
	}
	if i := slices.Index(stages, d.Stage); i >= 0 {
		return stages[i+1]
	}
	return ""
}

// enter brings a service deployment to its next stage.
func (w *work) enter(stage string) {
	d := w.record()
	if d.Status == ecs.ServiceDeploymentPending {
		d.Status, d.StartedAt = ecs.ServiceDeploymentInProgress, w.now
		w.ignoreAlarms(d)
	}
	d.Stage, d.StageAt, d.UpdatedAt = stage, w.now, w.now
	w.hang(d)
}

// record is the service's deployment for changing; where there is none, as for services of older versions, it is one that is not kept.
func (w *work) record() *ecs.ServiceDeployment {
	if w.changed == nil {
		w.changed = &ecs.ServiceDeployment{}
		if w.deployment != nil {
			*w.changed = *w.deployment
			w.deployment = w.changed
		}
	}
	return w.changed
}

// finish ends the service deployment.
func (w *work) finish(status ecs.ServiceDeploymentStatus, reason string) {
	if w.deployment == nil || !w.deployment.Status.Ongoing() {
		return
	}
	lifecycle.Finish(&w.tx.Tables, w.now, w.s, w.record(), status, reason)
}

// rollBack makes the last deployment that completed the primary again. It gives false if there is none but the one that is to go.
func (w *work) rollBack(reason string) bool {
	s := w.s
	p := &s.Deployments[0]
	if s.Completed == nil || s.Completed.ID == p.ID {
		return false
	}
	back := *s.Completed
	back.Status, back.UpdatedAt, back.ReadyAt, back.FailedTasks = ecs.DeploymentPrimary, w.now, 0, 0
	back.RolloutState = ecs.RolloutInProgress
	back.RolloutStateReason = reason + ": rolling back to deploymentId " + back.ID + "."
	p.Status = ecs.DeploymentActive
	if w.deployment != nil {
		d := w.record()
		d.FailureCount = p.FailedTasks
		d.Status, d.StatusReason, d.UpdatedAt = ecs.ServiceDeploymentRollbackInProgress, reason, w.now
		d.Rollback = &ecs.Rollback{Reason: reason, StartedAt: w.now, Revision: back.RevisionID()}
		if d.StartedAt == 0 {
			d.StartedAt = w.now
		}
	}
	rest := slices.DeleteFunc(s.Deployments, func(d ecs.Deployment) bool { return d.ID == back.ID })
	s.Deployments = append([]ecs.Deployment{back}, rest...)
	s.Progress.LaunchFailures, s.Progress.Throttled = 0, false
	w.event("rolling back to deployment " + back.ID + ".")
	return true
}

// giveUp ends a deployment without another in its place: no task of it is launched any more, and those of others stay.
func (w *work) giveUp(reason string) {
	p := &w.s.Deployments[0]
	p.RolloutState, p.RolloutStateReason, p.UpdatedAt = ecs.RolloutFailed, reason, w.now
}

// Why a deployment ended, as ECS tells it.
const (
	breakerReason = "ECS deployment circuit breaker: tasks failed to start."
	stopReason    = "Service deployment stopped by user request."
)

// stopAsked carries out a StopServiceDeployment.
func (w *work) stopAsked(t turn) {
	w.giveUp(stopReason)
	w.event("(deployment " + w.s.Deployments[0].ID + ") deployment stopped.")
	if t == turnRollback && w.rollBack("Service deployment rolled back by user request") {
		return
	}
	w.finish(ecs.ServiceDeploymentStopped, stopReason)
}

// asked is the turn that a user's request of the service deployment calls for.
func asked(d *ecs.ServiceDeployment) turn {
	switch {
	case d == nil:
	case d.Status == ecs.ServiceDeploymentRollbackRequested:
		return turnRollback
	case d.Status == ecs.ServiceDeploymentStopRequested:
		return turnStopped
	}
	return noTurn
}

// current is the service's deployment in the state.
func current(t *state.Tables, s *ecs.Service) *ecs.ServiceDeployment {
	return lifecycle.CurrentDeployment(t, s)
}
