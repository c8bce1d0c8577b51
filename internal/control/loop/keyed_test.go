package loop_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// world is a store and what runs on it, until end.
type world struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc
	store  *state.Store
	ended  chan error
	runs   int
}

func newWorld(t *testing.T, c state.Config) *world {
	s, err := state.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s, ended: make(chan error)}
	w.ctx, w.cancel = context.WithCancel(t.Context())
	w.run(s.Run)
	return w
}

func (w *world) run(f func(context.Context) error) {
	w.runs++
	go func() { w.ended <- f(w.ctx) }()
}

func (w *world) end() {
	w.cancel()
	for range w.runs {
		if err := <-w.ended; !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	}
}

func (w *world) put(c ecs.Cluster) {
	w.t.Helper()
	if err := w.store.Update(w.ctx, func(tx *state.Tx) error { tx.Clusters.Put(&c); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// TestKeyed plans what is there at the beginning, what commits touch and what wanted to be woken, and nothing else; a key that
// fails is tried again and holds up no other.
func TestKeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, state.Config{KV: memkv.New(memkv.Unlimited)})
		defer w.end()
		s := w.store
		w.put(ecs.Cluster{Name: "a"})
		w.put(ecs.Cluster{Name: "bad"})
		var mu sync.Mutex
		counts, failing := map[string]int{}, true
		times := func(key string) int {
			mu.Lock()
			defer mu.Unlock()
			return counts[key]
		}
		w.run(func(ctx context.Context) error {
			return loop.RunKeyed(ctx, loop.Keyed{
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
		})
		synctest.Wait()
		if s.View().Clusters.Get("a").Status != ecs.ClusterActive || times("a") != 2 || times("bad") != 1 {
			t.Errorf("at the beginning: %v", counts)
		}
		w.put(ecs.Cluster{Name: "later"})
		w.put(ecs.Cluster{Name: "b"})
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
	})
}

// slow is a KV whose commits take a millisecond each.
type slow struct{ state.KV }

func (s slow) Lead(ctx context.Context) (state.Term, int64, error) {
	term, revision, err := s.KV.Lead(ctx)
	return slowTerm{term}, revision, err
}

type slowTerm struct{ state.Term }

func (t slowTerm) Commit(ctx context.Context, n uint64, ops []state.Op) (int64, error) {
	time.Sleep(time.Millisecond)
	return t.Term.Commit(ctx, n, ops)
}

// TestKeyedFollowsWhileItApplies: the commits of a plan of many are taken as they come, and by the goroutine that plans.
func TestKeyedFollowsWhileItApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, state.Config{KV: slow{memkv.New(memkv.Unlimited)}, BatchOps: 1, MaxWaiting: 1})
		defer w.end()
		s := w.store
		const clusters = 100
		planned, touched := 0, 0 // not locked: the race detector looks on
		var seen atomic.Int64
		w.run(func(ctx context.Context) error {
			return loop.RunKeyed(ctx, loop.Keyed{
				Name: "test", Store: s, Batch: 1,
				All: func(*state.Tables) iter.Seq[string] { return func(yield func(string) bool) { yield("all") } },
				Touched: func(*state.Commit) iter.Seq[string] {
					return func(yield func(string) bool) {
						touched++
						seen.Store(int64(touched))
						if planned == 0 {
							t.Error("touched before it is planned")
						}
						yield("all")
					}
				},
				Plan: func(_ ecs.Millis, tables *state.Tables, key string) (changes []loop.Change, _ ecs.Millis) {
					planned++
					for i := tables.Clusters.Len(); i < clusters; i++ {
						changes = append(changes, func(tx *state.Tx) error {
							if i == clusters-1 && seen.Load() < clusters/2 {
								t.Errorf("%d commits were taken before the last of %d", seen.Load(), clusters)
							}
							tx.Clusters.Put(&ecs.Cluster{Name: fmt.Sprint(i)})
							return nil
						})
					}
					return changes, 0
				},
			})
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if n := s.View().Clusters.Len(); n != clusters || seen.Load() != clusters {
			t.Errorf("%d clusters, %d commits taken", n, seen.Load())
		}
	})
}

// TestLarge: a large plan is told of for as long as it is applied, and a small one is not.
func TestLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, state.Config{KV: slow{memkv.New(memkv.Unlimited)}, BatchOps: 1, MaxWaiting: 1})
		defer w.end()
		s := w.store
		var l loop.Large
		told := map[string]bool{}
		change := func(key string) loop.Change {
			return func(tx *state.Tx) error {
				over := l.Applying()
				told[key] = told[key] || over != nil
				tx.Clusters.Put(&ecs.Cluster{Name: fmt.Sprint(key, tx.Clusters.Len())})
				return nil
			}
		}
		w.run(func(ctx context.Context) error {
			return loop.RunKeyed(ctx, loop.Keyed{
				Name: "test", Store: s, Batch: 1, Large: &l,
				All:     func(*state.Tables) iter.Seq[string] { return slices.Values([]string{"few"}) },
				Touched: func(*state.Commit) iter.Seq[string] { return slices.Values([]string{"many"}) },
				Plan: func(_ ecs.Millis, tables *state.Tables, key string) ([]loop.Change, ecs.Millis) {
					switch {
					case tables.Clusters.Len() > 3:
						return nil, 0
					case key == "few":
						return slices.Repeat([]loop.Change{change(key)}, 3), 0
					default:
						return slices.Repeat([]loop.Change{change(key)}, 10), 0
					}
				},
			})
		})
		synctest.Wait()
		time.Sleep(2 * time.Millisecond) // the second commit of many
		if over := l.Applying(); over != nil {
			<-over
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if told["few"] || !told["many"] || l.Applying() != nil {
			t.Errorf("told of %v, and %v at the end", told, l.Applying())
		}
	})
}
