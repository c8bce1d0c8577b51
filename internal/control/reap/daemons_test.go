package reap

import (
	"context"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestDaemonHistoryGoes keeps the last deployment of a daemon and what it may go back to, and the others for as long as history is kept.
func TestDaemonHistoryGoes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	day := ecs.Millis((24 * time.Hour).Milliseconds())
	put := func(f func(tx *state.Tx)) {
		t.Helper()
		if err := s.Update(ctx, func(tx *state.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range []string{"1", "2", "3"} {
		put(func(tx *state.Tx) {
			d := ecs.Daemon{Cluster: "c", Name: "d", Status: ecs.DaemonActive}
			if old := tx.Daemons.Get("c/d"); old != nil {
				d = *old
			}
			lifecycle.DeployDaemon(tx, ecs.Millis(i+1)*day, &d, &ecs.DaemonRevision{Cluster: "c", Daemon: "d", ID: id}, ecs.DaemonDeploymentConfiguration{})
			// The first one's tasks are gone, the second was the last that was successful.
			d.Revisions, d.Completed = []string{id}, "2"
			tx.Daemons.Put(&d)
		})
	}
	for _, c := range []struct {
		at                     ecs.Millis
		deployments, revisions int
		wake                   ecs.Millis
	}{
		{at: 10 * day, deployments: 3, revisions: 3, wake: 92 * day},
		// The second deployment replaced the first revision; what names it is still there.
		{at: 92 * day, deployments: 2, revisions: 3, wake: 93 * day},
		{at: 93 * day, deployments: 1, revisions: 2},
		{at: 500 * day, deployments: 1, revisions: 2},
	} {
		changes, wake := planDaemons(c.at, 90*day, &s.View().Tables)
		put(func(tx *state.Tx) {
			for _, change := range changes {
				if err := change(tx); err != nil {
					t.Error(err)
				}
			}
		})
		if v := s.View(); v.DaemonDeployments.Len() != c.deployments || v.DaemonRevisions.Len() != c.revisions || wake != c.wake {
			t.Errorf("day %d: %d deployments, %d revisions, and next on day %d; want %+v", c.at/day, v.DaemonDeployments.Len(), v.DaemonRevisions.Len(), wake/day, c)
		}
	}
}
