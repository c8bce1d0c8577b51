package engine

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
	"roadstead.dev/roadstead/internal/ecs"
)

// machine is what outlives an agent: containers, images and the journal's directory.
type machine struct {
	runtime fake.Runtime
	images  fake.Images
	network fakeNetwork
	logs    fakeLogs
	dir     string
}

func newMachine(t testing.TB) *machine { return &machine{dir: t.TempDir()} }

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// node is one run of an engine on a machine, with a server that takes every report.
type node struct {
	*Engine
	t    tb
	stop func()

	mu     sync.Mutex
	states map[ecs.TaskID]acs.TaskState
	// history has every state of a task that was reported.
	history map[ecs.TaskID][]acs.TaskState
	changed chan struct{}
	dead    bool
}

func (m *machine) config(t tb) Config {
	j, records, err := journal.Open(filepath.Join(m.dir, "journal"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Runtime: &m.runtime, Images: &m.images, Journal: j, Recovered: records, DataDir: m.dir, Network: &m.network, Logs: &m.logs,
		Log: slog.New(slog.DiscardHandler), Region: "us-east-1", LogsWait: -1,
	}
}

// boot starts an engine; ack says whether the server acknowledges its reports.
func (m *machine) boot(t tb, cfg Config, ack bool) *node {
	n := &node{Engine: New(cfg), t: t, states: map[ecs.TaskID]acs.TaskState{}, history: map[ecs.TaskID][]acs.TaskState{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-n.Changed():
			}
			b := n.Collect()
			if b == nil {
				continue
			}
			if n.take(b) && ack {
				n.Acknowledge(b)
			}
		}
	})
	n.stop = func() {
		cancel()
		wg.Wait()
		if c, ok := cfg.Journal.(io.Closer); ok {
			c.Close()
		}
	}
	return n
}

// take is the server's part; a dead agent reports nothing.
func (n *node) take(b *Batch) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return false
	}
	for _, s := range b.States {
		if old := n.states[s.ID]; s.Status < old.Status {
			n.t.Errorf("task %s goes back from %v to %v", s.ID, old.Status, s.Status)
		}
		n.states[s.ID] = s
		n.history[s.ID] = append(n.history[s.ID], s)
	}
	close(n.changed)
	n.changed = make(chan struct{})
	return true
}

// until waits until a task's state is reported as asked.
func (n *node) until(id ecs.TaskID, want ecs.TaskStatus) acs.TaskState {
	n.t.Helper()
	timeout := time.After(time.Hour)
	for {
		n.mu.Lock()
		s, changed := n.states[id], n.changed
		n.mu.Unlock()
		if s.Status >= want {
			if s.Status != want {
				n.t.Fatalf("task is %v: %+v", s.Status, s)
			}
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			n.t.Fatalf("task is still %v: %+v", s.Status, s)
		}
	}
}

func (n *node) apply(whole bool, m *acs.Tasks) {
	n.t.Helper()
	if err := n.Apply(context.Background(), m, whole); err != nil {
		n.t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

// definition makes a task definition on no network; each container is one command line.
func definition(commands ...string) *ecs.TaskDefinition {
	d := &ecs.TaskDefinition{Family: "test", Revision: 1, NetworkMode: "none"}
	for i, c := range commands {
		d.ContainerDefinitions = append(d.ContainerDefinitions, ecs.ContainerDefinition{
			Name: string(rune('a' + i)), Image: "busybox", Command: strings.Fields(c), Essential: ptr(true),
		})
	}
	return d
}

func runOf(d *ecs.TaskDefinition) acs.RunTask {
	id := ecs.NewTaskID()
	return acs.RunTask{ID: id, Cluster: "default", ARN: "arn:aws:ecs:us-east-1:000000000000:task/default/" + id.String(), Definition: d.ID(), Known: ecs.TaskPending}
}

// start runs one task of a definition.
func (n *node) start(d *ecs.TaskDefinition) ecs.TaskID {
	n.t.Helper()
	r := runOf(d)
	d2 := *d
	n.mu.Lock()
	d2.Revision = int32(len(n.history) + 1) // definitions never change: each test task has its own
	n.mu.Unlock()
	for n.knows(d2.ID()) {
		d2.Revision++
	}
	r.Definition = d2.ID()
	n.apply(false, &acs.Tasks{Definitions: []*ecs.TaskDefinition{&d2}, Run: []acs.RunTask{r}})
	return r.ID
}

func (n *node) knows(id ecs.DefinitionID) bool {
	n.Engine.mu.Lock()
	defer n.Engine.mu.Unlock()
	return n.definitions[id] != nil
}

// clean checks that nothing of any task is left on the machine.
func (m *machine) clean(t tb, n *node) {
	t.Helper()
	synctest.Wait()
	if left := n.Tasks(); left != 0 {
		t.Errorf("%d tasks are left", left)
	}
	if list, _ := m.runtime.List(context.Background()); len(list) != 0 {
		t.Errorf("%d containers are left", len(list))
	}
	if held := m.images.Holders(); held != 0 {
		t.Errorf("%d images are still held", held)
	}
	if up := m.network.up(); up != 0 {
		t.Errorf("%d networks are left", up)
	}
	if open := m.logs.open(); open != 0 {
		t.Errorf("%d shipments are left", open)
	}
	if left, _ := filepath.Glob(filepath.Join(m.dir, "*", "*")); len(left) != 0 {
		t.Errorf("%d files are left: %v", len(left), left)
	}
	if _, records, err := journal.Open(filepath.Join(m.dir, "journal"), slog.New(slog.DiscardHandler)); err != nil || len(records) != 0 {
		t.Errorf("%d tasks are left in the journal, %v", len(records), err)
	}
}

// bubble runs a test on fake time with one engine, and checks that it leaves nothing.
func bubble(t *testing.T, change func(*Config), f func(t *testing.T, m *machine, n *node)) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := m.config(t)
		if change != nil {
			change(&cfg)
		}
		n := m.boot(t, cfg, true)
		defer n.stop()
		<-n.Ready()
		f(t, m, n)
		m.clean(t, n)
	})
}

func (n *node) stopAndWait(id ecs.TaskID) acs.TaskState {
	n.t.Helper()
	n.apply(false, &acs.Tasks{Stop: []ecs.TaskID{id}})
	return n.until(id, ecs.TaskStopped)
}

func TestTaskRunsAndIsStopped(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		id := n.start(definition("serve"))
		s := n.until(id, ecs.TaskRunning)
		c := s.Containers[0]
		if s.StartedAt == 0 || s.PullStartedAt == 0 || s.PullStoppedAt == 0 || c.LastStatus != ecs.TaskRunning || len(c.RuntimeID) != 64 || !strings.HasPrefix(c.ImageDigest, "sha256:") {
			t.Errorf("running: %+v", s)
		}
		s = n.stopAndWait(id)
		if code := s.Containers[0].ExitCode; code == nil || *code != 143 || s.StopCode != "" || s.Reason != "" || s.ExecutionStoppedAt == 0 {
			t.Errorf("stopped: %+v", s)
		}
	})
}

func TestEndsOfTasks(t *testing.T) {
	type end struct {
		commands     []string
		image        string
		code, reason string
		exit         int32 // of container a; -1 for none
		why          string
	}
	for name, want := range map[string]end{
		"exits":            {commands: []string{"exit 3"}, code: ecs.StopEssentialContainerExit, reason: reasonEssential, exit: 3},
		"one of two exits": {commands: []string{"sleep 5", "serve"}, code: ecs.StopEssentialContainerExit, reason: reasonEssential},
		"runs out of memory": {commands: []string{"fake oom after=1s"}, code: ecs.StopEssentialContainerExit, reason: reasonEssential, exit: 137,
			why: "OutOfMemoryError: Container killed due to memory usage"},
		"has no image": {commands: []string{"serve"}, image: "missing:1", code: ecs.StopTaskFailedToStart, reason: reasonFailedToStart, exit: -1,
			why: `CannotPullContainerError: failed to resolve reference "missing:1": missing:1: not found`},
		"does not start": {commands: []string{"fake start-error=boom", "serve"}, code: ecs.StopTaskFailedToStart, reason: reasonFailedToStart, exit: -1,
			why: "CannotStartContainerError: start container: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, m *machine, n *node) {
				d := definition(want.commands...)
				if want.image != "" {
					d.ContainerDefinitions[0].Image = want.image
				}
				s := n.until(n.start(d), ecs.TaskStopped)
				c := s.Containers[0]
				exit := int32(-1)
				if c.ExitCode != nil {
					exit = *c.ExitCode
				}
				if s.StopCode != want.code || s.Reason != want.reason || exit != want.exit || c.Reason != want.why {
					t.Errorf("%q %q exit %d %q", s.StopCode, s.Reason, exit, c.Reason)
				}
				for _, c := range s.Containers {
					if c.LastStatus != ecs.TaskStopped {
						t.Errorf("container %s is %v in a stopped task", c.Name, c.LastStatus)
					}
				}
			})
		})
	}
}

func TestStubbornContainerIsKilledInTime(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("fake ignore-term", "fake ignore-term")
		d.ContainerDefinitions[1].StopTimeout = ptr(int32(5))
		id := n.start(d)
		n.until(id, ecs.TaskRunning)
		begin := time.Now()
		s := n.stopAndWait(id)
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("stopped after %v, want 30 s", took)
		}
		for _, c := range s.Containers {
			if *c.ExitCode != 137 {
				t.Errorf("exit code %d", *c.ExitCode)
			}
		}
	})
}

func TestOrder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("sleep 10", "serve", "serve")
		d.ContainerDefinitions[0].Essential = ptr(false)
		d.ContainerDefinitions[1].DependsOn = []ecs.ContainerDependency{{ContainerName: "a", Condition: "SUCCESS"}}
		d.ContainerDefinitions[2].DependsOn = []ecs.ContainerDependency{{ContainerName: "b", Condition: "START"}}
		begin := time.Now()
		id := n.start(d)
		s := n.until(id, ecs.TaskRunning)
		if took := time.Since(begin); took != 10*time.Second || s.Containers[0].LastStatus != ecs.TaskStopped {
			t.Errorf("running after %v: %+v", took, s)
		}
		n.stopAndWait(id)

		d.ContainerDefinitions[0].Command = []string{"exit", "1"}
		s = n.until(n.start(d), ecs.TaskStopped)
		if s.StopCode != ecs.StopTaskFailedToStart {
			t.Errorf("failed dependency: %+v", s)
		}
		d.ContainerDefinitions[0].Command = []string{"serve"}
		d.ContainerDefinitions[0].StartTimeout = ptr(int32(7))
		begin = time.Now()
		s = n.until(n.start(d), ecs.TaskStopped)
		if took := time.Since(begin); took != 7*time.Second || s.StopCode != ecs.StopTaskFailedToStart {
			t.Errorf("late dependency: %v %+v", took, s)
		}
	})
}

// TestBurst is the load test: a thousand tasks of one container each, journalled, started and stopped, in real time. The
// containers' files are left out: how long those take is the disk's affair and that of who else syncs it.
func TestBurst(t *testing.T) {
	const tasks = 1000
	m := newMachine(t)
	cfg := m.config(t)
	cfg.DataDir = ""
	n := m.boot(t, cfg, true)
	defer n.stop()
	<-n.Ready()
	d := definition("serve")
	msg := &acs.Tasks{Definitions: []*ecs.TaskDefinition{d}}
	for range tasks {
		msg.Run = append(msg.Run, runOf(d))
	}
	begin := time.Now()
	n.apply(false, msg)
	journalled := time.Since(begin)
	for _, r := range msg.Run {
		n.until(r.ID, ecs.TaskRunning)
	}
	running := time.Since(begin)
	stop := &acs.Tasks{}
	for _, r := range msg.Run {
		stop.Stop = append(stop.Stop, r.ID)
	}
	n.apply(false, stop)
	for _, r := range msg.Run {
		n.until(r.ID, ecs.TaskStopped)
	}
	stopped := time.Since(begin)
	t.Logf("%d tasks: journalled after %v, running after %v, stopped after %v", tasks, journalled, running, stopped)
	if !raceEnabled && running > 2*time.Second {
		t.Errorf("%d tasks took %v to run", tasks, running)
	}
}

// TestHangingStart gives a start three minutes, and the other tasks their turns meanwhile.
func TestHangingStart(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		begin := time.Now()
		hangs := n.start(definition("fake start-delay=10m"))
		id := n.start(definition("serve"))
		n.until(id, ecs.TaskRunning)
		s := n.until(hangs, ecs.TaskStopped)
		if took := time.Since(begin); took != 3*time.Minute || s.Containers[0].Reason != timedOut || s.StopCode != ecs.StopTaskFailedToStart {
			t.Errorf("after %v: %+v", took, s)
		}
		n.stopAndWait(id)
	})
}

// TestStopsWhileNotRunning stops tasks at the stages before RUNNING.
func TestStopsWhileNotRunning(t *testing.T) {
	for name, d := range map[string]*ecs.TaskDefinition{"pulling": definition("serve"), "starting": definition("fake start-delay=30s"), "waiting": definition("sleep 100", "serve")} {
		switch name {
		case "pulling":
			d.ContainerDefinitions[0].Image = "slow"
		case "waiting":
			d.ContainerDefinitions[0].Essential = ptr(false)
			d.ContainerDefinitions[1].DependsOn = []ecs.ContainerDependency{{ContainerName: "a", Condition: "COMPLETE"}}
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, m *machine, n *node) {
				id := n.start(d)
				time.Sleep(100 * time.Millisecond)
				s := n.stopAndWait(id)
				last := s.Containers[len(s.Containers)-1]
				if s.StopCode != "" || s.Reason != "" || s.StartedAt != 0 || last.Reason != "" {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
