package nodelink

import (
	"context"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
)

// sendManifest tells the agent all that it should have. It asks before it stops what is not in it.
func (f *foreign) sendManifest(ctx context.Context) error {
	n, err := f.number(ctx)
	if err != nil {
		return err
	}
	m := payload.Manifest{Envelope: f.envelope(), Timeline: n, Tasks: []payload.Identity{}}
	for t := range f.srv.cfg.Store.View().Tasks.OnInstance(f.instance) {
		if t.LastStatus < ecs.TaskStopped {
			m.Tasks = append(m.Tasks, f.identity(t))
		}
	}
	return f.send(ctx, payload.TypeManifest, m)
}

func (f *foreign) identity(t *ecs.Task) payload.Identity {
	desired := payload.DesiredRunning
	if t.DesiredStatus >= ecs.TaskStopped {
		desired = payload.DesiredStopped
	}
	return payload.Identity{TaskARN: f.srv.cfg.Place.TaskARN(t.Cluster, t.ID), TaskClusterARN: f.srv.cfg.Place.ClusterARN(t.Cluster), DesiredStatus: desired}
}

// verifyStops confirms those stops that are right now: a task may have been placed since the manifest was made.
func (f *foreign) verifyStops(ctx context.Context, v *payload.StopVerification) error {
	view := f.srv.cfg.Store.View()
	out := payload.StopVerified{MessageID: v.MessageID, GeneratedAt: time.Now().UnixMilli(), StopTasks: []payload.Identity{}}
	for _, c := range v.StopCandidates {
		id, ok := taskOf(c.TaskARN)
		if !ok {
			continue
		}
		if t := view.Tasks.Get(id); t != nil && t.Instance == f.instance && t.LastStatus < ecs.TaskStopped && t.DesiredStatus < ecs.TaskStopped {
			continue
		}
		out.StopTasks = append(out.StopTasks, payload.Identity{TaskARN: c.TaskARN, TaskClusterARN: c.TaskClusterARN, DesiredStatus: payload.DesiredStopped})
	}
	if len(out.StopTasks) == 0 {
		return nil
	}
	f.srv.cfg.Log.Warn("an agent has tasks that are not to run; they end", "instance", f.instance, "tasks", len(out.StopTasks))
	return f.send(ctx, payload.TypeStopVerified, out)
}
