package orphans_test

import (
	"context"
	"testing"
	"testing/synctest"

	"roadstead.dev/roadstead/internal/control/orphans"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

func TestTasksOfInactiveInstancesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() { ended <- s.Run(ctx) }()
		go func() { ended <- orphans.Run(ctx, orphans.Config{Store: s}) }()
		stays, goes := ecs.InstanceID{1}, ecs.InstanceID{2}
		put := func(status ecs.InstanceStatus) func(tx *state.Tx) error {
			return func(tx *state.Tx) error {
				tx.Instances.Put(&ecs.Instance{ID: stays, Cluster: "c", Status: ecs.InstanceActive})
				tx.Instances.Put(&ecs.Instance{ID: goes, Cluster: "c", Status: status})
				for n := range byte(200) {
					if id := (ecs.TaskID{n, 1}); tx.Tasks.Get(id) == nil {
						on := []ecs.InstanceID{stays, goes}[n%2]
						tx.Tasks.Put(&ecs.Task{ID: id, Cluster: "c", Instance: on, LastStatus: ecs.TaskRunning, DesiredStatus: ecs.TaskRunning})
					}
				}
				return nil
			}
		}
		for _, c := range []struct {
			status ecs.InstanceStatus
			live   int
		}{{ecs.InstanceDraining, 200}, {ecs.InstanceInactive, 100}} {
			if err := s.Update(ctx, put(c.status)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			live := 0
			for task := range s.View().Tasks.All() {
				if task.LastStatus < ecs.TaskStopped {
					live++
				}
			}
			if live != c.live {
				t.Errorf("%s: %d tasks live, want %d", c.status, live, c.live)
			}
		}
		cancel()
		<-ended
		<-ended
	})
}
