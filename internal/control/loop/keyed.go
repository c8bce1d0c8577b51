package loop

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/tidwall/btree"
	"golang.org/x/sync/errgroup"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Keyed is a controller of many things that are planned apart, such as services: a commit has only those planned that it
// touches, so that those at rest cost nothing.
type Keyed struct {
	// Name is for the log.
	Name  string
	Store *state.Store
	// All gives the keys of everything, for the beginning.
	All func(*state.Tables) iter.Seq[string]
	// Touched gives the keys that a commit calls for, each once or more often. It must be quick. It is called while changes are applied,
	// but never beside Plan or Rung.
	Touched func(*state.Commit) iter.Seq[string]
	// Plan decides for one key, as [Plan] does for all. A key that is not there any more plans nothing.
	Plan func(now ecs.Millis, t *state.Tables, key string) (changes []Change, wake ecs.Millis)
	// Bell, if set, has Rung asked which keys the names that are rung call for.
	Bell *Bell
	Rung func(t *state.Tables, name string) iter.Seq[string]
	// Batch is as in Config, for the changes of one key. AtOnce is how many keys' updates are under way at a time; 0 is 64.
	Batch, AtOnce int
	// Large, if set, is told of plans of many changes.
	Large *Large
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// keyed is a running Keyed. due has the keys to be planned now; wakes those to be planned later.
type keyed struct {
	Keyed
	due   map[string]bool
	wakes *btree.BTreeG[wake]
	at    map[string]ecs.Millis
	// failures are each key's in a row.
	failures map[string]int
}

type wake struct {
	at  ecs.Millis
	key string
}

// RunKeyed plans and applies until ctx ends, and returns its error then. A key whose update fails is planned again a little later,
// and holds up no other.
func RunKeyed(ctx context.Context, c Keyed) error {
	if c.Store == nil || c.Plan == nil || c.All == nil || c.Touched == nil {
		return errors.New("loop: a keyed controller needs a store, keys and a plan")
	}
	base := Config{Batch: c.Batch, Now: c.Now, Log: c.Log}
	setDefaults(&base)
	c.Batch, c.Now, c.Log = base.Batch, base.Now, base.Log
	if c.AtOnce == 0 {
		c.AtOnce = 64
	}
	k := &keyed{Keyed: c, due: map[string]bool{}, at: map[string]ecs.Millis{}, failures: map[string]int{}, wakes: btree.NewBTreeG(func(a, b wake) bool {
		return a.at < b.at || a.at == b.at && a.key < b.key
	})}
	feed := c.Store.Watch()
	for key := range c.All(&feed.View().Tables) {
		k.due[key] = true
	}
	for {
		if err := k.work(ctx, feed); err != nil {
			return err
		}
		if err := k.wait(ctx, feed); err != nil {
			return err
		}
	}
}

// work plans what is due on the newest snapshot, and applies it. It takes commits meanwhile: a feed that is left to wait holds every
// snapshot since.
func (k *keyed) work(ctx context.Context, feed *state.Feed) error {
	now := ecs.MillisOf(k.Now())
	for {
		first, ok := k.wakes.Min()
		if !ok || first.at > now {
			break
		}
		k.sleep(first.key, 0)
		k.due[first.key] = true
	}
	if len(k.due) == 0 {
		return nil
	}
	wakes, plans := k.plan(now)
	applied := make(chan map[string]error, 1)
	go func() { applied <- k.apply(ctx, plans) }()
	for {
		select {
		case <-feed.Coming():
			commit, err := feed.Next(ctx)
			if err != nil {
				<-applied
				return fmt.Errorf("%s: %w", k.Name, err)
			}
			k.touch(commit)
		case errs := <-applied:
			for key, wake := range wakes {
				k.note(now, key, wake, errs[key])
			}
			return ctx.Err()
		}
	}
}

// plan plans what is due. It gives when each key is to be planned again, and the changes of those that have some.
func (k *keyed) plan(now ecs.Millis) (wakes map[string]ecs.Millis, plans map[string][]Change) {
	t, keys := &k.Store.View().Tables, k.due
	k.due = map[string]bool{}
	wakes, plans = make(map[string]ecs.Millis, len(keys)), map[string][]Change{}
	for key := range keys {
		changes, wake := k.Plan(now, t, key)
		wakes[key] = wake
		if len(changes) > 0 {
			plans[key] = changes
		}
	}
	return wakes, plans
}

// note has a key planned again at its time, or a little later if its changes could not be applied.
func (k *keyed) note(now ecs.Millis, key string, wake ecs.Millis, err error) {
	if err == nil {
		delete(k.failures, key)
		k.sleep(key, wake)
		return
	}
	k.failures[key]++
	k.Log.Warn("controller could not apply its plan", "controller", k.Name, "key", key, "error", err, "failures", k.failures[key])
	k.sleep(key, now+ecs.Millis(backoff(k.failures[key]).Milliseconds()))
}

// apply carries out each key's changes in updates of their own, many at the same time, so that they share the store's commits. It
// gives each key's error.
func (k *keyed) apply(ctx context.Context, plans map[string][]Change) map[string]error {
	all := 0
	for _, changes := range plans {
		all += len(changes)
	}
	defer k.Large.apply(all)()
	var mu sync.Mutex
	errs := make(map[string]error, len(plans))
	var group errgroup.Group
	group.SetLimit(k.AtOnce)
	for key, changes := range plans {
		group.Go(func() error {
			c := Config{Name: k.Name, Store: k.Store, Batch: k.Batch}
			err := c.apply(ctx, changes)
			mu.Lock()
			defer mu.Unlock()
			errs[key] = err
			return nil
		})
	}
	_ = group.Wait() // its functions give none
	return errs
}

// sleep has a key planned at a moment; 0 is none.
func (k *keyed) sleep(key string, at ecs.Millis) {
	if before, ok := k.at[key]; ok {
		k.wakes.Delete(wake{before, key})
		delete(k.at, key)
	}
	if at != 0 {
		k.at[key] = at
		k.wakes.Set(wake{at, key})
	}
}

// wait takes commits, and what the bell tells, until something is due.
func (k *keyed) wait(ctx context.Context, feed *state.Feed) error {
	if len(k.due) > 0 {
		return nil
	}
	var timer <-chan time.Time
	if first, ok := k.wakes.Min(); ok {
		t := time.NewTimer(first.at.Time().Sub(k.Now()))
		defer t.Stop()
		timer = t.C
	}
	bell := k.Bell.heard()
	for len(k.due) == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer:
			return nil
		case <-bell:
			k.ring()
		case <-feed.Coming():
			commit, err := feed.Next(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", k.Name, err)
			}
			k.touch(commit)
		}
	}
	return k.catchUp(ctx, feed)
}

func (k *keyed) ring() {
	t := &k.Store.View().Tables
	for _, name := range k.Bell.take() {
		for key := range k.Rung(t, name) {
			k.due[key] = true
		}
	}
}

func (k *keyed) touch(c *state.Commit) {
	for key := range k.Touched(c) {
		k.due[key] = true
	}
}

// catchUp takes the commits that are there already: all of them are planned together.
func (k *keyed) catchUp(ctx context.Context, feed *state.Feed) error {
	for feed.Ready() {
		commit, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		k.touch(commit)
	}
	return nil
}
