package loop_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestKeyed plans what is there at the beginning, what commits touch and what wanted to be woken, and nothing else; a key that
// fails is tried again and holds up no other.
func TestKeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- s.Run(ctx) }()
		put := func(c ecs.Cluster) {
			t.Helper()
			if err := s.Update(ctx, func(tx *state.Tx) error { tx.Clusters.Put(&c); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		put(ecs.Cluster{Name: "a"})
		put(ecs.Cluster{Name: "bad"})
		var mu sync.Mutex
		counts, failing := map[string]int{}, true
		times := func(key string) int {
			mu.Lock()
			defer mu.Unlock()
			return counts[key]
		}
		go func() {
			ended <- loop.RunKeyed(ctx, loop.Keyed{
				Name: "test", Store: s,
				All: func(t *state.Tables) iter.Seq[string] {
					return func(yield func(string) bool) {
						for c := range t.Clusters.All() {
							if !yield(c.Name) {
								return
							}
						}
					}
				},
				Touched: func(c *state.Commit) iter.Seq[string] {
					return func(yield func(string) bool) {
						for _, ch := range c.Clusters {
							if ch.New != nil && !yield(ch.New.Name) {
								return
							}
						}
					}
				},
				Plan: func(now ecs.Millis, tables *state.Tables, key string) ([]loop.Change, ecs.Millis) {
					mu.Lock()
					defer mu.Unlock()
					counts[key]++
					c := tables.Clusters.Get(key)
					switch {
					case key == "bad" && failing:
						return []loop.Change{func(*state.Tx) error { return errors.New("no") }}, 0
					case key == "later" && c.Status == "":
						return nil, now + 5000
					case c.Status == "":
						return []loop.Change{func(tx *state.Tx) error {
							done := *tx.Clusters.Get(key)
							done.Status = ecs.ClusterActive
							tx.Clusters.Put(&done)
							return nil
						}}, 0
					}
					return nil, 0
				},
			})
		}()
		synctest.Wait()
		if s.View().Clusters.Get("a").Status != ecs.ClusterActive || times("a") != 2 || times("bad") != 1 {
			t.Errorf("at the beginning: %v", counts)
		}
		put(ecs.Cluster{Name: "later"})
		put(ecs.Cluster{Name: "b"})
		synctest.Wait()
		if s.View().Clusters.Get("b").Status != ecs.ClusterActive || times("later") != 1 || times("a") != 2 {
			t.Errorf("touched: %v", counts)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if times("later") != 1 || times("bad") < 3 || times("bad") > 10 || times("a") != 2 {
			t.Errorf("after four seconds: %v", counts)
		}
		mu.Lock()
		failing = false
		mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if times("later") < 2 || s.View().Clusters.Get("bad").Status != ecs.ClusterActive {
			t.Errorf("at the end: %v", counts)
		}
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}
