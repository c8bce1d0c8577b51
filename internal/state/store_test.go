package state_test

import (
	"context"
	"errors"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// open gives a Store that runs until the test ends.
func open(t *testing.T, cfg state.Config) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func TestUpdateIsVisibleOnceItReturns(t *testing.T) {
	s := open(t, state.Config{KV: memkv.New(memkv.Unlimited)})
	feed := s.Watch()
	err := s.Update(t.Context(), func(tx *state.Tx) error {
		tx.Clusters.Put(&ecs.Cluster{Name: "default", Status: ecs.ClusterActive})
		tx.Tasks.Put(&ecs.Task{ID: ecs.TaskID{1}, Cluster: "default", DesiredStatus: ecs.TaskRunning, LastStatus: ecs.TaskPending})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.View().Clusters.Get("default") == nil {
		t.Error("the cluster is not in the view")
	}
	if n := s.View().ClusterCounts("default"); n.Pending != 1 {
		t.Errorf("counts %+v", n)
	}
	c, err := feed.Next(t.Context())
	if err != nil || len(c.Clusters) != 1 || len(c.Tasks) != 1 {
		t.Errorf("commit %+v, %v", c, err)
	}
	refused := errors.New("no")
	if err := s.Update(t.Context(), func(tx *state.Tx) error {
		tx.Clusters.Delete("default")
		return refused
	}); err != refused {
		t.Errorf("got %v", err)
	}
	if s.View().Clusters.Get("default") == nil {
		t.Error("an aborted Update deleted a cluster")
	}
}
