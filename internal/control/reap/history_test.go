package reap_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/control/reap"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestHistoryGoes deploys a service twice, waits, and deletes it.
func TestHistoryGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() { ended <- store.Run(ctx) }()
		go func() { ended <- reap.Run(ctx, reap.Config{Store: store}) }()
		day := 24 * time.Hour
		change := func(f func(tx *state.Tx, now ecs.Millis, s *ecs.Service)) {
			update(t, store, func(tx *state.Tx) {
				s := ecs.Service{Cluster: "c", Name: "s", Status: ecs.ServiceActive}
				if old := tx.Services.Get("c/s"); old != nil {
					s = *old
				}
				f(tx, ecs.MillisOf(time.Now()), &s)
				tx.Services.Put(&s)
			})
		}
		check := func(after time.Duration, deployments, revisions int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if v := store.View(); v.ServiceDeployments.Len() != deployments || v.ServiceRevisions.Len() != revisions {
				t.Errorf("after %v more: %d deployments and %d revisions, want %d and %d", after, v.ServiceDeployments.Len(), v.ServiceRevisions.Len(), deployments, revisions)
			}
		}
		deploy := func(id string) {
			change(func(tx *state.Tx, now ecs.Millis, s *ecs.Service) {
				lifecycle.Deploy(tx, now, s, ecs.Deployment{ID: "ecs-svc/" + id, Status: ecs.DeploymentPrimary})
			})
		}
		deploy("1")
		check(100*day, 1, 1)
		deploy("2") // The first is superseded, and ends.
		check(89*day, 2, 2)
		change(func(_ *state.Tx, _ ecs.Millis, s *ecs.Service) { s.Deployments = s.Deployments[:1] })
		check(2*day, 1, 2)
		deploy("3")
		check(89*day, 2, 3)
		check(2*day, 1, 2)
		change(func(_ *state.Tx, _ ecs.Millis, s *ecs.Service) { s.Status, s.Deployments = ecs.ServiceInactive, nil })
		check(2*time.Hour, 0, 0)
		cancel()
		<-ended
		<-ended
	})
}
