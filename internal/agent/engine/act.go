package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// Reasons as ECS words them.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
const (
	reasonEssential     = "Essential container in task exited"
	reasonFailedToStart = "Task failed to start"
	reasonOOM           = "OutOfMemoryError: Container killed due to memory usage"
	reasonLost          = "ContainerRuntimeError: the container was lost with its machine or its monitor, and its exit code with it"
	cannotPull          = "CannotPullContainerError: "
	cannotCreate        = "CannotCreateContainerError: "
	cannotStart         = "CannotStartContainerError: "
	timedOut            = "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s"
)

func now() ecs.Millis { return ecs.MillisOf(time.Now()) }

// advance does what is to be done for a task until there is nothing but to wait, writes it down and tells of it. t.mu is held.
func (e *Engine) advance(t *task) {
	for {
		a := step(&t.seen)
		if a.verb == doNothing {
			break
		}
		e.do(t, a)
	}
	if t.dirty {
		t.dirty = false
		if err := e.cfg.Journal.Update(t.run.ID, &t.state); err != nil {
			// The task goes on: what is lost after a crash now is told by the runtime, or by the server.
			e.cfg.Log.Error("a task's progress cannot be journalled", "task", t.run.ID, "err", err)
		}
	}
	if t.news {
		t.news = false
		t.version++
		if !t.state.Forgotten {
			e.outbox.put(t)
		}
	}
}

// do begins one action and marks it as done in what is observed. t.mu is held.
func (e *Engine) do(t *task, a action) {
	i := a.container
	c := &t.seen.containers[i]
	switch a.verb {
	case doPull:
		c.phase = phasePulling
		if t.state.PullStartedAt == 0 {
			t.state.PullStartedAt = now()
		}
		ctx, cancel := context.WithCancel(e.ctx)
		t.live[i].cancel = cancel
		e.spawn(func() {
			defer cancel()
			e.pull(ctx, t, i)
		})
	case doStart:
		c.phase = phaseStarting
		e.starts.push(func() { e.start(t, i) })
	case doEnd:
		t.desireStop(t.blame(i))
	case doAbandon:
		e.abandon(t, i)
	case doAsk:
		e.ask(t, i)
	case doForce:
		c.urge = urgeForced
		e.cfg.Log.Info("container does not end in time and is killed", "task", t.run.ID, "container", t.state.Containers[i].Name)
		e.kill(t, i, int(unix.SIGKILL))
	case doDisconnect:
		t.seen.disconnecting = true
		e.spawn(func() { e.disconnect(t) })
	case doFinish:
		e.finish(t)
	case doRelease:
		t.seen.released = true
		e.removals.push(func() { e.release(t) })
	}
}

// desireStop makes the task end. The first cause stays. t.mu is held.
func (t *task) desireStop(code, reason string) {
	if t.seen.stopping {
		return
	}
	t.seen.stopping, t.state.Stopping = true, true
	t.state.StopCode, t.state.Reason = code, reason
	t.dirty = true
}

// blame words why a task ends because of a container. Fargate shows a failed start's own reason, EC2 only that there was one.
func (t *task) blame(i int) (code, reason string) {
	c := &t.seen.containers[i]
	if c.ran && c.phase == phaseStopped {
		return ecs.StopEssentialContainerExit, reasonEssential
	}
	if t.run.LaunchType == ecs.LaunchFargate && t.state.Containers[i].Reason != "" {
		return ecs.StopTaskFailedToStart, t.state.Containers[i].Reason
	}
	return ecs.StopTaskFailedToStart, reasonFailedToStart
}

// pull gets a container's image.
func (e *Engine) pull(ctx context.Context, t *task, i int) {
	def := &t.definition.ContainerDefinitions[i]
	id := t.state.Containers[i].RuntimeID
	var image *runtime.Image
	reason := ""
	options := runtime.PullOptions{Policy: e.cfg.PullPolicy, Labels: def.DockerLabels}
	if err := e.unsupported(t, i); err != nil {
		reason = cannotCreate + err.Error()
	} else if err := e.registryAuth(ctx, t, i, &options); err != nil {
		reason = err.Error()
	} else if image, err = e.cfg.Images.Pull(ctx, def.Image, options); err != nil {
		reason = cannotPull + err.Error()
	} else {
		e.cfg.Images.Hold(image, id)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.seen.containers[i]
	if e.ctx.Err() != nil || c.phase != phasePulling {
		// The agent ends and pulls again when it is back, or the task was stopped meanwhile.
		e.cfg.Images.Release(id)
		return
	}
	t.state.PullStoppedAt = now()
	if reason != "" {
		e.fail(t, i, reason)
	} else {
		c.phase = phasePulled
		t.live[i].image = image
		t.state.Containers[i].ImageDigest = image.Digest
		t.state.Containers[i].StopSignal = stopSignal(image.Config.StopSignal)
	}
	e.advance(t)
}

// fail ends a container that could not be brought to run. t.mu is held.
func (e *Engine) fail(t *task, i int, reason string) {
	reason = shorten(reason)
	e.cfg.Log.Warn("container failed to start", "task", t.run.ID, "container", t.state.Containers[i].Name, "reason", reason)
	t.seen.containers[i].failed = true
	t.state.Containers[i].Failed, t.state.Containers[i].Reason = true, reason
	e.abandon(t, i)
	t.news = true
}

// abandon ends a container that does not run and never will. t.mu is held.
func (e *Engine) abandon(t *task, i int) {
	t.seen.containers[i].phase = phaseStopped
	t.state.Containers[i].LastStatus = ecs.TaskStopped
	t.dirty = true
	if cancel := t.live[i].cancel; cancel != nil {
		cancel()
	}
	t.live[i].image = nil
	e.cfg.Images.Release(t.state.Containers[i].RuntimeID)
	e.markRunning(t)
}

// start brings a container to run, on a worker.
func (e *Engine) start(t *task, i int) {
	t.mu.Lock()
	image := t.live[i].image
	if t.seen.stopping {
		e.abandon(t, i)
		e.advance(t)
		t.mu.Unlock()
		return
	}
	t.seen.connected = e.connects(t)
	t.mu.Unlock()

	begun, reason := e.launch(t, i, image)

	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case reason == "":
		t.live[i].shipment = begun.shipment
		t.state.Containers[i].NetworkBindings = begun.bindings
		if begun.address.IsValid() {
			t.state.Containers[i].Address = begun.address.String()
		}
		t.attached()
		e.begun(t, i, begun.status)
	case e.ctx.Err() != nil:
		// The agent ends; the next one tries again.
		return
	default:
		e.fail(t, i, reason)
	}
	e.advance(t)
}

// begun takes note of a container that runs, and follows it from now on. t.mu is held.
func (e *Engine) begun(t *task, i int, status *runtime.Status) {
	c := &t.seen.containers[i]
	c.phase, c.ran = phaseRunning, true
	t.live[i].image = nil
	t.state.Containers[i].Ran, t.state.Containers[i].LastStatus = true, ecs.TaskRunning
	t.state.Containers[i].StartedAt = ecs.MillisOf(status.StartedAt)
	t.dirty = true
	e.markRunning(t)
	if limit := t.definition.ContainerDefinitions[i].StartTimeout; limit != nil && *limit > 0 {
		left := time.Until(status.StartedAt.Add(time.Duration(*limit) * time.Second))
		t.live[i].startup = time.AfterFunc(max(left, 0), func() { e.observe(t, func() { c.late = true }) })
	}
	e.followHealth(t, i, status)
	e.spawn(func() { e.watch(t, i) })
}

// markRunning gives the task its startedAt once no container is left to start. t.mu is held.
func (e *Engine) markRunning(t *task) {
	if t.state.StartedAt != 0 || t.seen.stopping {
		return
	}
	ran := false
	for i := range t.seen.containers {
		c := &t.seen.containers[i]
		if c.phase < phaseRunning || (c.failed && c.essential) {
			return
		}
		ran = ran || c.ran
	}
	if ran {
		t.state.StartedAt = now()
		t.news, t.dirty = true, true
		e.cfg.Log.Info("task is running", "task", t.run.ID, "definition", t.run.Definition)
	}
}

// observe lets something that happened be seen, unless the agent ends.
func (e *Engine) observe(t *task, happened func()) {
	if e.ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	happened()
	e.advance(t)
}

// watch waits for a container's end.
func (e *Engine) watch(t *task, i int) {
	id := t.state.Containers[i].RuntimeID
	for {
		status, err := e.cfg.Runtime.Wait(e.ctx, id)
		switch {
		case e.ctx.Err() != nil:
			return
		case errors.Is(err, runtime.ErrNotFound):
			status, err = lost(id), nil
		}
		if err == nil {
			e.observe(t, func() { e.exited(t, i, status) })
			return
		}
		e.cfg.Log.Error("cannot wait for a container", "task", t.run.ID, "container", t.state.Containers[i].Name, "err", err)
		select {
		case <-time.After(retryDelay):
		case <-e.ctx.Done():
			return
		}
	}
}

// lost is the status of a container of which nothing is known but that it is not there.
func lost(id string) *runtime.Status {
	return &runtime.Status{ID: id, State: runtime.Exited, ExitedAt: time.Now(), ExitCode: -1}
}

// exited takes note of a container's end. t.mu is held.
func (e *Engine) exited(t *task, i int, status *runtime.Status) {
	stopTimer(t.live[i].patience)
	stopTimer(t.live[i].startup)
	t.stopHealth(i)
	if t.mayRestart(i, status) {
		e.restartLater(t, i, status)
		return
	}
	e.stopped(t, i, status)
}

// stopped is exited for a container that is not started again. t.mu is held.
func (e *Engine) stopped(t *task, i int, status *runtime.Status) {
	c, s := &t.seen.containers[i], &t.state.Containers[i]
	c.phase, c.ok = phaseStopped, status.ExitCode == 0
	s.LastStatus, s.FinishedAt = ecs.TaskStopped, ecs.MillisOf(status.ExitedAt)
	if status.ExitCode >= 0 {
		code := int32(status.ExitCode)
		s.ExitCode = &code
	}
	switch {
	case status.OOMKilled:
		s.Reason = reasonOOM
	case status.ExitCode < 0:
		s.Reason = reasonLost
	}
	if c.essential && t.state.ExecutionStoppedAt == 0 {
		t.state.ExecutionStoppedAt = ecs.MillisOf(status.ExitedAt)
	}
	t.dirty, t.news = true, true
	e.cfg.Log.Info("container ended", "task", t.run.ID, "container", s.Name, "exitCode", status.ExitCode, "oom", status.OOMKilled)
	e.drain(t, i)
}

func stopTimer(timer *time.Timer) {
	if timer != nil {
		timer.Stop()
	}
}

// drain ships the rest of an ended container's output. The task's end waits a while for it, and its removal until it is
// done. t.mu is held.
func (e *Engine) drain(t *task, i int) {
	shipment := t.live[i].shipment
	if shipment == nil {
		return
	}
	c := &t.seen.containers[i]
	c.draining, c.held = true, true
	grace := time.AfterFunc(e.cfg.LogGrace, func() { e.observe(t, func() { c.draining = false }) })
	e.spawn(func() {
		err := shipment.Drain(e.ctx)
		grace.Stop()
		if e.ctx.Err() != nil {
			return
		}
		shipment.Close()
		if err != nil {
			e.cfg.Log.Error("output is lost", "task", t.run.ID, "container", t.state.Containers[i].Name, "err", err)
		}
		e.observe(t, func() {
			c.draining, c.held = false, false
			t.live[i].shipment = nil
			t.state.Containers[i].Shipped = true
			t.dirty = true
		})
	})
}

// ask sends a container its stop signal and gives it its time. t.mu is held.
func (e *Engine) ask(t *task, i int) {
	c := &t.seen.containers[i]
	c.urge = urgeAsked
	timeout := e.cfg.StopTimeout
	if s := t.definition.ContainerDefinitions[i].StopTimeout; s != nil {
		timeout = time.Duration(*s) * time.Second
	}
	t.live[i].patience = time.AfterFunc(timeout, func() { e.observe(t, func() { c.overdue = true }) })
	signal := t.state.Containers[i].StopSignal
	if signal == 0 {
		signal = int(unix.SIGTERM)
	}
	e.kill(t, i, signal)
}

// kill sends a signal, on a worker. SIGKILL is sent again until it is taken.
func (e *Engine) kill(t *task, i, signal int) {
	id := t.state.Containers[i].RuntimeID
	e.stops.push(func() {
		err := e.cfg.Runtime.Kill(e.ctx, id, signal, false)
		if err == nil || errors.Is(err, runtime.ErrNotFound) || e.ctx.Err() != nil {
			return
		}
		e.cfg.Log.Error("container cannot be signalled", "task", t.run.ID, "container", t.state.Containers[i].Name, "signal", signal, "err", err)
		if signal == int(unix.SIGKILL) {
			time.AfterFunc(retryDelay, func() {
				e.observe(t, func() {
					if t.seen.containers[i].phase == phaseRunning {
						e.kill(t, i, signal)
					}
				})
			})
		}
	})
}

// finish declares a task STOPPED. t.mu is held.
func (e *Engine) finish(t *task) {
	t.seen.finished, t.state.Finished = true, true
	if t.state.StartedAt != 0 && t.state.ExecutionStoppedAt == 0 {
		t.state.ExecutionStoppedAt = now()
	}
	t.dirty, t.news = true, true
	e.cfg.Log.Info("task has stopped", "task", t.run.ID, "stopCode", t.state.StopCode, "reason", t.state.Reason)
}

// removeTask deletes what is left of a task on the machine. All of it may be done twice.
func (e *Engine) removeTask(t *task) error {
	var errs []error
	for i := range t.state.Containers {
		id := t.state.Containers[i].RuntimeID
		if err := e.cfg.Runtime.Delete(e.ctx, id, e.keepsLogs(t)); err != nil {
			errs = append(errs, fmt.Errorf("delete container %s: %w", t.state.Containers[i].Name, err))
		}
		if err := e.teardown(id, &t.definition.ContainerDefinitions[i], t.definition); err != nil {
			errs = append(errs, err)
		}
		e.cfg.Images.Release(id)
	}
	return errors.Join(append(errs, e.letGo(t), e.detach(t), e.files.remove(t.run.ID))...)
}
