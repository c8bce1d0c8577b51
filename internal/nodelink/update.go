package nodelink

import (
	"context"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// updating is what a connection has sent of an update: the ids of the messages, "" for those that were not.
type updating struct {
	stage, perform string
	// staged says that the agent has told this connection that it has the update.
	staged bool
	// at is when the newest message was sent.
	at time.Time
}

func isUpdating(i *ecs.Instance) bool {
	return i.AgentUpdate != nil && i.AgentUpdate.Status == ecs.AgentUpdateUpdating
}

// updated is what became of an update whose agent has started anew and said what it is.
func updated(i *ecs.Instance) *ecs.AgentUpdate {
	u := ecs.AgentUpdate{Status: ecs.AgentUpdateUpdated, From: i.AgentUpdate.From}
	if i.AgentBuild() == u.From {
		u.Status = ecs.AgentUpdateFailed
	}
	return &u
}

// sendUpdate sends what is next of an update of the agent, if there is one: it loads it, and when it has said so it goes over to it. It
// is taken up again on each connection where it had come to; an agent that has started anew has forgotten what it loaded.
func (f *foreign) sendUpdate(ctx context.Context) error {
	i := f.srv.cfg.Store.View().Instances.Get(f.instance)
	if i == nil || i.AgentUpdate == nil || i.AgentUpdate.Ended() {
		return nil
	}
	u := i.AgentUpdate
	f.mu.Lock()
	sent := f.update
	f.mu.Unlock()
	late := !sent.at.IsZero() && time.Since(sent.at) > ecs.AgentUpdatePatience
	switch {
	case f.srv.cfg.AgentRelease == nil:
		return f.setUpdate(ctx, u, ecs.AgentUpdateFailed, "no release is offered any more")
	case late:
		return f.setUpdate(ctx, u, ecs.AgentUpdateFailed, "the agent did not say what became of it")
	case u.Status == ecs.AgentUpdatePending || u.Status == ecs.AgentUpdateStaging || f.forgetful && !sent.staged:
		if sent.stage != "" {
			return nil
		}
		return f.sendUpdateMessage(ctx, u, payload.TypeStageUpdate, ecs.AgentUpdateStaging)
	case sent.perform != "":
		return nil
	}
	return f.sendUpdateMessage(ctx, u, payload.TypePerformUpdate, ecs.AgentUpdateUpdating)
}

// sendUpdateMessage stores what the update comes to before it says so to the agent, whose answer may be there at once.
func (f *foreign) sendUpdateMessage(ctx context.Context, u *ecs.AgentUpdate, name string, status ecs.AgentUpdateStatus) error {
	if err := f.setUpdate(ctx, u, status, ""); err != nil {
		return err
	}
	e := f.envelope()
	f.mu.Lock()
	f.update.at = time.Now()
	if name == payload.TypeStageUpdate {
		f.update.stage = e.MessageID
	} else {
		f.update.perform = e.MessageID
	}
	f.mu.Unlock()
	r := f.srv.cfg.AgentRelease
	return f.send(ctx, name, payload.Update{Envelope: e, Info: payload.UpdateInfo{Location: r.URL, Signature: r.SHA256}})
}

// answered takes an agent's answer to a message of an update; answers to others are none of its business. That an agent goes over to
// an update is known when it comes back.
func (f *foreign) answered(ctx context.Context, id string, good bool) error {
	f.mu.Lock()
	of := f.update
	stage, perform := id != "" && id == of.stage, id != "" && id == of.perform
	if stage && good {
		f.update.staged = true
	}
	f.mu.Unlock()
	if !stage && !perform {
		return nil
	}
	i := f.srv.cfg.Store.View().Instances.Get(f.instance)
	if i == nil || i.AgentUpdate == nil {
		return nil
	}
	switch u := i.AgentUpdate; {
	case !good:
		return f.setUpdate(ctx, u, ecs.AgentUpdateFailed, "the agent refuses it")
	case stage && u.Status == ecs.AgentUpdateStaging:
		return f.setUpdate(ctx, u, ecs.AgentUpdateStaged, "")
	}
	return nil
}

// setUpdate moves an update on, unless it has moved meanwhile. why is said of one that failed.
func (f *foreign) setUpdate(ctx context.Context, was *ecs.AgentUpdate, status ecs.AgentUpdateStatus, why string) error {
	if status == ecs.AgentUpdateFailed {
		f.srv.cfg.Log.Warn("an agent's update failed", "instance", f.instance, "was", was.Status, "reason", why)
		f.mu.Lock()
		f.update = updating{}
		f.mu.Unlock()
	}
	if was.Status == status {
		return nil
	}
	err := f.srv.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.Instances.Get(f.instance)
		if old == nil || old.AgentUpdate == nil || old.AgentUpdate.Status != was.Status {
			return nil
		}
		i := *old
		i.AgentUpdate = &ecs.AgentUpdate{Status: status, From: old.AgentUpdate.From}
		i.Version++
		tx.Instances.Put(&i)
		return nil
	})
	if err != nil {
		return fmt.Errorf("store how far the agent's update is: %w", err)
	}
	return nil
}
