package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// restartPeriod is how long a container must have run to be started again, where its policy does not say.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerRestartPolicy.html
const restartPeriod = 300

// restarts tells whether a container is started again when it ends.
func restarts(c *ecs.ContainerDefinition) bool {
	return c.RestartPolicy != nil && set(c.RestartPolicy.Enabled)
}

// mayRestart tells whether a container that has ended is started again. As with Amazon's agent the time that it must have
// run is that of its last run, and one that was lost, whose exit code is not known, stays ended. t.mu is held.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html
func (t *task) mayRestart(i int, status *runtime.Status) bool {
	def, c := &t.definition.ContainerDefinitions[i], &t.seen.containers[i]
	if !restarts(def) || t.seen.stopping || c.urge != urgeNone || status.ExitCode < 0 {
		return false
	}
	if slices.Contains(def.RestartPolicy.IgnoredExitCodes, int32(status.ExitCode)) {
		return false
	}
	return status.ExitedAt.Sub(status.StartedAt) >= seconds(def.RestartPolicy.RestartAttemptPeriod, restartPeriod)
}

// restartLater notes that a container is to be started again and sees to it. Until then it counts as running, and to ECS it
// never ceases to: its task does not end, be it essential or not, and its output is shipped on. t.mu is held.
func (e *Engine) restartLater(t *task, i int, status *runtime.Status) {
	s := &t.state.Containers[i]
	s.Restarts++
	e.cfg.Log.Info("container ended and is started again", "task", t.run.ID, "container", s.Name, "exitCode", status.ExitCode, "oom", status.OOMKilled, "restarts", s.Restarts)
	e.restart(t, i, status)
}

// restart starts a container again that has ended with status, on a worker. The number of the restart is journalled by then:
// after a crash the same one is asked for again, and made once. t.mu is held.
func (e *Engine) restart(t *task, i int, status *runtime.Status) {
	c, s := &t.seen.containers[i], &t.state.Containers[i]
	c.phase, c.restarting, c.healthy, c.late = phaseRunning, true, false, false
	t.dirty = true
	if s.HealthStatus != "" {
		s.HealthStatus, t.news = ecs.HealthUnknown, true
	}
	id, n := s.RuntimeID, s.Restarts
	e.starts.push(func() {
		again, err := e.runAgain(t, i, id, n)
		e.observe(t, func() {
			c.restarting = false
			if err == nil {
				e.begun(t, i, again)
				return
			}
			e.cfg.Log.Error("container cannot be started again", "task", t.run.ID, "container", s.Name, "err", err)
			s.Restarts = n - 1
			e.kill(t, i, int(unix.SIGKILL)) // an answer that was lost is no proof that it does not run
			e.stopped(t, i, status)
			if s.Reason == "" {
				s.Reason = shorten(cannotStart + err.Error())
			}
		})
	})
}

// runAgain makes a restart. The container's network is there still: it is asked for only to be named.
func (e *Engine) runAgain(t *task, i int, id string, n int) (*runtime.Status, error) {
	restarter, ok := e.cfg.Runtime.(runtime.Restarter)
	if !ok {
		return nil, errors.New("this runtime restarts no containers")
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	spec := runtime.Spec{ID: id}
	if _, err := e.connect(ctx, t, &t.definition.ContainerDefinitions[i], &spec, &launched{}); err != nil {
		return nil, err
	}
	begun := time.Now()
	status, err := restarter.Restart(ctx, id, n, spec.NetNS)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, errors.New(timedOut)
	}
	if err == nil {
		e.cfg.Log.Debug("container restarted", "task", t.run.ID, "container", id, "took", time.Since(begun))
	}
	return status, err
}
