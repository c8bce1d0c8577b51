package liveness_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/control/liveness"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestSilentInstances has one agent go for good, one for a short while, and one stay.
func TestSilentInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		gone, back, here := ecs.InstanceID{1}, ecs.InstanceID{2}, ecs.InstanceID{3}
		var mu sync.Mutex
		away := map[ecs.InstanceID]bool{}
		connected := func(id ecs.InstanceID) bool {
			mu.Lock()
			defer mu.Unlock()
			return !away[id]
		}
		leave := func(is bool, ids ...ecs.InstanceID) {
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				away[id] = is
			}
		}
		ended := make(chan error, 2)
		go func() { ended <- store.Run(ctx) }()
		go func() {
			ended <- liveness.Run(ctx, liveness.Config{Store: store, Connected: connected, After: time.Minute})
		}()
		tasks := map[string]ecs.TaskID{}
		err = store.Update(ctx, func(tx *state.Tx) error {
			def := &ecs.TaskDefinition{Family: "f", Revision: 1, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a"}}}
			tx.Definitions.Put(def)
			tx.Services.Put(&ecs.Service{Cluster: "c", Name: "d", Status: ecs.ServiceActive, SchedulingStrategy: ecs.SchedulingDaemon})
			for name, at := range map[string]ecs.InstanceID{"gone": gone, "back": back, "here": here} {
				tx.Instances.Put(&ecs.Instance{ID: at, Cluster: "c", Status: ecs.InstanceActive})
				for _, group := range []string{"service:s", "service:d", "family:f"} {
					tasks[name+" "+group] = lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "c", Definition: def, Instance: at, Group: group}).ID
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		lost := func(want int) {
			t.Helper()
			synctest.Wait()
			n := 0
			for name, id := range tasks {
				task := store.View().Tasks.Get(id)
				if task.LastStatus < ecs.TaskStopped {
					continue
				}
				if n++; name != "gone service:s" || task.StopCode != ecs.StopInfrastructureHealth || task.StoppedReason != liveness.Reason {
					t.Errorf("%s: %+v", name, task)
				}
			}
			if n != want {
				t.Errorf("%d lost, want %d", n, want)
			}
		}
		time.Sleep(time.Hour)
		lost(0)
		leave(true, gone, back)
		time.Sleep(50 * time.Second)
		leave(false, back)
		lost(0)
		time.Sleep(time.Minute)
		leave(true, back)
		lost(1)
		time.Sleep(50 * time.Second)
		lost(1)
		leave(false, back)
		time.Sleep(time.Hour)
		lost(1)
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}
