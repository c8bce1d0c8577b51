package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// world is a controller with a store in memory and agents that do what families say: "bad" ones fail to start, "crash" ones end
// with exit code 1 after a second, "sick" ones are found unhealthy, others run. Time is synctest's.
type world struct {
	t     *testing.T
	kv    *memkv.KV
	store *state.Store
	stop  func()
	// config is changed before the controller begins.
	config func(*Config)
}

const (
	bootTime = 2 * time.Second
	stopTime = time.Second
)

func inWorld(t *testing.T, nodes int, f func(w *world)) {
	t.Helper()
	inWorldOf(t, nodes, func(*Config) {}, f)
}

func inWorldOf(t *testing.T, nodes int, config func(*Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, kv: memkv.New(memkv.Unlimited), config: config}
		w.begin()
		defer func() { w.stop() }()
		w.update(func(tx *state.Tx) {
			tx.Clusters.Put(&ecs.Cluster{Name: "c", Status: ecs.ClusterActive})
			for i := range nodes {
				tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{1, byte(i >> 8), byte(i)}, Cluster: "c", Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: 4096, MemoryMiB: 8192}})
			}
			for _, family := range []string{"web", "bad", "crash", "sick"} {
				for revision := range int32(3) {
					tx.Definitions.Put(&ecs.TaskDefinition{Family: family, Revision: revision + 1, Status: ecs.DefinitionActive, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a", Cpu: 10}}})
				}
			}
		})
		f(w)
	})
}

// begin starts everything on what a store has, as a new leader does.
func (w *world) begin() {
	w.t.Helper()
	s, err := state.Open(w.t.Context(), state.Config{KV: w.kv})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 3)
	go func() { ended <- s.Run(ctx) }()
	cfg := Config{Store: s}
	w.config(&cfg)
	go func() { ended <- Run(ctx, cfg) }()
	// From here on, so that no task is made that the agents do not hear of.
	feed := s.Watch()
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

// restart has another leader go on with what is stored.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.begin()
}

// agents report on tasks as their families do, and once more on those that are there.
func (w *world) agents(ctx context.Context, feed *state.Feed) error {
	for t := range feed.View().Tasks.All() {
		switch {
		case t.LastStatus >= ecs.TaskStopped:
		case t.DesiredStatus == ecs.TaskStopped:
			go w.later(ctx, stopTime, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped})
		default:
			go w.boot(ctx, t)
		}
	}
	for {
		c, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		for _, ch := range c.Tasks {
			t := ch.New
			switch {
			case t == nil || t.LastStatus >= ecs.TaskStopped:
			case ch.Old == nil:
				go w.boot(ctx, t)
			case t.DesiredStatus == ecs.TaskStopped && ch.Old.DesiredStatus == ecs.TaskRunning:
				go w.later(ctx, stopTime, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped})
			}
		}
	}
}

func (w *world) boot(ctx context.Context, t *ecs.Task) {
	running := acs.TaskState{ID: t.ID, Status: ecs.TaskRunning, Containers: []ecs.Container{{Name: "a", LastStatus: ecs.TaskRunning}}}
	one := int32(1)
	switch t.Definition.Family {
	case "bad":
		w.later(ctx, bootTime, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped, StopCode: ecs.StopTaskFailedToStart, Reason: "CannotPullContainerError"})
	case "crash":
		w.later(ctx, bootTime, running)
		w.later(ctx, time.Second, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped, StopCode: ecs.StopEssentialContainerExit,
			Containers: []ecs.Container{{Name: "a", LastStatus: ecs.TaskStopped, ExitCode: &one}}})
	case "sick":
		running.Containers[0].HealthStatus = ecs.HealthUnknown
		w.later(ctx, bootTime, running)
		running.Containers = []ecs.Container{running.Containers[0]}
		running.Containers[0].HealthStatus = ecs.HealthUnhealthy
		w.later(ctx, time.Second, running)
	default:
		w.later(ctx, bootTime, running)
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

// service makes a service with a first deployment, as the API does.
func (w *world) service(name, family string, desired int32, change func(*ecs.Service)) {
	w.t.Helper()
	s := &ecs.Service{
		Cluster: "c", Name: name, Status: ecs.ServiceActive, SchedulingStrategy: ecs.SchedulingReplica, DesiredCount: desired,
		DeploymentConfiguration: ecs.DeploymentConfiguration{MinimumHealthyPercent: 100, MaximumPercent: 200},
	}
	if change != nil {
		change(s)
	}
	id := "first"
	if name != "s" {
		id += "-" + name
	}
	w.update(func(tx *state.Tx) {
		lifecycle.Deploy(tx, ecs.MillisOf(time.Now()), s, deployment(id, family, 1))
		tx.Services.Put(s)
	})
}

func deployment(id, family string, revision int32) ecs.Deployment {
	return ecs.Deployment{
		ID: "ecs-svc/" + id, Status: ecs.DeploymentPrimary, Definition: ecs.DefinitionID{Family: family, Revision: revision}, RolloutState: ecs.RolloutInProgress,
		CreatedAt: ecs.MillisOf(time.Now()),
	}
}

// deploy makes another deployment, as UpdateService does.
func (w *world) deploy(name, id, family string, revision int32) {
	w.t.Helper()
	w.update(func(tx *state.Tx) {
		s := *tx.Services.Get("c/" + name)
		lifecycle.Deploy(tx, ecs.MillisOf(time.Now()), &s, deployment(id, family, revision))
		tx.Services.Put(&s)
	})
}

func (w *world) change(name string, f func(*ecs.Service)) {
	w.t.Helper()
	w.update(func(tx *state.Tx) {
		s := *tx.Services.Get("c/" + name)
		s.Deployments = append([]ecs.Deployment(nil), s.Deployments...)
		f(&s)
		tx.Services.Put(&s)
	})
}

func (w *world) get(name string) *ecs.Service { return w.store.View().Services.Get("c/" + name) }

// events are the texts of a service's events after its name, the oldest first, with ids of tasks left out.
func (w *world) events(name string) []string {
	var out []string
	for e := range w.store.View().ServiceEvents.Under("c/" + name) {
		text, _, _ := strings.Cut(strings.TrimPrefix(e.Message, "(service "+name+") "), ": (task")
		out = append(out, text)
	}
	return out
}

// counts gives a short form of what runs: RUNNING tasks by family and revision.
func (w *world) running() map[string]int {
	out := map[string]int{}
	for t := range w.store.View().Tasks.All() {
		if t.LastStatus == ecs.TaskRunning && t.DesiredStatus == ecs.TaskRunning {
			out[t.Definition.String()]++
		}
	}
	return out
}

func (w *world) wantRunning(want map[string]int) {
	w.t.Helper()
	if got := w.running(); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("running %v, want %v", got, want)
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
