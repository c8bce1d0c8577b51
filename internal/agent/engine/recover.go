package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// recover matches the journal with what the runtime has: running containers run on, those that ended meanwhile are known by
// their exit codes, and those that no task has are removed. All that is found is reported anew.
func (e *Engine) recover(ctx context.Context) error {
	if err := e.files.make(); err != nil {
		return err
	}
	list, err := e.cfg.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	statuses := make(map[string]*runtime.Status, len(list))
	for _, s := range list {
		statuses[s.ID] = s
	}
	images, err := e.images(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	known := map[ecs.TaskID]bool{}
	for _, r := range e.cfg.Recovered {
		known[r.Task.ID] = true
		if r.State.ReleasedAt != 0 {
			e.removeLater(r.Task.ID, r.Definition, r.State.ReleasedAt.Time())
			continue
		}
		t, err := e.restore(r)
		if err != nil {
			return fmt.Errorf("task %s: %w", r.Task.ID, err)
		}
		e.resume(ctx, t, statuses, images, wanted)
	}
	for id, s := range statuses {
		if _, ours := s.Labels[LabelTask]; ours && !wanted[id] {
			e.cfg.Log.Warn("a container of no task is removed", "container", id, "task", s.Labels[LabelTask])
			e.spawn(func() { e.removeStray(id) })
		}
	}
	// A container that is on the machine needs its image, whosever it is: who removes it releases that.
	e.cfg.Images.Settle(func(holder string) bool { return statuses[holder] != nil })
	e.cfg.Recovered = nil
	if err := e.files.sweep(func(id ecs.TaskID) bool { return known[id] }); err != nil {
		e.cfg.Log.Error("files of an earlier run cannot be removed", "err", err)
	}
	if e.cfg.Network != nil {
		if err := e.cfg.Network.Sweep(ctx, func(id string) bool { return wanted[id] }); err != nil {
			e.cfg.Log.Error("networks of an earlier run cannot be removed", "err", err)
		}
	}
	return nil
}

// images finds the images on the machine by digest: their names may be written otherwise than a definition does.
func (e *Engine) images(ctx context.Context) (map[string]*runtime.Image, error) {
	list, err := e.cfg.Images.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	byDigest := make(map[string]*runtime.Image, len(list))
	for _, im := range list {
		byDigest[im.Digest] = im
	}
	return byDigest, nil
}

// restore makes a task of its journal entry.
func (e *Engine) restore(r *journal.Record) (*task, error) {
	t, err := newTask(r.Task, r.Definition)
	if err != nil {
		return nil, err
	}
	t.engine, t.state = e, r.State
	t.seen.stopping, t.seen.finished, t.seen.settled = r.State.Stopping, r.State.Finished, r.State.Forgotten
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tasks[r.Task.ID] = t
	e.expose(t)
	e.definitions[r.Task.Definition] = r.Definition
	return t, nil
}

// resume lets a task go on from what is there now. The ids that it has are added to wanted.
func (e *Engine) resume(ctx context.Context, t *task, statuses map[string]*runtime.Status, images map[string]*runtime.Image, wanted map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.connected = e.connects(t)
	if t.ownInterface() {
		wanted[t.run.ID.String()] = true
	}
	if t.holds() {
		wanted[t.holderID()] = true
		t.held = e.heldBefore(ctx, t, statuses[t.holderID()])
	}
	for i := range t.state.Containers {
		c, o := &t.state.Containers[i], &t.seen.containers[i]
		status := statuses[c.RuntimeID]
		o.ran, o.failed = c.Ran, c.Failed
		if status != nil && status.State == runtime.Created && c.LastStatus != ecs.TaskStopped {
			// Its start was cut short; as a stray it is removed, and the container is made anew.
			c.RuntimeID, status = newRuntimeID(), nil
			t.dirty = true
		}
		wanted[c.RuntimeID] = true
		if image := images[c.ImageDigest]; image != nil && status != nil {
			e.cfg.Images.Hold(image, c.RuntimeID)
		}
		switch {
		case c.LastStatus == ecs.TaskStopped:
			o.phase, o.ok = phaseStopped, c.ExitCode != nil && *c.ExitCode == 0
			if c.Ran && !c.Shipped {
				e.reattach(t, i)
				e.drain(t, i)
			}
		case status == nil && c.Ran:
			e.exited(t, i, lost(c.RuntimeID))
		case status == nil:
			// It never started: it is pulled and started now.
		default:
			e.reattach(t, i)
			e.begunBefore(t, i, status)
		}
	}
	e.markRunning(t)
	t.news = t.news || t.status() > ecs.TaskPending
	e.advance(t)
}

// begunBefore takes note of a container that an earlier process started. t.mu is held.
func (e *Engine) begunBefore(t *task, i int, status *runtime.Status) {
	if status.State == runtime.Exited && status.Error != "" {
		e.fail(t, i, cannotStart+status.Error)
		return
	}
	if status.State == runtime.Running {
		e.cfg.Log.Info("container runs on", "task", t.run.ID, "container", t.state.Containers[i].Name)
		t.state.Containers[i].Restarts = status.Restarts
		e.begun(t, i, status)
		return
	}
	t.seen.containers[i].ran, t.state.Containers[i].Ran = true, true
	if begun := t.state.Containers[i].Restarts; begun > status.Restarts {
		// It may be under way still.
		t.seen.containers[i].phase = phaseRunning
		e.restart(t, i, status)
		return
	}
	t.state.Containers[i].Restarts = status.Restarts
	e.exited(t, i, status)
}

// reattach goes on shipping a container's output. t.mu is held.
func (e *Engine) reattach(t *task, i int) {
	if l := t.definition.ContainerDefinitions[i].LogConfiguration; l != nil && len(l.SecretOptions) > 0 {
		t.live[i].shipment = e.attachLater(t, i)
		return
	}
	shipment, err := e.attach(e.ctx, t, i, nil)
	if err != nil {
		e.cfg.Log.Error("output cannot be shipped any more", "task", t.run.ID, "container", t.state.Containers[i].Name, "err", err)
		return
	}
	t.live[i].shipment = shipment
}

// removeStray ends and deletes a container that no task has.
func (e *Engine) removeStray(id string) {
	err := e.cfg.Runtime.Kill(e.ctx, id, int(unix.SIGKILL), true)
	if err == nil {
		_, err = e.cfg.Runtime.Wait(e.ctx, id)
	}
	if err == nil {
		err = e.cfg.Runtime.Delete(e.ctx, id, false)
	}
	if err == nil {
		e.cfg.Images.Release(id)
	}
	if err != nil && e.ctx.Err() == nil {
		e.cfg.Log.Error("a container of no task cannot be removed", "container", id, "err", err)
	}
}

// keepsLogs tells whether a task's json-file logs are kept for a while.
func (e *Engine) keepsLogs(t *task) bool {
	return !e.files.none() && e.cfg.LogsWait > 0 && !t.state.Forgotten &&
		slices.ContainsFunc(t.definition.ContainerDefinitions, func(c ecs.ContainerDefinition) bool { return logDriver(&c) == "json-file" }) &&
		slices.ContainsFunc(t.state.Containers, func(c journal.Container) bool { return c.Ran })
}

// release removes a task that has ended and is reported, on a worker. From here on nothing else changes it.
func (e *Engine) release(t *task) {
	if err := e.removeTask(t); err != nil {
		if e.ctx.Err() == nil {
			e.cfg.Log.Error("a task cannot be removed from the machine", "task", t.run.ID, "err", err)
			time.AfterFunc(30*retryDelay, func() { e.removals.push(func() { e.release(t) }) })
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.keepsLogs(t) {
		t.state.ReleasedAt = now()
		if err := e.cfg.Journal.Update(t.run.ID, &t.state); err != nil {
			e.cfg.Log.Error("a task's removal cannot be journalled", "task", t.run.ID, "err", err)
		}
		e.removeLater(t.run.ID, t.definition, t.state.ReleasedAt.Time())
	} else {
		e.removeLast(t.run.ID, t.definition)
	}
	e.forget(t.run.ID, t.taskState())
}

// removeLater deletes an ended task's logs when they have been kept long enough.
func (e *Engine) removeLater(id ecs.TaskID, d *ecs.TaskDefinition, released time.Time) {
	time.AfterFunc(max(time.Until(released.Add(e.cfg.LogsWait)), 0), func() {
		if e.ctx.Err() == nil {
			e.removeLast(id, d)
		}
	})
}

// removeLast deletes the last of a task: its logs, and its entry in the journal.
func (e *Engine) removeLast(id ecs.TaskID, d *ecs.TaskDefinition) {
	if err := errors.Join(e.files.removeLogs(id, d), e.cfg.Journal.Remove(id)); err != nil {
		e.cfg.Log.Error("the last of a task cannot be removed", "task", id, "err", err)
	}
}

// forget takes a task out of the table, and remembers it for a while.
func (e *Engine) forget(id ecs.TaskID, state acs.TaskState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.tasks[id]; t != nil {
		e.hide(t)
	}
	delete(e.tasks, id)
	for len(e.goneAt) > 0 && time.Since(e.goneAt[0].at) > goneFor {
		delete(e.gone, e.goneAt[0].id)
		e.goneAt = e.goneAt[1:]
	}
	e.gone[id] = state
	e.goneAt = append(e.goneAt, departure{time.Now(), id})
}
