package engine

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// deadlyJournal stops writing at the moment its agent is killed: what the process would still have written is lost.
type deadlyJournal struct {
	Journal
	dead atomic.Bool
}

func (j *deadlyJournal) Create(r *journal.Record) error {
	if j.dead.Load() {
		return nil
	}
	return j.Journal.Create(r)
}

func (j *deadlyJournal) Update(id ecs.TaskID, s *journal.State) error {
	if j.dead.Load() {
		return nil
	}
	return j.Journal.Update(id, s)
}

func (j *deadlyJournal) Remove(id ecs.TaskID) error {
	if j.dead.Load() {
		return nil
	}
	return j.Journal.Remove(id)
}

// world is a machine, a server's idea of it, and agents that come and go.
type world struct {
	t     *rapid.T
	m     *machine
	n     *node
	j     *deadlyJournal
	serve serverView
	// starts counts how often a container of a task reached its first instruction.
	mu     sync.Mutex
	starts map[string]int
	lost   bool
}

// serverView is what the server knows and wants.
type serverView struct {
	definitions map[ecs.DefinitionID]*ecs.TaskDefinition
	runs        []acs.RunTask
	stopped     map[ecs.TaskID]bool
	status      map[ecs.TaskID]ecs.TaskStatus
	final       map[ecs.TaskID]acs.TaskState
}

func (w *world) boot() {
	cfg := w.m.config(w.t)
	w.j = &deadlyJournal{Journal: cfg.Journal}
	cfg.Journal, cfg.Runtime = w.j, countingRuntime{cfg.Runtime, w}
	file := w.j.Journal.(*journal.File)
	w.n = w.m.boot(w.t, cfg, true)
	stop := w.n.stop
	w.n.stop = func() { stop(); file.Close() }
	<-w.n.Ready()
}

// kill ends the agent at whatever it is doing, as far as a test can.
func (w *world) kill() {
	w.n.mu.Lock()
	w.n.dead = true
	w.n.mu.Unlock()
	w.j.dead.Store(true)
	w.n.stop()
	w.merge()
}

// merge takes what the agent has reported into the server's view.
func (w *world) merge() {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	for id, s := range w.n.states {
		if s.Status < w.serve.status[id] {
			w.t.Errorf("task %s goes back from %v to %v over a restart", id, w.serve.status[id], s.Status)
		}
		w.serve.status[id] = s.Status
		if s.Status == ecs.TaskStopped {
			if old, ok := w.serve.final[id]; ok && len(old.Containers) > 0 && len(s.Containers) > 0 && fmt.Sprint(ends(old)) != fmt.Sprint(ends(s)) {
				w.t.Errorf("task %s ended twice: %v and %v", id, ends(old), ends(s))
			}
			w.serve.final[id] = s
		}
	}
}

func ends(s acs.TaskState) (list []string) {
	list = append(list, s.StopCode)
	for _, c := range s.Containers {
		code := "none"
		if c.ExitCode != nil {
			code = fmt.Sprint(*c.ExitCode)
		}
		list = append(list, c.Name+" "+code+" "+c.Reason)
	}
	return list
}

func (w *world) newTask() {
	d := &ecs.TaskDefinition{Family: "chaos", Revision: int32(len(w.serve.runs) + 1), NetworkMode: rapid.SampledFrom([]string{"none", "host", "bridge"}).Draw(w.t, "network")}
	n := rapid.IntRange(1, 3).Draw(w.t, "containers")
	for i := range n {
		c := ecs.ContainerDefinition{
			Name: string(rune('a' + i)), Image: rapid.SampledFrom([]string{"busybox", "busybox", "busybox", "slow", "missing"}).Draw(w.t, "image"),
			Command:   strings.Fields(rapid.SampledFrom(commands).Draw(w.t, "command")),
			Essential: ptr(i == 0 || rapid.Bool().Draw(w.t, "essential")),
		}
		if rapid.Bool().Draw(w.t, "awslogs") {
			c.LogConfiguration = &ecs.LogConfiguration{LogDriver: "awslogs"}
		}
		if rapid.Bool().Draw(w.t, "restarts") {
			period := int32(rapid.IntRange(1, 3).Draw(w.t, "period"))
			c.RestartPolicy = &ecs.ContainerRestartPolicy{Enabled: ptr(true), RestartAttemptPeriod: &period, IgnoredExitCodes: []int32{3}}
		}
		if i > 0 && rapid.Bool().Draw(w.t, "depends") {
			c.DependsOn = []ecs.ContainerDependency{{ContainerName: "a", Condition: rapid.SampledFrom([]string{"START", "COMPLETE", "SUCCESS"}).Draw(w.t, "condition")}}
		}
		d.ContainerDefinitions = append(d.ContainerDefinitions, c)
	}
	w.serve.definitions[d.ID()] = d
	w.serve.runs = append(w.serve.runs, runOf(d))
}

var commands = []string{
	"serve", "exit 0", "exit 3", "sleep 2", "fake after=3s exit=7", "fake oom after=1s", "fake ignore-term", "fake term-delay=4s",
	"fake start-delay=2s", "fake start-error=boom", "fake start-delay=1s after=0s exit=1",
	"fake after=2s restart-error=boom",
}

// message is what the server would say, of all tasks or of the newest.
func (w *world) message(whole bool) *acs.Tasks {
	m := &acs.Tasks{}
	w.merge()
	for i := range w.serve.runs {
		r := w.serve.runs[i]
		r.Known = max(w.serve.status[r.ID], ecs.TaskPending)
		switch {
		case r.Known == ecs.TaskStopped:
		case w.serve.stopped[r.ID]:
			m.Stop = append(m.Stop, r.ID)
		case whole || i == len(w.serve.runs)-1:
			m.Run = append(m.Run, r)
			m.Definitions = append(m.Definitions, w.serve.definitions[r.Definition])
		}
	}
	return m
}

func (w *world) something() {
	switch rapid.IntRange(0, 9).Draw(w.t, "what") {
	case 0, 1, 2:
		w.newTask()
		w.n.apply(false, w.message(false))
	case 3:
		if len(w.serve.runs) > 0 {
			r := rapid.SampledFrom(w.serve.runs).Draw(w.t, "stopped")
			w.serve.stopped[r.ID] = true
			w.n.apply(false, w.message(false))
		}
	case 4:
		w.n.apply(true, w.message(true))
	case 5:
		w.kill()
		switch rapid.IntRange(0, 5).Draw(w.t, "the machine") {
		case 0: // goes down
			w.m.runtime.Lose()
			w.lost = true
		case 1: // comes back without its containers
			w.m.runtime.Vanish()
			w.lost = true
			w.forgetStarts()
		}
		time.Sleep(time.Duration(rapid.IntRange(0, 5).Draw(w.t, "away")) * time.Second)
		w.boot()
		w.n.apply(true, w.message(true))
	case 6:
		synctest.Wait()
	default:
		time.Sleep(time.Duration(rapid.IntRange(1, 4000).Draw(w.t, "passes")) * time.Millisecond)
	}
}

// noDeadline is a test in a bubble, which may not be asked for its deadline.
type noDeadline struct{ *testing.T }

func (noDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

// forgetStarts takes back the starts of tasks that never came to be RUNNING for the server: where neither the journal nor
// the machine knows any more that a container ran, it may run again.
func (w *world) forgetStarts() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.serve.runs {
		for _, c := range w.serve.definitions[r.Definition].ContainerDefinitions {
			if w.serve.status[r.ID] < ecs.TaskRunning {
				delete(w.starts, r.ID.String()+" "+c.Name)
			}
		}
	}
}

// TestChaos lets tasks start, fail, hang and be stopped while the agent is killed and the machine goes down: in the end each
// task is STOPPED for the right reason, no container has run twice, and nothing is left.
func TestChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(noDeadline{t}, func(t *rapid.T) {
			dir, err := os.MkdirTemp("", "engine-chaos")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			w := &world{t: t, m: &machine{dir: dir}, starts: map[string]int{}, serve: serverView{
				definitions: map[ecs.DefinitionID]*ecs.TaskDefinition{}, stopped: map[ecs.TaskID]bool{},
				status: map[ecs.TaskID]ecs.TaskStatus{}, final: map[ecs.TaskID]acs.TaskState{},
			}}
			w.boot()
			defer func() { w.n.stop() }()
			for range rapid.IntRange(1, 30).Draw(t, "events") {
				w.something()
			}
			w.settle()
		})
	})
}

// countingRuntime counts the containers that came to run.
type countingRuntime struct {
	runtime.Runtime
	w *world
}

func (c countingRuntime) Start(ctx context.Context, spec *runtime.Spec) (*runtime.Status, error) {
	status, err := c.Runtime.Start(ctx, spec)
	if err == nil {
		c.w.mu.Lock()
		c.w.starts[spec.Labels[LabelTask]+" "+spec.Labels[labelContainer]]++
		c.w.mu.Unlock()
	}
	return status, err
}

// Restart makes a restart whose answer the agent may never hear.
func (c countingRuntime) Restart(ctx context.Context, id string, n int, netNS string) (*runtime.Status, error) {
	return c.Runtime.(runtime.Restarter).Restart(ctx, id, n, netNS)
}

// settle stops everything, lets it end, and looks at what is left.
func (w *world) settle() {
	for _, r := range w.serve.runs {
		w.serve.stopped[r.ID] = true
	}
	w.n.apply(true, w.message(true))
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	w.merge()
	for _, r := range w.serve.runs {
		s, ok := w.serve.final[r.ID]
		if !ok {
			w.t.Fatalf("task %s is %v in the end", r.ID, w.serve.status[r.ID])
		}
		if len(s.Containers) > 0 {
			w.judge(r, s)
		}
	}
	w.mu.Lock()
	for name, n := range w.starts {
		if n > 1 {
			w.t.Errorf("container %s ran %d times", name, n)
		}
	}
	w.mu.Unlock()
	w.m.clean(w.t, w.n)
}

// judge compares a task's end with what its containers were to do.
func (w *world) judge(r acs.RunTask, s acs.TaskState) {
	d := w.serve.definitions[r.Definition]
	for i, c := range s.Containers {
		if c.LastStatus != ecs.TaskStopped {
			w.t.Errorf("container %s of a stopped task is %v", c.Name, c.LastStatus)
		}
		command := strings.Join(d.ContainerDefinitions[i].Command, " ")
		allowed := map[string][]string{
			"serve": {"143"}, "exit 0": {"0", "143"}, "exit 3": {"3", "143"}, "sleep 2": {"0", "143"}, "fake after=3s exit=7": {"7", "143"}, "fake oom after=1s": {"137", "143"},
			"fake ignore-term": {"137"}, "fake term-delay=4s": {"143"}, "fake start-delay=2s": {"143"}, "fake start-error=boom": {},
			"fake start-delay=1s after=0s exit=1": {"1", "143"}, "fake after=2s restart-error=boom": {"0", "143"},
		}[command]
		allowed = append(allowed, "none")
		code := "none"
		if c.ExitCode != nil {
			code = fmt.Sprint(*c.ExitCode)
		}
		ok := false
		for _, a := range allowed {
			ok = ok || a == code
		}
		if !ok {
			w.t.Errorf("%q ended with %s, want one of %v", command, code, allowed)
		}
		if code == "none" && c.RuntimeID != "" && !w.lost {
			w.t.Errorf("%q ran and has no exit code: %+v", command, c)
		}
	}
	failed := false
	for _, c := range s.Containers {
		failed = failed || strings.HasPrefix(c.Reason, "Cannot")
	}
	if s.StopCode == ecs.StopTaskFailedToStart && !failed && len(d.ContainerDefinitions) == 1 {
		w.t.Errorf("TaskFailedToStart without a failure: %+v", s)
	}
	if s.StopCode == ecs.StopEssentialContainerExit && s.Reason != reasonEssential {
		w.t.Errorf("reason %q", s.Reason)
	}
}
