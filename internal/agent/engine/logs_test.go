package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

func awslogs(options map[string]string) *ecs.LogConfiguration {
	return &ecs.LogConfiguration{LogDriver: "awslogs", Options: options}
}

func TestTheEndWaitsForTheLog(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("sleep 1")
		d.ContainerDefinitions[0].LogConfiguration = awslogs(nil)
		m.logs.stuck = make(chan struct{})
		begin := time.Now()
		time.AfterFunc(4*time.Second, func() { close(m.logs.stuck) })
		id := n.start(d)
		n.until(id, ecs.TaskStopped)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("stopped after %v, the log was shipped after 4 s", took)
		}
	})
}

func TestADeadLogTargetDoesNotHoldTheTask(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("sleep 1")
		d.ContainerDefinitions[0].LogConfiguration = awslogs(nil)
		m.logs.stuck = make(chan struct{})
		begin := time.Now()
		id := n.start(d)
		n.until(id, ecs.TaskStopped)
		if took := time.Since(begin); took != 11*time.Second {
			t.Errorf("stopped after %v, want 1 s and the grace of 10 s", took)
		}
		time.Sleep(time.Hour)
		if n.Tasks() != 1 {
			t.Error("the task was removed before its log was shipped")
		}
		close(m.logs.stuck)
	})
}

func TestALogDriverThatCannotWork(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("serve")
		d.ContainerDefinitions[0].LogConfiguration = awslogs(map[string]string{"refuse": "no such group"})
		s := n.until(n.start(d), ecs.TaskStopped)
		if want := "CannotStartContainerError: failed to initialize logging driver: no such group"; s.Containers[0].Reason != want {
			t.Errorf("%q", s.Containers[0].Reason)
		}
	})
}

// TestShippingGoesOnAfterARestart ends an agent while a log target is away: the next one ships what is left.
func TestShippingGoesOnAfterARestart(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		m.logs.stuck = make(chan struct{})
		n := m.boot(t, m.config(t), true)
		<-n.Ready()
		d := definition("sleep 1")
		d.ContainerDefinitions[0].LogConfiguration = awslogs(nil)
		id := n.start(d)
		n.until(id, ecs.TaskStopped)
		n.stop()
		if m.logs.open() != 0 {
			t.Error("the agent has ended and still ships")
		}
		n = m.boot(t, m.config(t), true)
		defer n.stop()
		n.until(id, ecs.TaskStopped)
		if m.logs.open() != 1 {
			t.Errorf("%d shipments after the restart", m.logs.open())
		}
		close(m.logs.stuck)
		synctest.Wait()
		if m.logs.drained != 1 {
			t.Errorf("%d logs were drained", m.logs.drained)
		}
		m.clean(t, n)
	})
}

// vault gives every secret the same value, or an error while it is away.
type vault struct {
	mu   sync.Mutex
	away bool
}

func (v *vault) set(away bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.away = away
}

func (v *vault) Secret(context.Context, string, string, ecs.SecretReference) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away {
		return "", errors.New("away")
	}
	return "s3cret", nil
}

// TestSecretLogOptions: they reach the log driver, and after a restart they are fetched until they can be had, while the container runs
// on.
func TestSecretLogOptions(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		v := &vault{away: true}
		cfg := m.config(t)
		cfg.Secrets = v
		n := m.boot(t, cfg, true)
		<-n.Ready()
		d := definition("serve")
		d.ExecutionRoleArn = "arn:aws:iam::000000000000:role/x"
		d.ContainerDefinitions[0].LogConfiguration = &ecs.LogConfiguration{LogDriver: "splunk", SecretOptions: []ecs.Secret{{Name: "splunk-token", ValueFrom: "p"}}}
		if s := n.until(n.start(d), ecs.TaskStopped); !strings.HasPrefix(s.Containers[0].Reason, "ResourceInitializationError: unable to pull secrets") {
			t.Errorf("%q", s.Containers[0].Reason)
		}
		v.set(false)
		id := n.start(d)
		n.until(id, ecs.TaskRunning)
		if m.logs.last.Secrets["splunk-token"] != "s3cret" || m.logs.last.Options["splunk-token"] != "" {
			t.Errorf("%+v", m.logs.last)
		}
		n.stop()
		v.set(true)
		cfg = m.config(t)
		cfg.Secrets = v
		n = m.boot(t, cfg, true)
		defer n.stop()
		<-n.Ready()
		time.Sleep(time.Minute)
		if m.logs.open() != 0 {
			t.Error("shipped without its secret")
		}
		v.set(false)
		time.Sleep(lateTry + time.Second)
		if m.logs.open() != 1 {
			t.Error("not shipped with its secret")
		}
		n.stopAndWait(id)
		m.clean(t, n)
	})
}

// TestJSONFilesAreKept looks for the log of an ended task.
func TestJSONFilesAreKept(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := m.config(t)
		cfg.LogsWait = 3 * time.Hour
		n := m.boot(t, cfg, true)
		<-n.Ready()
		id := n.start(definition("fake log=hello after=1s"))
		n.until(id, ecs.TaskStopped)
		synctest.Wait()
		path := filepath.Join(m.dir, "logs", id.String()+".a.json")
		if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), `"log":"hello\n"`) {
			t.Errorf("the log: %s, %v", b, err)
		}
		if n.Tasks() != 0 {
			t.Error("the task is still in memory")
		}
		time.Sleep(2 * time.Hour)
		n.stop()
		cfg = m.config(t)
		cfg.LogsWait = 3 * time.Hour
		n = m.boot(t, cfg, true) // the rest of the wait is another agent's
		defer n.stop()
		<-n.Ready()
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		m.clean(t, n)
	})
}

// TestBatches collects more states than one message holds.
func TestBatches(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		e := New(m.config(t))
		const n = 20000
		for range n {
			e.outbox.put(absentTask(ecs.NewTaskID(), "", strings.Repeat("x", maxReason)))
		}
		seen, batches := 0, 0
		for b := e.Collect(); b != nil; b = e.Collect() {
			frame, err := acs.Encode(acs.TypeStates, acs.States{Tasks: b.States})
			if err != nil || len(frame) > acs.MaxFrame/8 {
				t.Fatalf("a batch of %d bytes, %v", len(frame), err)
			}
			seen += len(b.States)
			batches++
			select {
			case <-e.Changed():
			default:
				t.Fatal("nothing says that there is more")
			}
		}
		if seen != n || batches < 10 {
			t.Errorf("%d states in %d batches", seen, batches)
		}
	})
}

// TestLatestStateIsReported lets a task change while nobody collects.
func TestLatestStateIsReported(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		n := m.boot(t, m.config(t), false)
		defer n.stop()
		<-n.Ready()
		e := n.Engine
		id := n.start(definition("serve"))
		n.until(id, ecs.TaskRunning)
		// The report was collected and is never acknowledged: when it is sent again it is the newest state.
		n.apply(false, &acs.Tasks{Stop: []ecs.TaskID{id}})
		s := n.until(id, ecs.TaskStopped)
		if s.StartedAt == 0 || e.Tasks() != 1 {
			t.Errorf("%+v, %d tasks", s, e.Tasks())
		}
		tk := e.find(id)
		_, version := tk.report()
		tk.reported(version - 1) // an old report is acknowledged late
		synctest.Wait()
		if e.Tasks() != 1 {
			t.Error("the task is gone before its end was acknowledged")
		}
		tk.reported(version)
		synctest.Wait()
		m.clean(t, n)
	})
}

// TestImagesAreHeldAfterARestart removes the image of a container that an earlier agent started.
func TestImagesAreHeldAfterARestart(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		n := m.boot(t, m.config(t), true)
		<-n.Ready()
		id := n.start(definition("serve"))
		n.until(id, ecs.TaskRunning)
		n.stop()
		m.images.Release(n.states[id].Containers[0].RuntimeID) // holds are a process's own
		n = m.boot(t, m.config(t), true)
		defer n.stop()
		<-n.Ready()
		if err := m.images.Remove(t.Context(), "busybox"); err == nil {
			t.Error("the image of a running container was removed")
		}
		n.stopAndWait(id)
		m.clean(t, n)
	})
}
