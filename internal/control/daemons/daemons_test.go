package daemons

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// world is a controller with a store in memory and agents that do what families say: "bad" tasks fail to start, others run. Time is
// synctest's.
type world struct {
	t      *testing.T
	kv     *memkv.KV
	store  *state.Store
	config func(*Config)
	stop   func()
	// statuses are those that deployments came to, in their order.
	statuses []string
}

const (
	bootTime = 2 * time.Second
	stopTime = time.Second
	provider = "machines"
)

func inWorld(t *testing.T, nodes int, config func(*Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, kv: memkv.New(memkv.Unlimited), config: config}
		w.begin()
		defer func() { w.stop() }()
		w.update(func(tx *state.Tx) {
			tx.Clusters.Put(&ecs.Cluster{Name: "c", Status: ecs.ClusterActive, CapacityProviders: []string{provider}})
			for _, family := range []string{"good", "bad"} {
				for revision := range int32(2) {
					tx.Definitions.Put(&ecs.TaskDefinition{Family: family, Revision: revision + 1, Daemon: true, Status: ecs.DefinitionActive,
						ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a", Cpu: 10}}})
				}
			}
			tx.Definitions.Put(&ecs.TaskDefinition{Family: "app", Revision: 1, Status: ecs.DefinitionActive, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a", Cpu: 10}}})
		})
		for i := range nodes {
			w.node(byte(i+1), provider)
		}
		f(w)
	})
}

func (w *world) node(n byte, provider string) {
	w.t.Helper()
	w.update(func(tx *state.Tx) {
		tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{n}, Cluster: "c", Status: ecs.InstanceActive, CapacityProvider: provider, Version: 1, Registered: ecs.Resources{CPU: 1000, MemoryMiB: 1000}})
	})
}

func (w *world) begin() {
	w.t.Helper()
	s, err := state.Open(w.t.Context(), state.Config{KV: w.kv})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 3)
	cfg := Config{Store: s}
	if w.config != nil {
		w.config(&cfg)
	}
	feed := s.Watch()
	go func() { ended <- s.Run(ctx) }()
	go func() { ended <- Run(ctx, cfg) }()
	go func() { ended <- w.agents(ctx, feed) }()
	w.stop = func() {
		cancel()
		for range 3 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				w.t.Error(err)
			}
		}
	}
}

// agents report on tasks as their families do, and once more on those that are there.
func (w *world) agents(ctx context.Context, feed *state.Feed) error {
	act := func(t *ecs.Task) {
		switch {
		case t.LastStatus >= ecs.TaskStopped:
		case t.DesiredStatus == ecs.TaskStopped:
			go w.later(ctx, stopTime, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped})
		case t.Definition.Family == "bad":
			go w.later(ctx, bootTime, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped, StopCode: ecs.StopTaskFailedToStart, Reason: "CannotPullContainerError"})
		case t.LastStatus < ecs.TaskRunning:
			go w.later(ctx, bootTime, acs.TaskState{ID: t.ID, Status: ecs.TaskRunning, Containers: []ecs.Container{{Name: "a", LastStatus: ecs.TaskRunning}}})
		}
	}
	for t := range feed.View().Tasks.All() {
		act(t)
	}
	for {
		c, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		for _, ch := range c.DaemonDeployments {
			if ch.New != nil && (ch.Old == nil || ch.Old.Status != ch.New.Status) {
				w.statuses = append(w.statuses, string(ch.New.Status))
			}
		}
		for _, ch := range c.Tasks {
			if ch.New != nil && (ch.Old == nil || ch.Old.DesiredStatus != ch.New.DesiredStatus) {
				act(ch.New)
			}
		}
	}
}

func (w *world) later(ctx context.Context, d time.Duration, r acs.TaskState) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return
	}
	err := w.store.Update(ctx, func(tx *state.Tx) error {
		if tx.Tasks.Get(r.ID) == nil {
			return nil
		}
		return lifecycle.Report(tx, ecs.MillisOf(time.Now()), r)
	})
	if err != nil && ctx.Err() == nil {
		w.t.Error(err)
	}
}

func (w *world) update(f func(*state.Tx)) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), func(tx *state.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// deploy makes the daemon "d", or gives it another revision, as the API does.
func (w *world) deploy(revision, family string, number int32, change ...func(*ecs.DaemonRevision, *ecs.DaemonDeploymentConfiguration)) {
	w.t.Helper()
	w.update(func(tx *state.Tx) {
		d := ecs.Daemon{Cluster: "c", Name: "d", Status: ecs.DaemonActive}
		if old := tx.Daemons.Get("c/d"); old != nil {
			d = *old
		}
		r := &ecs.DaemonRevision{Cluster: "c", Daemon: "d", ID: revision, Critical: true, CapacityProviders: []string{provider},
			Definition: ecs.DefinitionID{Family: family, Revision: number, Daemon: true}}
		cfg := ecs.DaemonDeploymentConfiguration{DrainPercent: 25}
		for _, f := range change {
			f(r, &cfg)
		}
		lifecycle.DeployDaemon(tx, ecs.MillisOf(time.Now()), &d, r, cfg)
		tx.Daemons.Put(&d)
	})
}

func (w *world) setStatus(n byte, status ecs.InstanceStatus) {
	w.t.Helper()
	w.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(ecs.InstanceID{n})
		i.Status = status
		tx.Instances.Put(&i)
	})
}

func (w *world) daemon() *ecs.Daemon { return w.store.View().Daemons.Get("c/d") }

func (w *world) deployment() *ecs.DaemonDeployment {
	return lifecycle.CurrentDaemonDeployment(&w.store.View().Tables, w.daemon())
}

// running gives how many tasks of the daemon run of each revision, and the most on one instance that have not stopped.
func (w *world) running() (byRevision map[string]int, most int) {
	byRevision = map[string]int{}
	at := map[ecs.InstanceID]int{}
	for t := range w.store.View().Tasks.OfGroup("c", "daemon:d") {
		if t.IsHealthy() {
			byRevision[ecs.RevisionOfStarter(t.StartedBy)]++
		}
		if t.LastStatus < ecs.TaskStopped {
			at[t.Instance]++
			most = max(most, at[t.Instance])
		}
	}
	return byRevision, most
}

func (w *world) want(status ecs.ServiceDeploymentStatus, running map[string]int) {
	w.t.Helper()
	got, most := w.running()
	if fmt.Sprint(got) != fmt.Sprint(running) || most > 1 {
		w.t.Errorf("running %v, want %v; at most %d on one", got, running, most)
	}
	if d := w.deployment(); d.Status != status {
		w.t.Errorf("the deployment is %s (%s), want %s", d.Status, d.StatusReason, status)
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestOneOnEachInstance has a task on each instance of the provider's, on new ones at once, and none on others.
func TestOneOnEachInstance(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		w.node(9, "others")
		w.deploy("1", "good", 1)
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 3})
		w.node(4, provider)
		pass(bootTime)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 4})
		// One that ends is replaced in its place.
		for task := range w.store.View().Tasks.OnInstance(ecs.InstanceID{2}) {
			w.later(w.t.Context(), 0, acs.TaskState{ID: task.ID, Status: ecs.TaskStopped, StopCode: ecs.StopEssentialContainerExit})
		}
		pass(bootTime)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 4})
		if want := []string{"PENDING", "IN_PROGRESS", "SUCCESSFUL"}; !slices.Equal(w.statuses, want) {
			t.Errorf("the deployment was %v", w.statuses)
		}
		for n := range w.store.View().Tasks.OnInstance(ecs.InstanceID{9}) {
			t.Errorf("%s is on another provider's instance", n.ID)
		}
	})
}

// TestEmptyProvider completes at once, and the first instance has its task.
func TestEmptyProvider(t *testing.T) {
	inWorld(t, 0, nil, func(w *world) {
		w.deploy("1", "good", 1)
		pass(time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{})
		w.node(1, provider)
		pass(bootTime)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 1})
	})
}

// TestRolls is never without a healthy task on more instances than drainPercent says, never has two tasks on one, and goes on under
// another leader.
func TestRolls(t *testing.T) {
	for percent, most := range map[float64]int{0: 1, 25: 2, 50: 4, 100: 8} {
		inWorld(t, 8, nil, func(w *world) {
			w.deploy("1", "good", 1)
			pass(10 * time.Second)
			w.deploy("2", "good", 2, func(_ *ecs.DaemonRevision, c *ecs.DaemonDeploymentConfiguration) {
				c.DrainPercent, c.BakeTimeInMinutes = percent, 2
			})
			lacked := 0
			for i := range 400 {
				if i == 15 {
					w.stop()
					w.begin()
				}
				n, on := w.running()
				lacked = max(lacked, 8-n["1"]-n["2"])
				if on > 1 {
					t.Fatalf("%d tasks on one instance", on)
				}
				pass(100 * time.Millisecond)
			}
			if lacked != most {
				t.Errorf("%v percent: %d instances were without, want %d", percent, lacked, most)
			}
			// All run; the bake time is not over.
			w.want(ecs.ServiceDeploymentInProgress, map[string]int{"2": 8})
			pass(2 * time.Minute)
			w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"2": 8})
			if d := w.daemon(); !slices.Equal(d.Revisions, []string{"2"}) || d.Completed != "2" {
				t.Errorf("%+v", d)
			}
			dep := w.deployment()
			if want := []ecs.DaemonCounts{{Revision: "2", CapacityProvider: provider, Running: 8}}; !slices.Equal(dep.Counts, want) {
				t.Errorf("counts: %+v", dep.Counts)
			}
		})
	}
}

// TestBreaker goes back to the revision before when launches fail, and stops where there is none.
func TestBreaker(t *testing.T) {
	inWorld(t, 4, nil, func(w *world) {
		w.deploy("1", "good", 1)
		pass(10 * time.Second)
		w.statuses = nil
		w.deploy("2", "bad", 1)
		pass(2 * time.Minute)
		w.want(ecs.ServiceDeploymentRollbackSuccessful, map[string]int{"1": 4})
		if want := []string{"PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"}; !slices.Equal(w.statuses, want) {
			t.Errorf("the deployment was %v", w.statuses)
		}
		if dep := w.deployment(); !dep.BreakerTriggered || dep.FailureCount != dep.Threshold || dep.Rollback.Revision != "1" {
			t.Errorf("%+v", dep)
		}
	})
	inWorld(t, 4, nil, func(w *world) {
		w.deploy("1", "bad", 1)
		pass(2 * time.Minute)
		w.want(ecs.ServiceDeploymentStopped, map[string]int{})
		tasks := w.store.View().Tasks.Len()
		pass(time.Hour)
		if n := w.store.View().Tasks.Len(); n != tasks {
			t.Errorf("%d tasks were launched of a revision that failed", n-tasks)
		}
		w.deploy("2", "good", 1)
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"2": 4})
	})
}

// TestAlarm goes back, but for an alarm that was there before.
func TestAlarm(t *testing.T) {
	var in sync.Map // the controller's goroutine reads it
	in.Store("old", ecs.AlarmInAlarm)
	in.Store("new", ecs.AlarmOK)
	alarm := func(c *Config) {
		c.Alarm = func(name string) (ecs.AlarmState, bool) {
			s, ok := in.Load(name)
			state, _ := s.(ecs.AlarmState)
			return state, ok
		}
	}
	watch := func(_ *ecs.DaemonRevision, c *ecs.DaemonDeploymentConfiguration) {
		c.Alarms, c.AlarmNames, c.BakeTimeInMinutes = true, []string{"old", "new"}, 10
	}
	inWorld(t, 2, alarm, func(w *world) {
		w.deploy("1", "good", 1)
		pass(10 * time.Second)
		w.deploy("2", "good", 2, watch)
		pass(time.Minute)
		w.want(ecs.ServiceDeploymentInProgress, map[string]int{"2": 2})
		in.Store("new", ecs.AlarmInAlarm)
		pass(10 * time.Minute) // It is looked at when the bake time is over, if no bell rings.
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentRollbackSuccessful, map[string]int{"1": 2})
		if dep := w.deployment(); !slices.Equal(dep.TriggeredAlarms, []string{"new"}) || !slices.Equal(dep.IgnoredAlarms, []string{"old"}) {
			t.Errorf("%+v", dep)
		}
	})
}

// TestSuperseded stops a deployment whose daemon is updated again.
func TestSuperseded(t *testing.T) {
	inWorld(t, 4, nil, func(w *world) {
		w.deploy("1", "good", 1)
		pass(10 * time.Second)
		w.deploy("2", "good", 2)
		pass(3 * time.Second)
		first := w.deployment().Key()
		w.deploy("3", "good", 1)
		pass(time.Minute)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"3": 4})
		if d := w.store.View().DaemonDeployments.Get(first); d.Status != ecs.ServiceDeploymentStopped || d.StoppedAt == 0 {
			t.Errorf("%+v", d)
		}
	})
}

// TestLeavesLast stays on a DRAINING instance while another task is there, and keeps nothing where it is not for any more.
func TestLeavesLast(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		w.deploy("1", "good", 1)
		pass(10 * time.Second)
		var other *ecs.Task
		w.update(func(tx *state.Tx) {
			def := tx.Definitions.Get(ecs.DefinitionID{Family: "app", Revision: 1})
			other = lifecycle.Create(tx, ecs.MillisOf(time.Now()), lifecycle.Spec{Cluster: "c", Definition: def, Instance: ecs.InstanceID{1}})
		})
		pass(10 * time.Second)
		w.setStatus(1, ecs.InstanceDraining)
		pass(time.Minute)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 2})
		w.later(w.t.Context(), 0, acs.TaskState{ID: other.ID, Status: ecs.TaskStopped})
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 1})
		w.setStatus(1, ecs.InstanceActive)
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 2})
		w.deploy("2", "good", 1, func(r *ecs.DaemonRevision, _ *ecs.DaemonDeploymentConfiguration) {
			r.CapacityProviders = []string{"others"}
		})
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{})
	})
}

// TestDeleted stops all tasks, and is gone with its history.
func TestDeleted(t *testing.T) {
	inWorld(t, 3, func(c *Config) { c.MaxTasks = 2 }, func(w *world) {
		for i := range 6 {
			w.deploy(fmt.Sprint(i), "good", 1)
			pass(time.Minute)
		}
		w.statuses = nil
		w.update(func(tx *state.Tx) {
			d := *tx.Daemons.Get("c/d")
			d.Status = ecs.DaemonDeleteInProgress
			lifecycle.DeployDaemon(tx, ecs.MillisOf(time.Now()), &d, nil, ecs.DaemonDeploymentConfiguration{})
			tx.Daemons.Put(&d)
		})
		pass(10 * time.Second)
		v := w.store.View()
		if n, _ := w.running(); len(n) > 0 || v.Daemons.Len()+v.DaemonDeployments.Len()+v.DaemonRevisions.Len() > 0 {
			t.Errorf("running %v; %d daemons, %d deployments and %d revisions are left", n, v.Daemons.Len(), v.DaemonDeployments.Len(), v.DaemonRevisions.Len())
		}
		if want := []string{"PENDING", "IN_PROGRESS", "SUCCESSFUL"}; !slices.Equal(w.statuses, want) {
			t.Errorf("the deployment was %v", w.statuses)
		}
	})
}

// TestThrottled launches a task that fails again and again on an instance less and less often, and no less on others.
func TestThrottled(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		w.deploy("1", "good", 1)
		pass(10 * time.Second)
		// Outside of a deployment nothing counts the failures.
		w.update(func(tx *state.Tx) {
			r := *tx.DaemonRevisions.Get("c/d/1")
			r.Definition.Family = "bad"
			tx.DaemonRevisions.Put(&r)
		})
		for task := range w.store.View().Tasks.All() {
			w.later(w.t.Context(), 0, acs.TaskState{ID: task.ID, Status: ecs.TaskStopped, StopCode: ecs.StopEssentialContainerExit})
		}
		pass(30 * time.Minute)
		// 3 at once, then after 5, 10, 20, 40, 80, 160, 320 and 640 s.
		if n := w.store.View().Tasks.Len() - 1; n != 11 {
			t.Errorf("%d launches in half an hour", n)
		}
		w.node(2, provider)
		pass(time.Second)
		if n := len(slices.Collect(w.store.View().Tasks.OnInstance(ecs.InstanceID{2}))); n != 1 {
			t.Errorf("%d tasks on a new instance", n)
		}
	})
}

// TestCriticalComesFirst keeps other tasks off an instance until the daemon runs there, and one that is not critical does not.
func TestCriticalComesFirst(t *testing.T) {
	for _, critical := range []bool{true, false} {
		inWorld(t, 1, nil, func(w *world) {
			w.deploy("1", "good", 1, func(r *ecs.DaemonRevision, _ *ecs.DaemonDeploymentConfiguration) { r.Critical = critical })
			place := func() string {
				v := w.store.View()
				r := placement.Request{Cluster: "c", Definition: v.Definitions.Get(ecs.DefinitionID{Family: "app", Revision: 1}), Count: 1}
				placed, failures := placement.Place(&v.Tables, r)
				if len(placed) == 1 {
					return ""
				}
				return failures[0].Reason
			}
			pass(time.Second)
			want, without := "", int32(1)
			if critical {
				want, without = placement.ReasonDaemon, 0
			}
			if got := place(); got != want {
				t.Errorf("critical %t: before it runs: %q", critical, got)
			}
			if c := lifecycle.CountDaemon(&w.store.View().Tables, w.daemon()); len(c) != 1 || c[0].Without != without {
				t.Errorf("critical %t: %+v", critical, c)
			}
			pass(bootTime)
			if got := place(); got != "" {
				t.Errorf("critical %t: when it runs: %q", critical, got)
			}
		})
	}
}

// TestWithoutRoom notes an instance that is full, and has its task there when there is room.
func TestWithoutRoom(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		var other *ecs.Task
		w.update(func(tx *state.Tx) {
			def := *tx.Definitions.Get(ecs.DefinitionID{Family: "app", Revision: 1})
			def.ContainerDefinitions = []ecs.ContainerDefinition{{Name: "a", Cpu: 995}}
			other = lifecycle.Create(tx, ecs.MillisOf(time.Now()), lifecycle.Spec{Cluster: "c", Definition: &def, Instance: ecs.InstanceID{2}})
		})
		w.deploy("1", "good", 1)
		pass(time.Minute)
		w.want(ecs.ServiceDeploymentInProgress, map[string]int{"1": 1})
		if u := w.daemon().Unplaced; u == nil || u.Instance != (ecs.InstanceID{2}) || u.Reason != placement.ReasonCPU {
			t.Errorf("%+v", u)
		}
		w.later(w.t.Context(), 0, acs.TaskState{ID: other.ID, Status: ecs.TaskStopped})
		pass(10 * time.Second)
		w.want(ecs.ServiceDeploymentSuccessful, map[string]int{"1": 2})
		if u := w.daemon().Unplaced; u != nil {
			t.Errorf("%+v", u)
		}
	})
}
