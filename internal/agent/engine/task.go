package engine

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// task is one task on this machine. What is above holding never changes.
type task struct {
	engine     *Engine
	run        acs.RunTask
	definition *ecs.TaskDefinition

	// holding guards held, which says that what holds the task's shared namespaces runs.
	holding sync.Mutex
	held    bool

	mu    sync.Mutex
	seen  observed
	state journal.State
	live  []liveContainer
	// version counts what was worth a report, and dirty says that the journal is behind.
	version uint64
	news    bool
	dirty   bool
}

// liveContainer is what this process holds of a container beside what it observes.
type liveContainer struct {
	// image is set once it is pulled; cancel gives a pull up.
	image    *runtime.Image
	cancel   func()
	shipment logs.Shipment
	// patience is the timer of a stop timeout, and startup that of a start timeout.
	patience, startup *time.Timer
	// health is what the last health check found, and endHealth ends them.
	health    metadata.Health
	endHealth func()
}

// maxReason is how long ECS lets a reason be, in bytes.
const maxReason = 1024

// newTask makes a task that has not begun, after checking what would break its running.
func newTask(run acs.RunTask, def *ecs.TaskDefinition) (*task, error) {
	n := len(def.ContainerDefinitions)
	if n == 0 {
		return nil, fmt.Errorf("the task definition has no containers")
	}
	t := &task{run: run, definition: def, live: make([]liveContainer, n)}
	t.seen.containers = make([]observedContainer, n)
	t.state.Containers = make([]journal.Container, n)
	names := make(map[string]int, n)
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		if _, taken := names[c.Name]; taken || !fileName(c.Name) {
			return nil, fmt.Errorf("container name %q is taken or not a name", c.Name)
		}
		names[c.Name] = i
		t.seen.containers[i].essential = c.Essential == nil || *c.Essential
		t.state.Containers[i] = journal.Container{Container: ecs.Container{Name: c.Name, RuntimeID: newRuntimeID(), LastStatus: ecs.TaskPending}}
	}
	for _, v := range def.Volumes {
		if !fileName(v.Name) {
			return nil, fmt.Errorf("volume name %q is not a name", v.Name)
		}
	}
	return t, t.resolveDependencies(names)
}

// newRuntimeID makes the 64 hex digits of a container's id.
func newRuntimeID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// fileName tells whether a name of a definition can name a file: ECS allows letters, digits, hyphens and underscores.
func fileName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

var conditions = map[string]condition{"START": conditionStart, "COMPLETE": conditionComplete, "SUCCESS": conditionSuccess, "HEALTHY": conditionHealthy}

// resolveDependencies reads dependsOn.
func (t *task) resolveDependencies(names map[string]int) error {
	failed := func(why string, args ...any) error {
		//lint:ignore ST1005 these are ECS's own words
		return fmt.Errorf("Task dependencies cannot be resolved, taskArn: %s: %s", t.run.ARN, fmt.Sprintf(why, args...))
	}
	for i := range t.definition.ContainerDefinitions {
		for _, d := range t.definition.ContainerDefinitions[i].DependsOn {
			on, ok := names[d.ContainerName]
			if !ok {
				return failed("there is no container %q", d.ContainerName)
			}
			want, ok := conditions[d.Condition]
			if !ok {
				return failed("this agent does not support condition %q", d.Condition)
			}
			if want == conditionHealthy && healthCheckOf(&t.definition.ContainerDefinitions[on]) == nil {
				return failed("container %q has no health check", d.ContainerName)
			}
			t.seen.containers[i].needs = append(t.seen.containers[i].needs, dependency{on: on, condition: want})
		}
	}
	if err := t.needsOfVolumes(names); err != nil {
		return failed("%v", err)
	}
	if err := t.needsOfLinks(); err != nil {
		return failed("%v", err)
	}
	t.needsOfRouter()
	if circular(&t.seen) {
		return failed("they are circular")
	}
	return nil
}

// circular tells whether some containers wait for each other for ever.
func circular(o *observed) bool {
	free := make([]bool, len(o.containers))
	for range o.containers {
		progress := false
		for i := range o.containers {
			if free[i] {
				continue
			}
			blocked := false
			for _, d := range o.containers[i].needs {
				blocked = blocked || !free[d.on]
			}
			if !blocked {
				free[i], progress = true, true
			}
		}
		if !progress {
			break
		}
	}
	for _, f := range free {
		if !f {
			return true
		}
	}
	return false
}

// report is the task as the server is to know it.
func (t *task) report() (acs.TaskState, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taskState(), t.version
}

// status is the task's for ECS.
func (t *task) status() ecs.TaskStatus {
	switch {
	case t.seen.finished:
		return ecs.TaskStopped
	case t.state.StartedAt != 0:
		return ecs.TaskRunning
	}
	return ecs.TaskPending
}

func (t *task) taskState() acs.TaskState {
	s := acs.TaskState{
		ID: t.run.ID, Status: t.status(), PullStartedAt: t.state.PullStartedAt, PullStoppedAt: t.state.PullStoppedAt,
		StartedAt: t.state.StartedAt, ExecutionStoppedAt: t.state.ExecutionStoppedAt, Attachment: t.state.Attachment,
		Containers: make([]ecs.Container, len(t.state.Containers)),
	}
	if t.state.Stopping {
		s.StopCode, s.Reason = t.state.StopCode, t.state.Reason
	}
	for i := range t.state.Containers {
		c := t.state.Containers[i].Container
		if !t.state.Containers[i].Ran {
			c.RuntimeID = ""
		} else if t.run.EnableExecuteCommand {
			// There is no program in the container: the agent itself runs commands there, for as long as it runs.
			c.ManagedAgents = []ecs.ManagedAgent{{Name: ecs.ManagedAgentExec, LastStatus: c.LastStatus, LastStartedAt: t.state.Containers[i].StartedAt}}
		}
		s.Containers[i] = c
	}
	return s
}

// reported takes note that the server has a version of the state.
func (t *task) reported(version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen.finished && version == t.version {
		t.seen.settled = true
		t.engine.advance(t)
	}
}

// shorten keeps a reason within ECS's bound and in valid UTF-8.
func shorten(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= maxReason {
		return s
	}
	s = s[:maxReason]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
