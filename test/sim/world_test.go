package sim

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/acs"
	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/control/daemons"
	"roadstead.dev/roadstead/internal/control/deploy"
	"roadstead.dev/roadstead/internal/control/liveness"
	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

const (
	cluster   = "sim"
	lostAfter = 40 * time.Second
)

// world is a control plane that leaders come and go of, and nodes whose agents come and go. Time is synctest's.
type world struct {
	t    *testing.T
	kv   *memkv.KV
	rand *rand.Rand

	store *state.Store
	api   *ecsapi.API
	bell  *loop.Bell
	stop  func()
	// newcomers is the daemons' bell; critical says that the daemon is.
	newcomers *loop.Bell
	critical  bool

	// mu guards the nodes and their tasks.
	mu    sync.Mutex
	nodes map[ecs.InstanceID]*node
}

// node is a machine with an agent. Its tasks go on while it is not connected.
type node struct {
	id        ecs.InstanceID
	connected bool
	// tasks are those it has, with the last state of each.
	tasks map[ecs.TaskID]*acs.TaskState
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, kv: memkv.New(memkv.Unlimited), rand: rand.New(rand.NewPCG(seed, 1)), nodes: map[ecs.InstanceID]*node{}}
	n := 2 + w.rand.IntN(4)
	for i := range n {
		id := ecs.InstanceID{1, byte(i)}
		w.nodes[id] = &node{id: id, connected: true, tasks: map[ecs.TaskID]*acs.TaskState{}}
	}
	w.begin()
	w.must(w.api.CreateCluster(t.Context(), &sdk.CreateClusterInput{ClusterName: aws.String(cluster)}))
	for _, family := range []string{"good", "bad", "crash"} {
		for range 2 {
			w.must(w.api.RegisterTaskDefinition(t.Context(), &sdk.RegisterTaskDefinitionInput{
				Family: &family, ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("a"), Image: aws.String("i"), Memory: aws.Int32(64)}},
			}))
		}
	}
	w.prepareDaemons()
	w.update(func(tx *state.Tx) {
		for id := range w.nodes {
			tx.Instances.Put(&ecs.Instance{
				ID: id, Cluster: cluster, Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: 4096, MemoryMiB: 1024},
				Attributes: []ecs.Attribute{{Name: ecs.AttributeZone, Value: string('a' + id[1]%2)}}, CapacityProvider: []string{machines, machines, ""}[id[1]%3],
			})
		}
	})
	return w
}

func (w *world) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(f func(*state.Tx)) {
	w.t.Helper()
	w.must(nil, w.store.Update(w.t.Context(), func(tx *state.Tx) error { f(tx); return nil }))
}

// begin has a leader go on with what is stored; agents come to it.
func (w *world) begin() {
	s, err := state.Open(w.t.Context(), state.Config{KV: w.kv})
	w.must(nil, err)
	w.store, w.bell, w.newcomers = s, &loop.Bell{}, &loop.Bell{}
	w.api, err = ecsapi.New(ecsapi.Config{Store: s, Place: ecs.Place{Account: "000000000000", Region: "us-east-1"}, Connected: w.connected})
	w.must(nil, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	feed, watch := s.Watch(), s.Watch()
	parts := []func(context.Context) error{
		s.Run,
		func(ctx context.Context) error {
			return deploy.Run(ctx, deploy.Config{Store: s, Connected: w.connected, Agents: w.bell, MaxTasks: 3})
		},
		func(ctx context.Context) error {
			return daemons.Run(ctx, daemons.Config{Store: s, Connected: w.connected, Bell: w.newcomers, MaxTasks: 3})
		},
		func(ctx context.Context) error {
			return liveness.Run(ctx, liveness.Config{Store: s, Connected: w.connected, After: lostAfter})
		},
		func(ctx context.Context) error { return w.dispatch(ctx, feed) },
		func(ctx context.Context) error { return w.observe(ctx, watch) },
	}
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part(ctx) }()
	}
	w.stop = func() {
		cancel()
		for range parts {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				w.t.Error(err)
			}
		}
	}
	for id := range w.nodes {
		if w.connected(id) {
			w.join(id)
		}
	}
}

func (w *world) connected(id ecs.InstanceID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[id]
	return n != nil && n.connected
}

// dispatch tells connected nodes what a commit changes for them.
func (w *world) dispatch(ctx context.Context, feed *state.Feed) error {
	for {
		c, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		for _, ch := range c.Tasks {
			if ch.New == nil || !w.connected(ch.New.Instance) {
				continue
			}
			switch t := ch.New; {
			case t.LastStatus >= ecs.TaskStopped:
				w.drop(t.Instance, t.ID)
			case t.DesiredStatus == ecs.TaskStopped:
				w.end(t.Instance, t.ID)
			case ch.Old == nil:
				w.start(t)
			}
		}
	}
}

// join is the beginning of a session: the node gets the whole truth, ends what is not in it, and reports what it has.
func (w *world) join(id ecs.InstanceID) {
	w.mu.Lock()
	n := w.nodes[id]
	n.connected = true
	// What is started from here on may be newer than the truth.
	before := slices.Collect(maps.Keys(n.tasks))
	w.mu.Unlock()
	truth := map[ecs.TaskID]bool{}
	for t := range w.store.View().Tasks.OnInstance(id) {
		if t.LastStatus >= ecs.TaskStopped {
			continue
		}
		truth[t.ID] = true
		w.mu.Lock()
		has := n.tasks[t.ID]
		w.mu.Unlock()
		switch {
		case t.DesiredStatus == ecs.TaskStopped:
			w.end(id, t.ID)
		case has != nil:
			w.send(id, *has)
		case t.LastStatus < ecs.TaskRunning:
			w.start(t)
		default:
			w.send(id, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped})
		}
	}
	w.mu.Lock()
	for _, task := range before {
		if !truth[task] {
			delete(n.tasks, task)
		}
	}
	w.mu.Unlock()
	w.bell.Ring(id.String())
	w.newcomers.Ring(id.String())
}

func (w *world) drop(id ecs.InstanceID, task ecs.TaskID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes[id].tasks, task)
}

// start runs a task as its family does.
func (w *world) start(t *ecs.Task) {
	w.mu.Lock()
	n := w.nodes[t.Instance]
	if n.tasks[t.ID] != nil {
		w.mu.Unlock()
		return
	}
	n.tasks[t.ID] = &acs.TaskState{ID: t.ID, Status: ecs.TaskPending}
	w.mu.Unlock()
	family, one := t.Definition.Family, int32(1)
	stopped := acs.TaskState{ID: t.ID, Status: ecs.TaskStopped, StopCode: ecs.StopTaskFailedToStart, Reason: "CannotPullContainerError"}
	go func() {
		time.Sleep(time.Second + time.Duration(t.ID[0])*10*time.Millisecond)
		if family == "bad" {
			w.became(t.Instance, stopped)
			return
		}
		w.became(t.Instance, acs.TaskState{ID: t.ID, Status: ecs.TaskRunning, Containers: []ecs.Container{{Name: "a", LastStatus: ecs.TaskRunning}}})
		if family == "crash" {
			time.Sleep(time.Second)
			stopped.StopCode, stopped.Containers = ecs.StopEssentialContainerExit, []ecs.Container{{Name: "a", LastStatus: ecs.TaskStopped, ExitCode: &one}}
			w.became(t.Instance, stopped)
		}
	}()
}

// end stops a task; a node that does not have it says that it is STOPPED.
func (w *world) end(id ecs.InstanceID, task ecs.TaskID) {
	w.mu.Lock()
	has := w.nodes[id].tasks[task] != nil
	w.mu.Unlock()
	go func() {
		if has {
			time.Sleep(time.Second)
		}
		w.became(id, acs.TaskState{ID: task, Status: ecs.TaskStopped})
	}()
}

// became notes a task's state and reports it if the agent is connected; else it is reported when it is again.
func (w *world) became(id ecs.InstanceID, r acs.TaskState) {
	w.mu.Lock()
	n := w.nodes[id]
	old := n.tasks[r.ID]
	switch {
	case old == nil && r.Status != ecs.TaskStopped, old != nil && old.Status >= r.Status && r.Status != ecs.TaskStopped:
		w.mu.Unlock()
		return
	case old != nil:
		n.tasks[r.ID] = &r
	}
	is := n.connected
	w.mu.Unlock()
	if is {
		w.send(id, r)
	}
}

// send makes a report durable. One that meets a change of leaders is sent again by the join that follows.
func (w *world) send(id ecs.InstanceID, r acs.TaskState) {
	store := w.store
	err := store.Update(w.t.Context(), func(tx *state.Tx) error {
		if t := tx.Tasks.Get(r.ID); t == nil || t.Instance != id {
			return nil
		}
		return lifecycle.Report(tx, ecs.MillisOf(time.Now()), r)
	})
	if err == nil && r.Status == ecs.TaskStopped {
		w.drop(id, r.ID)
	}
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
