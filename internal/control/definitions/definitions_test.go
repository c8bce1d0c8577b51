package definitions

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestRun keeps what a task refers to, and what is not to be deleted.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		id := func(n int32) ecs.DefinitionID { return ecs.DefinitionID{Family: "f", Revision: n} }
		update(t, s, func(tx *state.Tx) {
			tx.Clusters.Put(&ecs.Cluster{Name: "c"})
			for n, status := range []ecs.DefinitionStatus{ecs.DefinitionActive, ecs.DefinitionInactive, ecs.DefinitionDeleteInProgress, ecs.DefinitionDeleteInProgress} {
				tx.Definitions.Put(&ecs.TaskDefinition{Family: "f", Revision: int32(n), Status: status})
			}
			tx.Tasks.Put(&ecs.Task{ID: ecs.TaskID{1}, Cluster: "c", Definition: id(3), LastStatus: ecs.TaskStopped})
		})
		synctest.Wait()
		if d := s.View().Definitions; d.Len() != 3 || d.Get(id(2)) != nil {
			t.Errorf("%d revisions while a task refers to one", d.Len())
		}
		update(t, s, func(tx *state.Tx) { tx.Tasks.Delete(ecs.TaskID{1}) })
		synctest.Wait()
		if d := s.View().Definitions; d.Len() != 2 || d.Get(id(3)) != nil {
			t.Errorf("%d revisions after it is gone", d.Len())
		}
		update(t, s, func(tx *state.Tx) {
			tx.Definitions.Put(&ecs.TaskDefinition{Family: "f", Revision: 1, Status: ecs.DefinitionDeleteInProgress})
		})
		synctest.Wait()
		if d := s.View().Definitions; d.Len() != 1 {
			t.Errorf("%d revisions at the end", d.Len())
		}
	})
}

// start runs the controller on a store in memory until the test ends.
func start(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	go func() { ended <- Run(ctx, Config{Store: s}) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	return s
}

func update(t *testing.T, s *state.Store, f func(*state.Tx)) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx *state.Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestDaemonDefinitionIsDeletedFirst shows a daemon's revision as DELETED for an hour.
func TestDaemonDefinitionIsDeletedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := start(t)
		id := ecs.DefinitionID{Family: "f", Revision: 1, Daemon: true}
		update(t, store, func(tx *state.Tx) {
			tx.Definitions.Put(&ecs.TaskDefinition{Family: "f", Revision: 1, Daemon: true, Status: ecs.DefinitionDeleteInProgress})
			// One of the same name that is no daemon's has nothing to do with it.
			tx.Definitions.Put(&ecs.TaskDefinition{Family: "f", Revision: 1, Status: ecs.DefinitionActive})
			tx.Tasks.Put(&ecs.Task{ID: ecs.TaskID{1}, Cluster: "c", Definition: id, LastStatus: ecs.TaskStopped})
		})
		update(t, store, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "c", Status: ecs.ClusterActive}) })
		check := func(want ecs.DefinitionStatus) {
			t.Helper()
			synctest.Wait()
			var got ecs.DefinitionStatus
			if d := store.View().Definitions.Get(id); d != nil {
				got = d.Status
			}
			if got != want {
				t.Errorf("status %q, want %q", got, want)
			}
		}
		update(t, store, func(tx *state.Tx) { tx.Tasks.Delete(ecs.TaskID{1}) })
		check(ecs.DefinitionDeleted)
		time.Sleep(59 * time.Minute)
		check(ecs.DefinitionDeleted)
		time.Sleep(2 * time.Minute)
		check("")
		if store.View().Definitions.Get(ecs.DefinitionID{Family: "f", Revision: 1}) == nil {
			t.Error("the task definition is gone")
		}
	})
}
