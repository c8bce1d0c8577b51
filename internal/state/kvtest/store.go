package kvtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Start opens a Store and runs it until stop is called or the test ends. stop returns once the term is resigned.
func Start(t *testing.T, cfg state.Config) (s *state.Store, stop func()) {
	t.Helper()
	open, cancelOpen := context.WithTimeout(t.Context(), time.Minute)
	defer cancelOpen()
	s, err := state.Open(open, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// update fails the test if the Update fails.
func update(t *testing.T, s *state.Store, fn func(tx *state.Tx)) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *state.Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// Rows is everything in some tables, for comparing.
func Rows(t *state.Tables) map[string]any {
	rows := map[string]any{}
	for v := range t.Clusters.All() {
		rows["cluster "+v.Name] = v
	}
	for v := range t.Definitions.All() {
		rows["definition "+v.ID().String()] = v
	}
	for v := range t.Definitions.AllDaemon() {
		rows["daemon definition "+v.ID().String()] = v
	}
	for v := range t.Families.All() {
		rows["family "+v.Name] = v
	}
	for v := range t.Instances.All() {
		rows["instance "+v.ID.String()] = v
	}
	for v := range t.Tasks.All() {
		rows["task "+v.ID.String()] = v
	}
	for v := range t.Tokens.Expired() {
		rows["token "+v.Key] = v
	}
	for v := range t.Settings.All() {
		rows["setting "+v.Principal+" "+v.Name] = v
	}
	return rows
}

// one of each, with names that are awkward in keys.
func oneOfEach(tx *state.Tx) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	instance, task := ecs.NewInstanceID(), ecs.NewTaskID()
	exit, yes := int32(137), true
	tx.Clusters.Put(&ecs.Cluster{Name: "default", Status: ecs.ClusterActive, Tags: []ecs.Tag{{Key: "a/b", Value: "ü"}}})
	tx.Definitions.Put(&ecs.TaskDefinition{Family: "web", Revision: 7, Status: ecs.DefinitionActive, RegisteredAt: &at,
		ContainerDefinitions: []ecs.ContainerDefinition{{Name: "c", Image: "busybox", Essential: &yes, DockerLabels: map[string]string{"x": "1", "y": "2"}}}})
	tx.Families.Put(&ecs.Family{Name: "web", LastRevision: 7})
	tx.Instances.Put(&ecs.Instance{ID: instance, Cluster: "default", Status: ecs.InstanceActive, ClientToken: "tok",
		Registered: ecs.Resources{CPU: 2048, MemoryMiB: 4096, Ports: []ecs.Port{{Number: 22}}}})
	tx.Tasks.Put(&ecs.Task{ID: task, Cluster: "default", Definition: ecs.DefinitionID{Family: "web", Revision: 7}, Instance: instance,
		LastStatus: ecs.TaskRunning, DesiredStatus: ecs.TaskRunning, Group: "family:web", StartedBy: "me", CreatedAt: ecs.MillisOf(at),
		Overrides:  &ecs.TaskOverride{Cpu: "256"},
		Containers: []ecs.Container{{Name: "c", ID: "1-2", LastStatus: ecs.TaskStopped, ExitCode: &exit}},
		Reserved:   ecs.Resources{CPU: 256, MemoryMiB: 512, Ports: []ecs.Port{{Number: 80}}}})
	tx.Tokens.Put(&state.Token{Key: "default/RunTask/a/b c", Digest: [32]byte{1, 31: 2}, Tasks: []ecs.TaskID{task}, ExpiresAt: 5})
	tx.Settings.Put(&state.Setting{Name: "containerInsights", Value: "enabled"})
	tx.Settings.Put(&state.Setting{Principal: "arn:aws:iam::000000000000:user/a/b", Name: "containerInsights", Value: "disabled"})
}

func storeKeepsEverything(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	s, stop := Start(t, state.Config{KV: kv})
	update(t, s, oneOfEach)
	update(t, s, func(tx *state.Tx) {
		tx.Clusters.Put(&ecs.Cluster{Name: "gone"})
		tx.Tasks.Put(&ecs.Task{ID: ecs.TaskID{1}, Cluster: "gone"})
	})
	update(t, s, func(tx *state.Tx) { tx.Clusters.Delete("gone"); tx.Tasks.Delete(ecs.TaskID{1}) })
	before := s.View()
	stop()
	if err := s.Update(t.Context(), func(*state.Tx) error { return nil }); !fault.Is(err, fault.Unavailable) {
		t.Errorf("an Update after the end: %v", err)
	}
	again, _ := Start(t, state.Config{KV: kv, PageSize: 3})
	if diff := cmp.Diff(Rows(&before.Tables), Rows(&again.View().Tables)); diff != "" {
		t.Errorf("read back otherwise:\n%s", diff)
	}
	if len(Rows(&before.Tables)) != 8 {
		t.Errorf("%d rows", len(Rows(&before.Tables)))
	}
	for v := range before.Instances.All() {
		if diff := cmp.Diff(before.InUse(v.ID), again.View().InUse(v.ID)); diff != "" || before.InUse(v.ID).CPU != 256 {
			t.Error("in use:", diff)
		}
		if again.View().Instances.ByClientToken("default", "tok") == nil {
			t.Error("not found by its token")
		}
	}
}

func storeUnderLoad(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	s, stop := Start(t, state.Config{KV: kv})
	const callers, each = 32, 20
	feed := s.Watch()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for range each {
				err := s.Update(t.Context(), func(tx *state.Tx) error {
					next := ecs.Family{Name: "counter", LastRevision: 1}
					if f := tx.Families.Get("counter"); f != nil {
						next.LastRevision += f.LastRevision
					}
					tx.Families.Put(&next)
					tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: fmt.Sprint(c), StoppedReason: strings.Repeat("x", 500)})
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	view := s.View()
	if n := view.Families.Get("counter").LastRevision; n != callers*each || view.Tasks.Len() != callers*each {
		t.Errorf("counted %d, %d tasks", n, view.Tasks.Len())
	}
	tasks := 0
	for last := feed.View().Revision; last < view.Revision; {
		c, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Revision <= last {
			t.Fatalf("revision %d follows %d", c.Revision, last)
		}
		last = c.Revision
		tasks += len(c.Tasks)
	}
	if tasks != callers*each {
		t.Errorf("the feed had %d tasks", tasks)
	}
	stop()
	again, _ := Start(t, state.Config{KV: kv})
	if diff := cmp.Diff(Rows(&view.Tables), Rows(&again.View().Tables)); diff != "" {
		t.Error(diff)
	}
}

func storeSurvivesLostLeadership(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	s, _ := Start(t, state.Config{KV: kv})
	feed := s.Watch()
	var acknowledged sync.Map
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				id := ecs.NewTaskID()
				err := s.Update(t.Context(), func(tx *state.Tx) error {
					tx.Tasks.Put(&ecs.Task{ID: id, Cluster: "c"})
					return nil
				})
				if err == nil {
					acknowledged.Store(id, true)
				} else if !fault.Is(err, fault.Unavailable) {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		n := s.View().Tasks.Len()
		eventually(t, s, func(v *state.View) bool { return v.Tasks.Len() > n+20 })
		b.Depose(t, kv)
	}
	n := s.View().Tasks.Len()
	eventually(t, s, func(v *state.View) bool { return v.Tasks.Len() > n+20 })
	stop.Store(true)
	wg.Wait()
	update(t, s, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "end"}) })
	view := s.View()
	acknowledged.Range(func(id, _ any) bool {
		if view.Tasks.Get(id.(ecs.TaskID)) == nil {
			t.Errorf("acknowledged task %v is lost", id)
		}
		return true
	})
	replica := map[ecs.TaskID]*ecs.Task{}
	for ended := false; !ended; {
		c, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range c.Tasks {
			if ch.Old != replica[ch.New.ID] {
				t.Fatalf("the feed's old value is another than the one before")
			}
			replica[ch.New.ID] = ch.New
		}
		ended = c.View.Clusters.Get("end") != nil
	}
	if len(replica) != view.Tasks.Len() {
		t.Errorf("the feed led to %d tasks, there are %d", len(replica), view.Tasks.Len())
	}
}

// eventually waits for a view.
func eventually(t *testing.T, s *state.Store, is func(*state.View) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	feed := s.Watch()
	for view := feed.View(); !is(view); {
		c, err := feed.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		view = c.View
	}
}

func storesTakeTurns(t *testing.T, b Backend) {
	one, two := b.Open(t)
	first, stop := Start(t, state.Config{KV: one})
	update(t, first, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "a"}) })
	opened := make(chan *state.Store)
	go func() {
		second, _ := Start(t, state.Config{KV: two})
		opened <- second
	}()
	update(t, first, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "b"}) })
	select {
	case <-opened:
		t.Fatal("two Stores lead")
	default:
	}
	stop()
	second := <-opened
	update(t, second, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "c"}) })
	if n := second.View().Clusters.Len(); n != 3 {
		t.Errorf("%d clusters", n)
	}
}

func storeRefusesTooLarge(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	if kv.Limits().Ops > 100_000 {
		return // There are no limits to run into; memkv's suite runs with others too.
	}
	s, _ := Start(t, state.Config{KV: kv})
	err := s.Update(t.Context(), func(tx *state.Tx) error {
		for range kv.Limits().Ops + 1 {
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "c"})
		}
		return nil
	})
	if !errors.Is(err, state.ErrTooLarge) {
		t.Errorf("too many: %v", err)
	}
	err = s.Update(t.Context(), func(tx *state.Tx) error {
		tx.Clusters.Put(&ecs.Cluster{Name: "large", Tags: []ecs.Tag{{Value: strings.Repeat("x", kv.Limits().Bytes)}}})
		return nil
	})
	if !errors.Is(err, state.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	update(t, s, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "small"}) })
	if n := len(Rows(&s.View().Tables)); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// storeFillsATransaction writes as much in one Update as the limits allow.
func storeFillsATransaction(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	limits := kv.Limits()
	s, stop := Start(t, state.Config{KV: kv})
	n := min(limits.Ops, 20_000)
	update(t, s, func(tx *state.Tx) {
		for range n {
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "c"})
		}
	})
	large := strings.Repeat("x", min(limits.Bytes, 16<<20)-200)
	update(t, s, func(tx *state.Tx) { tx.Clusters.Put(&ecs.Cluster{Name: "large", Tags: []ecs.Tag{{Value: large}}}) })
	stop()
	again, _ := Start(t, state.Config{KV: kv})
	if got := again.View(); got.Tasks.Len() != n || got.Clusters.Len() != 1 {
		t.Errorf("%d tasks and %d clusters", got.Tasks.Len(), got.Clusters.Len())
	}
}
