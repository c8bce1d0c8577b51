package state_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/kvtest"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// put is an Update that adds a cluster.
func put(name string) func(*state.Tx) error {
	return func(tx *state.Tx) error {
		tx.Clusters.Put(&ecs.Cluster{Name: name})
		return nil
	}
}

// faulty gives a KV that does as the plan says, and the memory beneath it.
func faulty(plan func(n uint64, ops []state.Op) kvtest.Fault) (*kvtest.Faulty, *memkv.KV) {
	kv := memkv.New(memkv.Unlimited)
	return &kvtest.Faulty{KV: kv, Depose: kv.Depose, Plan: plan}, kv
}

// gate is a plan that lets commits through one by one, each with the fault that the test says.
type gate struct {
	arrived chan []state.Op
	decide  chan kvtest.Fault
}

func newGate() *gate { return &gate{arrived: make(chan []state.Op), decide: make(chan kvtest.Fault)} }

func (g *gate) plan(_ uint64, ops []state.Op) kvtest.Fault {
	g.arrived <- ops
	return <-g.decide
}

// pass lets the next commit meet its fault.
func (g *gate) pass(f kvtest.Fault) []state.Op {
	ops := <-g.arrived
	g.decide <- f
	return ops
}

// enqueue starts an Update and returns once its function has run: its place is known.
func enqueue(t *testing.T, s *state.Store, fn func(*state.Tx) error) (result chan error) {
	ran, result := make(chan struct{}), make(chan error, 1)
	go func() {
		result <- s.Update(t.Context(), func(tx *state.Tx) error {
			defer close(ran)
			return fn(tx)
		})
	}()
	<-ran
	return result
}

func names(v *state.View) string {
	s := ""
	for c := range v.Clusters.All() {
		s += c.Name
	}
	return s
}

func TestARefusedCommitFailsWhatIsBuiltOnIt(t *testing.T) {
	g := newGate()
	kv, _ := faulty(g.plan)
	s, _ := kvtest.Start(t, state.Config{KV: kv})
	feed := s.Watch()
	a := enqueue(t, s, put("a"))
	g.pass(kvtest.None)
	if err := <-a; err != nil {
		t.Fatal(err)
	}
	b := enqueue(t, s, put("b"))
	<-g.arrived
	c := enqueue(t, s, put("c"))
	read := enqueue(t, s, func(tx *state.Tx) error {
		if tx.Clusters.Get("b") == nil || s.View().Clusters.Get("b") != nil {
			t.Error("b is to be seen by a Tx and by no View")
		}
		return errors.New("b exists already")
	})
	g.decide <- kvtest.Refuse
	for name, result := range map[string]chan error{"b": b, "c": c, "read": read} {
		if err := <-result; !errors.Is(err, kvtest.ErrRefused) || !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names(s.View()) != "a" {
		t.Errorf("there are %s", names(s.View()))
	}
	d := enqueue(t, s, func(tx *state.Tx) error {
		if tx.Clusters.Get("b") != nil || tx.Clusters.Get("c") != nil {
			t.Error("what was refused is still seen")
		}
		return put("d")(tx)
	})
	g.pass(kvtest.None)
	if err := <-d; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "ad"} {
		c, err := feed.Next(t.Context())
		if err != nil || names(c.View) != want || len(c.Clusters) != 1 {
			t.Errorf("the feed gives %s: %+v %v", names(c.View), c.Clusters, err)
		}
	}
	go func() { // The Store's end has nothing more to commit.
		for range g.arrived {
			g.decide <- kvtest.None
		}
	}()
}

// TestAnUnknownOutcomeIsFoundOut covers every way in which an answer can be missing.
func TestAnUnknownOutcomeIsFoundOut(t *testing.T) {
	for _, what := range []kvtest.Fault{kvtest.LoseRequest, kvtest.LoseAnswer, kvtest.Late, kvtest.Overtaken} {
		t.Run(fmt.Sprint(what), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var faults atomic.Int32
				faults.Store(3)
				kv, _ := faulty(func(uint64, []state.Op) kvtest.Fault {
					if faults.Add(-1) >= 0 {
						return what
					}
					return kvtest.None
				})
				s, stop := kvtest.Start(t, state.Config{KV: kv})
				for _, name := range []string{"a", "b"} {
					if err := s.Update(t.Context(), put(name)); err != nil {
						t.Error(err)
					}
				}
				if names(s.View()) != "ab" {
					t.Errorf("there are %s", names(s.View()))
				}
				stop()
				again, _ := kvtest.Start(t, state.Config{KV: kv})
				if names(again.View()) != "ab" {
					t.Errorf("read back: %s", names(again.View()))
				}
			})
		})
	}
}

// TestARefusalAfterAnUnknownOutcome is the one that needs a fence: the first attempt may still arrive.
func TestARefusalAfterAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := []kvtest.Fault{kvtest.None, kvtest.Overtaken, kvtest.Refuse}
		kv, _ := faulty(func(uint64, []state.Op) kvtest.Fault {
			if len(plan) == 0 {
				return kvtest.None
			}
			what := plan[0]
			plan = plan[1:]
			return what
		})
		s, _ := kvtest.Start(t, state.Config{KV: kv})
		feed := s.Watch()
		if err := s.Update(t.Context(), put("a")); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), put("b")); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("b: %v", err)
		}
		synctest.Wait()
		for err := errors.New("not yet"); err != nil; {
			err = s.Update(t.Context(), put("c"))
			if err != nil && !fault.Is(err, fault.Unavailable) {
				t.Fatal(err)
			}
		}
		replay(t, s, feed)
	})
}

// replay checks that the feed leads to what is there.
func replay(t *testing.T, s *state.Store, feed *state.Feed) {
	t.Helper()
	got := map[string]bool{}
	for last := s.View(); feed.View() != last; {
		c, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range c.Clusters {
			switch {
			case ch.New == nil:
				delete(got, ch.Old.Name)
			case got[ch.New.Name] != (ch.Old != nil):
				t.Errorf("%s: the old value is %v", ch.New.Name, ch.Old)
			default:
				got[ch.New.Name] = true
			}
		}
	}
	for c := range s.View().Clusters.All() {
		if !got[c.Name] {
			t.Errorf("the feed has left out %s", c.Name)
		}
		delete(got, c.Name)
	}
	if len(got) > 0 {
		t.Errorf("the feed has %v too much", got)
	}
}

// TestFaultsAtRandom checks, for any sequence of faults, that what was acknowledged is there, that what was refused is not,
// that an Update is there as a whole or not at all, and that the feed leads to what is stored.
func TestFaultsAtRandom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		plan := rapid.SliceOfN(rapid.SampledFrom(append(kvtest.Faults(), kvtest.None, kvtest.None)), 0, 30).Draw(r, "plan")
		synctest.Test(t, func(t *testing.T) { faultsAtRandom(t, plan) })
		if t.Failed() {
			r.FailNow()
		}
	})
}

func faultsAtRandom(t *testing.T, plan []kvtest.Fault) {
	var at atomic.Int32
	kv, _ := faulty(func(uint64, []state.Op) kvtest.Fault {
		if i := int(at.Add(1)) - 1; i < len(plan) {
			return plan[i]
		}
		return kvtest.None
	})
	s, stop := kvtest.Start(t, state.Config{KV: kv})
	feed := s.Watch()
	fate := map[string]error{}
	for i := 0; int(at.Load()) < len(plan) || i < 3; i++ {
		results := map[string]chan error{}
		for j := range 3 {
			name := fmt.Sprintf("%03d%d", i, j)
			result := make(chan error, 1)
			results[name] = result
			go func() {
				result <- s.Update(t.Context(), func(tx *state.Tx) error {
					tx.Families.Put(&ecs.Family{Name: name})
					return put(name)(tx)
				})
			}()
		}
		for name, result := range results {
			fate[name] = <-result
		}
		synctest.Wait()
	}
	replay(t, s, feed)
	stop()
	again, _ := kvtest.Start(t, state.Config{KV: kv})
	for _, v := range []*state.View{s.View(), again.View()} {
		for name, err := range fate {
			is := v.Clusters.Get(name) != nil
			if is != (v.Families.Get(name) != nil) {
				t.Errorf("%s is there by half", name)
			}
			if err == nil && !is {
				t.Errorf("%s was acknowledged and is lost (plan %v)", name, plan)
			}
			if errors.Is(err, kvtest.ErrRefused) && !errors.Is(err, state.ErrLost) && is {
				t.Errorf("%s was refused and is there (plan %v)", name, plan)
			}
		}
	}
}
