package reap_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/control/reap"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

func TestStoppedTasksGoAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() { ended <- store.Run(ctx) }()
		go func() { ended <- reap.Run(ctx, reap.Config{Store: store}) }()

		now := ecs.MillisOf(time.Now())
		var tasks []ecs.TaskID
		update(t, store, func(tx *state.Tx) {
			for i := range 200 {
				task := &ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", LastStatus: ecs.TaskStopped, StoppedAt: now + ecs.Millis(i)}
				tasks = append(tasks, task.ID)
				tx.Tasks.Put(task)
			}
			running := &ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", LastStatus: ecs.TaskRunning}
			tx.Tasks.Put(running)
			day := now + ecs.Millis((24 * time.Hour).Milliseconds())
			tx.Tokens.Put(&state.Token{Key: "gone", Tasks: tasks[:2], ExpiresAt: day})
			tx.Tokens.Put(&state.Token{Key: "lives", Tasks: []ecs.TaskID{running.ID}, ExpiresAt: day})
			tx.Tokens.Put(&state.Token{Key: "soon", Tasks: []ecs.TaskID{running.ID}, ExpiresAt: now + 1000})
		})
		check := func(after time.Duration, wantTasks, wantTokens int) {
			t.Helper()
			time.Sleep(after) // The bubble's clock: no real time passes.
			synctest.Wait()
			v := store.View()
			if v.Tasks.Len() != wantTasks || v.Tokens.Len() != wantTokens {
				t.Errorf("after %v more: %d tasks and %d tokens, want %d and %d", after, v.Tasks.Len(), v.Tokens.Len(), wantTasks, wantTokens)
			}
		}
		check(0, 201, 3)
		check(59*time.Minute, 201, 3)
		check(2*time.Minute, 1, 1)
		check(23*time.Hour, 1, 0)
		cancel()
		<-ended
		<-ended
	})
}

func update(t *testing.T, s *state.Store, fn func(tx *state.Tx)) {
	t.Helper()
	err := s.Update(context.Background(), func(tx *state.Tx) error {
		fn(tx)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlanLooksAgainWhenTheNextIsDue(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	c := reap.Config{Store: store, Keep: time.Minute, Every: time.Second}
	if changes, wake := c.Plan(5000, &store.View().Tables); len(changes) != 0 || wake != 65000 {
		t.Errorf("nothing there: %d changes, wake %d", len(changes), wake)
	}
	update(t, store, func(tx *state.Tx) {
		tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), LastStatus: ecs.TaskStopped, StoppedAt: 1000})
		tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), LastStatus: ecs.TaskStopped, StoppedAt: 9000})
	})
	if changes, wake := c.Plan(5000, &store.View().Tables); len(changes) != 0 || wake != 61000 {
		t.Errorf("before: %d changes, wake %d", len(changes), wake)
	}
	if changes, wake := c.Plan(61000, &store.View().Tables); len(changes) != 1 || wake != 69000 {
		t.Errorf("when due: %d changes, wake %d", len(changes), wake)
	}
	cancel()
	<-ended
}

// TestInactiveInstancesGo: an hour after deregistration, and not before the tasks that name them.
func TestInactiveInstancesGo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	c := reap.Config{Store: store, Keep: time.Minute, Every: time.Second}
	gone, busy, active := ecs.NewInstanceID(), ecs.NewInstanceID(), ecs.NewInstanceID()
	update(t, store, func(tx *state.Tx) {
		tx.Instances.Put(&ecs.Instance{ID: gone, Cluster: "c", Status: ecs.InstanceInactive, DeregisteredAt: 1000})
		tx.Instances.Put(&ecs.Instance{ID: busy, Cluster: "c", Status: ecs.InstanceInactive, DeregisteredAt: 1000})
		tx.Instances.Put(&ecs.Instance{ID: active, Cluster: "c", Status: ecs.InstanceActive})
		tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", Instance: busy, LastStatus: ecs.TaskStopped, StoppedAt: 50000})
	})
	if changes, wake := c.Plan(2000, &store.View().Tables); len(changes) != 0 || wake != 61000 {
		t.Errorf("before: %d changes, wake %d", len(changes), wake)
	}
	changes, _ := c.Plan(61000, &store.View().Tables)
	update(t, store, func(tx *state.Tx) {
		for _, change := range changes {
			if err := change(tx); err != nil {
				t.Error(err)
			}
		}
	})
	if v := store.View(); v.Instances.Get(gone) != nil || v.Instances.Get(busy) == nil || v.Instances.Get(active) == nil {
		t.Errorf("%d instances are left", v.Instances.Len())
	}
}
