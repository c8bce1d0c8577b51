package state_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/kvtest"
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

// TestFeedBehindView: a commit that comes down a feed is in the store's view by then, so that who plans on the view misses none.
func TestFeedBehindView(t *testing.T) {
	const commits = 2000
	s := open(t, state.Config{KV: memkv.New(memkv.Unlimited)})
	var readers sync.WaitGroup
	for range 2 {
		feed := s.Watch()
		readers.Go(func() {
			for range commits {
				c, err := feed.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if v := s.View(); v.Revision < c.Revision {
					t.Errorf("commit %d came while the view was %d", c.Revision, v.Revision)
					return
				}
			}
		})
	}
	for range commits {
		if err := s.Update(t.Context(), func(tx *state.Tx) error { tx.Clusters.Put(&ecs.Cluster{Name: "c"}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	readers.Wait()
}

// panics tells what fn panics with.
func panics(fn func()) (with any) {
	defer func() { with = recover() }()
	fn()
	return nil
}

func TestMisuseAndPanics(t *testing.T) {
	s := open(t, state.Config{KV: memkv.New(memkv.Unlimited)})
	if panics(func() { s.View().Clusters.Put(&ecs.Cluster{Name: "x"}) }) == nil {
		t.Error("a View can be written to")
	}
	var kept *state.Tx
	with := panics(func() {
		_ = s.Update(t.Context(), func(tx *state.Tx) error {
			kept = tx
			tx.Clusters.Put(&ecs.Cluster{Name: "half"})
			panic("a bug")
		})
	})
	if with != "a bug" {
		t.Errorf("the caller's panic became %v", with)
	}
	if panics(func() { kept.Clusters.Put(&ecs.Cluster{Name: "late"}) }) == nil {
		t.Error("a Tx can be written to after its function")
	}
	if err := s.Update(t.Context(), func(tx *state.Tx) error {
		if tx.Clusters.Len() != 0 {
			t.Error("what a function did before it panicked is still there")
		}
		tx.Clusters.Put(&ecs.Cluster{Name: "next"})
		return nil
	}); err != nil || s.View().Clusters.Len() != 1 || !s.Leading() {
		t.Errorf("the Store does not go on: %v", err)
	}
}

// TestAnUpdateWaitsForItsTurn when too many batches are full, and gives up with its context.
func TestAnUpdateWaitsForItsTurn(t *testing.T) {
	g := newGate()
	kv, _ := faulty(g.plan)
	s, err := state.Open(t.Context(), state.Config{KV: kv, BatchOps: 1, MaxWaiting: 1})
	if err != nil {
		t.Fatal(err)
	}
	run := startRunning(s)
	defer run.stop(g)
	first := enqueue(t, s, put("a"))
	<-g.arrived // a is under way
	others := []chan error{enqueue(t, s, put("b")), enqueue(t, s, put("c"))}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Update(ctx, put("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- s.Update(t.Context(), put("d")) }()
	g.decide <- kvtest.None
	for _, result := range append([]chan error{first, waiting}, others...) {
		awaitResult(result, g, false)
	}
	if names(s.View()) != "abcd" {
		t.Errorf("there are %s", names(s.View()))
	}
}
