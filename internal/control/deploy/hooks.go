package deploy

import (
	"crypto/rand"
	"encoding/base64"
	"slices"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
)

// hookTimeout is how long a stage waits for a hook that does not say.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHookTimeoutConfiguration.html
const hookTimeout = 1440

// openHooks are the runs of a deployment's hooks that are for its stage and not resolved.
func openHooks(d *ecs.ServiceDeployment) []*ecs.HookRun {
	var out []*ecs.HookRun
	for i := range d.Hooks {
		if h := &d.Hooks[i]; h.Stage == d.Stage && (h.Status == ecs.HookAwaitingAction || h.Status == ecs.HookInProgress) {
			out = append(out, h)
		}
	}
	return out
}

// hooked looks at the hooks of a deployment's stage: whether it waits for one, or what turn one calls for.
func (d *decision) hooked(now ecs.Millis, dep *ecs.ServiceDeployment) (waits bool, t turn) {
	if dep == nil || dep.Status != ecs.ServiceDeploymentInProgress {
		return false, noTurn
	}
	if slices.ContainsFunc(dep.Hooks, func(h ecs.HookRun) bool { return h.Status == ecs.HookFailed }) {
		return true, turnHookFailed
	}
	open := openHooks(dep)
	for _, h := range open {
		if now >= h.ExpiresAt {
			return true, turnHookExpired
		}
		loop.Sooner(&d.wake, h.ExpiresAt)
	}
	return len(open) > 0, noTurn
}

// holdsBack tells whether a deployment waits before it has any tasks, so that those of the revision before it go on.
func holdsBack(dep *ecs.ServiceDeployment, waits bool) bool {
	return waits && (dep.Stage == ecs.StageReconcile || dep.Stage == ecs.StagePreScaleUp)
}

// leading is the deployment that goes on while the primary is held back: the last one that completed, or the one before. There is none
// for a service's first.
func leading(s *ecs.Service) int {
	for i := 1; i < len(s.Deployments); i++ {
		if s.Completed != nil && s.Deployments[i].ID == s.Completed.ID {
			return i
		}
	}
	return min(1, len(s.Deployments)-1)
}

// hang adds the runs of the hooks that a stage has.
func (w *work) hang(d *ecs.ServiceDeployment) {
	d.Hooks = slices.Clone(d.Hooks)
	for i := range d.Configuration.Hooks {
		h := &d.Configuration.Hooks[i]
		if !slices.Contains(h.Stages, d.Stage) {
			continue
		}
		minutes := h.TimeoutMinutes
		if minutes == 0 {
			minutes = hookTimeout
		}
		run := ecs.HookRun{ID: newHookID(h.TargetType), Hook: i, Stage: d.Stage, Status: ecs.HookAwaitingAction, StartedAt: w.now, ExpiresAt: w.now + ecs.Millis(minutes)*60_000}
		if h.TargetType == ecs.HookLambda {
			run.Status, run.NextCall = ecs.HookInProgress, w.now
		}
		d.Hooks = append(d.Hooks, run)
	}
}

// newHookID makes ecs-pause- or ecs-lambda- and 43 random letters, digits, "-" and "_".
func newHookID(kind string) string {
	prefix := "ecs-pause-"
	if kind == ecs.HookLambda {
		prefix = "ecs-lambda-"
	}
	var b [32]byte
	rand.Read(b[:])
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// expire ends the hooks that were not resolved in time. One whose action is CONTINUE is no more in the way; any other rolls the deployment back.
func (w *work) expire() {
	d := w.record()
	d.Hooks = slices.Clone(d.Hooks)
	back := false
	for _, h := range openHooks(d) {
		if w.now >= h.ExpiresAt {
			h.Status = ecs.HookTimedOut
			back = back || d.Configuration.Hooks[h.Hook].TimeoutAction != ecs.HookContinue
		}
	}
	d.UpdatedAt = w.now
	if back {
		w.failFor("Lifecycle hook timed out.")
	}
}

// failFor ends a deployment for what a hook or an alarm says, and goes back to the revision before it if there is one.
func (w *work) failFor(reason string) {
	w.giveUp(reason)
	w.event("(deployment " + w.s.Deployments[0].ID + ") deployment failed: " + lowerFirst(reason))
	if !w.rollBack(reason) {
		w.finish(ecs.ServiceDeploymentStopped, reason)
	}
}

func lowerFirst(s string) string { return string(s[0]|0x20) + s[1:] }
