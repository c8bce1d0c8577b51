package loop_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// inBubble runs a test with a store and a clock that only sleeping moves.
func inBubble(t *testing.T, test func(ctx context.Context, s *state.Store, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		test(ctx, s, cancel)
		cancel()
		<-ended
	})
}

func put(t *testing.T, s *state.Store, name string) {
	t.Helper()
	err := s.Update(context.Background(), func(tx *state.Tx) error {
		tx.Clusters.Put(&ecs.Cluster{Name: name, Status: ecs.ClusterActive})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// deactivate is a controller that makes every cluster INACTIVE.
func deactivate(_ ecs.Millis, t *state.Tables) (changes []loop.Change, wake ecs.Millis) {
	for c := range t.Clusters.All() {
		if c.Status == ecs.ClusterInactive {
			continue
		}
		changes = append(changes, func(tx *state.Tx) error {
			done := *tx.Clusters.Get(c.Name)
			done.Status = ecs.ClusterInactive
			tx.Clusters.Put(&done)
			return nil
		})
	}
	return changes, 0
}

func TestLoopFollowsTheFeed(t *testing.T) {
	inBubble(t, func(ctx context.Context, s *state.Store, stop func()) {
		put(t, s, "before")
		ended := make(chan error, 1)
		go func() { ended <- loop.Run(ctx, loop.Config{Name: "test", Store: s, Plan: deactivate, Batch: 2}) }()
		synctest.Wait()
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			put(t, s, name)
		}
		synctest.Wait()
		for c := range s.View().Clusters.All() {
			if c.Status != ecs.ClusterInactive {
				t.Errorf("%s was not seen", c.Name)
			}
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestLoopWakesAndRetries(t *testing.T) {
	inBubble(t, func(ctx context.Context, s *state.Store, stop func()) {
		var plans, failures atomic.Int32
		plan := func(now ecs.Millis, tables *state.Tables) ([]loop.Change, ecs.Millis) {
			if n := plans.Add(1); n != 2 && n != 3 {
				return nil, now + 60_000
			}
			return []loop.Change{func(*state.Tx) error {
				failures.Add(1)
				return errors.New("no")
			}}, 0
		}
		ended := make(chan error, 1)
		go func() {
			ended <- loop.Run(ctx, loop.Config{Name: "test", Store: s, Plan: plan, Interested: func(*state.Commit) bool { return false }})
		}()
		synctest.Wait()
		put(t, s, "not interesting")
		synctest.Wait()
		if plans.Load() != 1 {
			t.Errorf("%d plans before the wake", plans.Load())
		}
		time.Sleep(time.Minute) // The bubble's clock.
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if plans.Load() != 4 || failures.Load() != 2 {
			t.Errorf("%d plans, %d failures after the wake", plans.Load(), failures.Load())
		}
		stop()
		<-ended
	})
}

func TestLoopNeedsAPlan(t *testing.T) {
	if err := loop.Run(context.Background(), loop.Config{}); err == nil {
		t.Error("no error")
	}
}
