package engine

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
	"roadstead.dev/roadstead/internal/ecs"
)

// checked is a definition of containers that are checked each 10 s, with three tries.
func checked(commands ...string) *ecs.TaskDefinition {
	d := definition(commands...)
	for i := range d.ContainerDefinitions {
		d.ContainerDefinitions[i].HealthCheck = &ecs.HealthCheck{Command: []string{"CMD", "check"}, Interval: ptr(int32(10))}
	}
	return d
}

// untilHealth waits until the first container's health is reported as asked.
func (n *node) untilHealth(id ecs.TaskID, want ecs.HealthStatus) acs.TaskState {
	n.t.Helper()
	timeout := time.After(time.Hour)
	for {
		n.mu.Lock()
		s, changed := n.states[id], n.changed
		n.mu.Unlock()
		if len(s.Containers) > 0 && s.Containers[0].HealthStatus == want {
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			n.t.Fatalf("it is still not %s: %+v", want, s)
		}
	}
}

// by lets checks fare by their container's age.
func (m *machine) by(behave func(age time.Duration) fake.Behaviour) {
	m.runtime.BehaveExec = func(c *runtime.Status, _ *runtime.ExecSpec) fake.Behaviour { return behave(time.Since(c.StartedAt)) }
}

var failing, passing, hanging = fake.Behaviour{ExitCode: 1, Lines: []fake.Line{{Text: "ill"}}}, fake.Behaviour{}, fake.Behaviour{After: -1}

// TestHealth: when a container becomes healthy and unhealthy, as Docker has it.
func TestHealth(t *testing.T) {
	for name, c := range map[string]struct {
		check  ecs.HealthCheck
		behave func(time.Duration) fake.Behaviour
		want   ecs.HealthStatus
		after  time.Duration
	}{
		"at the first success": {ecs.HealthCheck{}, func(time.Duration) fake.Behaviour { return passing }, ecs.HealthHealthy, 30 * time.Second},
		"after three failures": {ecs.HealthCheck{}, func(time.Duration) fake.Behaviour { return failing }, ecs.HealthUnhealthy, 90 * time.Second},
		"after one failure": {ecs.HealthCheck{Interval: ptr(int32(5)), Retries: ptr(int32(1))},
			func(time.Duration) fake.Behaviour { return failing }, ecs.HealthUnhealthy, 5 * time.Second},
		"when checks hang": {ecs.HealthCheck{Interval: ptr(int32(10)), Retries: ptr(int32(2)), Timeout: ptr(int32(3))},
			func(time.Duration) fake.Behaviour { return hanging }, ecs.HealthUnhealthy, 26 * time.Second},
		"when the check cannot be run": {ecs.HealthCheck{Interval: ptr(int32(10)), Retries: ptr(int32(2))},
			func(time.Duration) fake.Behaviour { return fake.Behaviour{StartError: "no such file"} }, ecs.HealthUnhealthy, 20 * time.Second},
		"not in the start period": {ecs.HealthCheck{Interval: ptr(int32(10)), Retries: ptr(int32(2)), StartPeriod: ptr(int32(35))},
			func(time.Duration) fake.Behaviour { return failing }, ecs.HealthUnhealthy, 50 * time.Second},
		"in the start period after a success": {ecs.HealthCheck{Interval: ptr(int32(10)), Retries: ptr(int32(2)), StartPeriod: ptr(int32(300))},
			func(age time.Duration) fake.Behaviour {
				if age < 15*time.Second {
					return passing
				}
				return failing
			}, ecs.HealthUnhealthy, 30 * time.Second},
		"again": {ecs.HealthCheck{Interval: ptr(int32(10)), Retries: ptr(int32(2))},
			func(age time.Duration) fake.Behaviour {
				if age < 35*time.Second {
					return failing
				}
				return passing
			}, ecs.HealthHealthy, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, m *machine, n *node) {
				m.by(c.behave)
				d := definition("serve")
				c.check.Command = []string{"CMD-SHELL", "check || exit 1"}
				d.ContainerDefinitions[0].HealthCheck = &c.check
				begun := time.Now()
				id := n.start(d)
				if s := n.until(id, ecs.TaskRunning); s.Containers[0].HealthStatus != ecs.HealthUnknown {
					t.Errorf("at first it is %+v", s.Containers[0])
				}
				n.untilHealth(id, c.want)
				if took := time.Since(begun); took != c.after {
					t.Errorf("%s after %v, where it was to be after %v", c.want, took, c.after)
				}
				if s := n.stopAndWait(id); s.Containers[0].HealthStatus != c.want {
					t.Errorf("at its end it is %+v", s.Containers[0])
				}
			})
		})
	}
}

// TestNoHealth: without a check there is no health.
func TestNoHealth(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		for _, check := range []*ecs.HealthCheck{nil, {Command: []string{"NONE"}}} {
			d := definition("serve")
			d.ContainerDefinitions[0].HealthCheck = check
			id := n.start(d)
			n.until(id, ecs.TaskRunning)
			time.Sleep(5 * time.Minute)
			if s := n.stopAndWait(id); s.Containers[0].HealthStatus != "" {
				t.Errorf("%+v", s.Containers[0])
			}
		}
	})
}

// TestHealthCommands: what is run for the forms of a command, and what is shown of its output.
func TestHealthCommands(t *testing.T) {
	bubble(t, func(cfg *Config) { cfg.Endpoint = &Endpoint{Key: []byte("key")} }, func(t *testing.T, m *machine, n *node) {
		ran := make(chan []string, 1)
		m.runtime.BehaveExec = func(_ *runtime.Status, spec *runtime.ExecSpec) fake.Behaviour {
			ran <- spec.Args
			return failing
		}
		for _, c := range []struct{ command, want []string }{
			{[]string{"CMD", "curl", "-f"}, []string{"curl", "-f"}}, {[]string{"CMD-SHELL", "curl || exit 1"}, []string{"/bin/sh", "-c", "curl || exit 1"}},
		} {
			d := checked("serve")
			d.ContainerDefinitions[0].HealthCheck.Command = c.command
			id := n.start(d)
			n.until(id, ecs.TaskRunning)
			if got := <-ran; !slices.Equal(got, c.want) {
				t.Errorf("%q runs %q", c.command, got)
			}
			for range 2 {
				<-ran
			}
			n.untilHealth(id, ecs.HealthUnhealthy)
			health := n.show(n.find(id)).Containers[0].Health
			if health == nil || health.Status != ecs.HealthUnhealthy || health.ExitCode != 1 || health.Output != "ill\n" || time.Since(health.Since) > time.Second {
				t.Errorf("shown is %+v", health)
			}
			n.stopAndWait(id)
		}
	})
}

// TestOrderHealthy: a container waits for another's health, as long as that may take to start.
func TestOrderHealthy(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		m.by(func(age time.Duration) fake.Behaviour {
			if age < 25*time.Second {
				return failing
			}
			return passing
		})
		d := checked("serve", "serve")
		d.ContainerDefinitions[1].HealthCheck = nil
		d.ContainerDefinitions[1].DependsOn = []ecs.ContainerDependency{{ContainerName: "a", Condition: "HEALTHY"}}
		begun := time.Now()
		id := n.start(d)
		if n.until(id, ecs.TaskRunning); time.Since(begun) != 30*time.Second {
			t.Errorf("running after %v", time.Since(begun))
		}
		n.stopAndWait(id)

		d.ContainerDefinitions[0].StartTimeout = ptr(int32(12))
		begun = time.Now()
		s := n.until(n.start(d), ecs.TaskStopped)
		if took := time.Since(begun); took != 12*time.Second || s.StopCode != ecs.StopTaskFailedToStart || s.Containers[1].ExitCode != nil {
			t.Errorf("given up after %v: %+v", took, s)
		}
	})
}

// TestHealthGoesOn: a restarted agent knows what was found, and checks on.
func TestHealthGoesOn(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		m.by(func(age time.Duration) fake.Behaviour {
			if age < time.Minute {
				return passing
			}
			return failing
		})
		n := m.boot(t, m.config(t), true)
		<-n.Ready()
		id := n.start(checked("serve"))
		n.untilHealth(id, ecs.HealthHealthy)
		n.stop()
		n = m.boot(t, m.config(t), true)
		defer n.stop()
		<-n.Ready()
		if s := n.untilHealth(id, ecs.HealthHealthy); s.Status != ecs.TaskRunning {
			t.Errorf("%+v", s)
		}
		n.untilHealth(id, ecs.HealthUnhealthy)
		n.stopAndWait(id)
		m.clean(t, n)
	})
}
