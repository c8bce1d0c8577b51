package nodelink

import (
	"context"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// attachWait is for how long an agent may look for a task's network interface.
const attachWait = 5 * time.Minute

// reasonNotAttached is ECS's.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
const reasonNotAttached = "Timeout waiting for network interface provisioning to complete."

// attached has the task sent whose interface is there.
func (f *foreign) attached(t *ecs.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due(&f.starts, t.ID)
	f.poke()
}

// awaits tells whether a task's interface is still to be found.
func awaits(t *ecs.Task) bool {
	return t.Interface != nil && t.Interface.Status < ecs.AttachmentAttached && t.DesiredStatus < ecs.TaskStopped && t.LastStatus < ecs.TaskPending
}

// ownInterface is the interface of a task as its agent knows it; nil for a task without.
func (f *foreign) ownInterface(view *state.View, t *ecs.Task) (*payload.Interface, error) {
	inst := view.Instances.Get(f.instance)
	if inst == nil {
		return nil, fmt.Errorf("instance %s is not there any more", f.instance)
	}
	return payload.TaskInterface(f.srv.cfg.Place, t, inst)
}

// sendInterface tells the agent of a task's interface, which it has to find before it is given the task.
func (f *foreign) sendInterface(ctx context.Context, t *ecs.Task, i *payload.Interface) error {
	if err := f.report(ctx, acs.TaskState{ID: t.ID, Attachment: ecs.AttachmentAttaching}); err != nil {
		return err
	}
	e := f.envelope()
	f.mu.Lock()
	f.waiting[e.MessageID] = sent{t.ID, time.Now()}
	f.mu.Unlock()
	left := max(time.Second, attachWait-time.Since(t.CreatedAt.Time()))
	return f.send(ctx, payload.TypeAttachInterfaces, payload.AttachInterfaces{
		Envelope: e, TaskARN: f.srv.cfg.Place.TaskARN(t.Cluster, t.ID), TaskClusterARN: f.srv.cfg.Place.ClusterARN(t.Cluster),
		WaitTimeoutMs: left.Milliseconds(), Interfaces: []payload.Interface{*i},
	})
}

// giveUpInterfaces ends the tasks whose interface was not found in time. The agent has forgotten it by then, and never had the task.
func (f *foreign) giveUpInterfaces(ctx context.Context) error {
	late := func(t *ecs.Task) bool { return awaits(t) && time.Since(t.CreatedAt.Time()) > attachWait }
	var over []ecs.TaskID
	for t := range f.srv.cfg.Store.View().Tasks.OnInstance(f.instance) {
		if late(t) {
			over = append(over, t.ID)
		}
	}
	if len(over) == 0 {
		return nil
	}
	err := f.srv.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		for _, id := range over {
			if t := tx.Tasks.Get(id); t == nil || !late(t) {
				continue
			}
			r := acs.TaskState{ID: id, Status: ecs.TaskStopped, StopCode: ecs.StopTaskFailedToStart, Reason: reasonNotAttached}
			if err := lifecycle.Report(tx, ecs.MillisOf(time.Now()), r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end tasks without their network interface: %w", err)
	}
	return nil
}
