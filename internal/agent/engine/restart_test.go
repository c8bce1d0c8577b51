package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
	"roadstead.dev/roadstead/internal/ecs"
)

// restarting is a definition of one essential container that is started again.
func restarting(command string, policy ecs.ContainerRestartPolicy) *ecs.TaskDefinition {
	d := definition(command)
	policy.Enabled = ptr(true)
	d.ContainerDefinitions[0].RestartPolicy = &policy
	return d
}

// run is what the machine has of the only container.
func (m *machine) run(t *testing.T) *runtime.Status {
	t.Helper()
	list, err := m.runtime.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("containers: %v, %v", list, err)
	}
	return list[0]
}

// TestRestartPolicy: which ends are followed by a restart, and when.
func TestRestartPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		d    *ecs.TaskDefinition
		runs time.Duration // of one run
		want int           // restarts within ten runs; -1 as many as there may be
	}{
		"after the period":         {restarting("fake after=60s exit=1", ecs.ContainerRestartPolicy{RestartAttemptPeriod: ptr(int32(60))}), time.Minute, -1},
		"sooner":                   {restarting("fake after=59s exit=1", ecs.ContainerRestartPolicy{RestartAttemptPeriod: ptr(int32(60))}), 59 * time.Second, 0},
		"by the default":           {restarting("fake after=300s", ecs.ContainerRestartPolicy{}), 300 * time.Second, -1},
		"sooner than the default":  {restarting("fake after=299s", ecs.ContainerRestartPolicy{}), 299 * time.Second, 0},
		"with an ignored code":     {restarting("fake after=400s exit=7", ecs.ContainerRestartPolicy{IgnoredExitCodes: []int32{0, 7}}), 400 * time.Second, 0},
		"with another code":        {restarting("fake after=400s exit=8", ecs.ContainerRestartPolicy{IgnoredExitCodes: []int32{0, 7}}), 400 * time.Second, -1},
		"for want of memory":       {restarting("fake after=400s oom", ecs.ContainerRestartPolicy{}), 400 * time.Second, -1},
		"which is not to be had":   {restarting("fake after=400s restart-error=boom", ecs.ContainerRestartPolicy{}), 400 * time.Second, 0},
		"when it is not asked for": {definition("sleep 400"), 400 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, m *machine, n *node) {
				id := n.start(c.d)
				first := n.until(id, ecs.TaskRunning)
				if c.want == 0 {
					s := n.until(id, ecs.TaskStopped)
					if ran := s.ExecutionStoppedAt.Time().Sub(s.StartedAt.Time()).Round(time.Second); ran != c.runs || s.Reason != reasonEssential || s.Containers[0].ExitCode == nil {
						t.Errorf("it ran for %v: %+v", ran, s)
					}
					if strings.Contains(name, "not to be had") != strings.Contains(s.Containers[0].Reason, "boom") {
						t.Errorf("reason %q", s.Containers[0].Reason)
					}
					return
				}
				time.Sleep(10*c.runs + c.runs/2)
				if got := m.run(t); got.Restarts != 10 || got.State != runtime.Running || got.ID != first.Containers[0].RuntimeID {
					t.Errorf("after ten runs: %+v", got)
				}
				n.mu.Lock()
				reports := len(n.history[id])
				n.mu.Unlock()
				if s := n.until(id, ecs.TaskRunning); reports != 1 || s.Containers[0].ExitCode != nil || s.Containers[0].LastStatus != ecs.TaskRunning {
					t.Errorf("the server was told %d times: %+v", reports, s)
				}
				if s := n.stopAndWait(id); *s.Containers[0].ExitCode != 143 || s.Reason != "" {
					t.Errorf("stopped: %+v", s)
				}
			})
		})
	}
}

// TestRestartStopped: a container that ends because its task does is not started again.
func TestRestartStopped(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := restarting("serve", ecs.ContainerRestartPolicy{})
		d.ContainerDefinitions = append(d.ContainerDefinitions, definition("x", "sleep 1000").ContainerDefinitions[1])
		id := n.start(d)
		n.until(id, ecs.TaskRunning)
		s := n.until(id, ecs.TaskStopped)
		if *s.Containers[0].ExitCode != 143 || *s.Containers[1].ExitCode != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestRestartFollowed: a restarted container's health is looked at anew, its output shipped on, its ports stay, and its
// endpoint shows how often it was restarted.
func TestRestartFollowed(t *testing.T) {
	bubble(t, func(cfg *Config) { cfg.Endpoint = &Endpoint{Key: []byte("key")} }, func(t *testing.T, m *machine, n *node) {
		m.by(func(age time.Duration) fake.Behaviour {
			if age < 15*time.Second {
				return failing
			}
			return passing
		})
		d := restarting("sleep 400", ecs.ContainerRestartPolicy{})
		c := &d.ContainerDefinitions[0]
		d.NetworkMode, c.PortMappings = "bridge", []ecs.PortMapping{{ContainerPort: ptr(int32(80)), HostPort: ptr(int32(8080))}}
		c.LogConfiguration = &ecs.LogConfiguration{LogDriver: "awslogs"}
		c.HealthCheck = &ecs.HealthCheck{Command: []string{"CMD", "check"}, Interval: ptr(int32(10))}
		id := n.start(d)
		n.untilHealth(id, ecs.HealthHealthy)
		for restarts := 1; restarts <= 2; restarts++ {
			began := m.run(t).StartedAt
			if s := n.untilHealth(id, ecs.HealthUnknown); s.Status != ecs.TaskRunning {
				t.Errorf("restarted: %+v", s)
			}
			if took := time.Since(began); took != 400*time.Second {
				t.Errorf("UNKNOWN after %v", took)
			}
			n.untilHealth(id, ecs.HealthHealthy)
			if took := time.Since(began); took != 420*time.Second {
				t.Errorf("HEALTHY after %v", took)
			}
			v, i := n.Metadata().Find(n.containerID(n.find(id), 0))
			if got := v.Containers[i]; got.RestartCount == nil || *got.RestartCount != restarts || !got.Started.After(began) || got.ExitCode != nil {
				t.Errorf("the endpoint shows %+v", got)
			}
			if open := m.logs.open(); open != 1 {
				t.Errorf("%d shipments", open)
			}
			if up := m.network.up(); up != 1 {
				t.Errorf("%d networks", up)
			}
		}
		n.stopAndWait(id)
	})
}

// lateRuntime answers restarts late, or not in the agent's life.
type lateRuntime struct {
	*fake.Runtime
	before, after time.Duration
}

func (l lateRuntime) Restart(ctx context.Context, id string, n int, netNS string) (*runtime.Status, error) {
	time.Sleep(l.before)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	status, err := l.Runtime.Restart(ctx, id, n, netNS)
	time.Sleep(l.after)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return status, err
}

// TestRestartKilled kills the agent before a restart is made, and after, before it knows: the next one makes it once. One
// that ended while no agent was there is started again by the next.
func TestRestartKilled(t *testing.T) {
	for name, late := range map[string]lateRuntime{"before": {before: 10 * time.Second}, "after": {after: 10 * time.Second}, "away": {}} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			synctest.Test(t, func(t *testing.T) {
				cfg := m.config(t)
				late.Runtime = &m.runtime
				cfg.Runtime = late
				n := m.boot(t, cfg, true)
				<-n.Ready()
				d := restarting("fake after=400s exit=1", ecs.ContainerRestartPolicy{})
				id := n.start(d)
				n.until(id, ecs.TaskRunning)
				if name == "away" {
					time.Sleep(time.Minute)
					n.stop()
					time.Sleep(350 * time.Second)
				} else {
					time.Sleep(405 * time.Second)
					n.stop()
				}
				n = m.boot(t, m.config(t), true)
				defer n.stop()
				<-n.Ready()
				time.Sleep(time.Minute)
				if got := m.run(t); got.Restarts != 1 || got.State != runtime.Running {
					t.Errorf("in the end: %+v", got)
				}
				if s := n.until(id, ecs.TaskRunning); s.Containers[0].LastStatus != ecs.TaskRunning {
					t.Errorf("%+v", s)
				}
				n.stopAndWait(id)
				m.clean(t, n)
			})
		})
	}
}

// TestRestartLost: a container that went down with its machine is not started again.
func TestRestartLost(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		id := n.start(restarting("serve", ecs.ContainerRestartPolicy{}))
		n.until(id, ecs.TaskRunning)
		time.Sleep(time.Hour)
		m.runtime.Lose()
		if s := n.until(id, ecs.TaskStopped); s.Containers[0].ExitCode != nil || s.Containers[0].Reason != reasonLost {
			t.Errorf("%+v", s)
		}
	})
}

// TestRestartWhileStopping: a task that is told to end while its container is being started again ends all the same.
func TestRestartWhileStopping(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := m.config(t)
		cfg.Runtime = lateRuntime{Runtime: &m.runtime, before: 10 * time.Second}
		n := m.boot(t, cfg, true)
		defer n.stop()
		<-n.Ready()
		id := n.start(restarting("sleep 400", ecs.ContainerRestartPolicy{}))
		n.until(id, ecs.TaskRunning)
		time.Sleep(405 * time.Second)
		if s := n.stopAndWait(id); *s.Containers[0].ExitCode != 143 {
			t.Errorf("%+v", s)
		}
		m.clean(t, n)
	})
}
