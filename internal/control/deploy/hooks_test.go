package deploy

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

func pauseAt(minutes int32, action string, stages ...string) func(*ecs.Service) {
	return func(s *ecs.Service) {
		s.DeploymentConfiguration.Hooks = []ecs.LifecycleHook{{TargetType: ecs.HookPause, Stages: stages, TimeoutMinutes: minutes, TimeoutAction: action}}
	}
}

// resolve ends the hook that the service's deployment waits at, as ContinueServiceDeployment does.
func (w *world) resolve(name, status string) {
	w.t.Helper()
	d := *w.deployment(name)
	d.Hooks = slices.Clone(d.Hooks)
	open := openHooks(&d)
	if len(open) != 1 {
		w.t.Fatalf("%d open hooks: %+v", len(open), d)
	}
	open[0].Status = status
	w.update(func(tx *state.Tx) { tx.ServiceDeployments.Put(&d) })
}

// TestPausesBeforeScaleUp keeps the old revision whole while the new one waits, also under another leader.
func TestPausesBeforeScaleUp(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "web", 3, pauseAt(0, "", ecs.StagePreScaleUp))
		pass(time.Minute)
		w.wantRunning(map[string]int{})
		w.resolve("s", ecs.HookSucceeded)
		pass(10 * time.Second)
		w.wantRunning(map[string]int{"web:1": 3})
		w.deploy("s", "second", "web", 2)
		pass(time.Second)
		d := w.deployment("s")
		if d.Status != ecs.ServiceDeploymentInProgress || d.Stage != ecs.StagePreScaleUp || len(d.Hooks) != 1 || d.Hooks[0].Status != ecs.HookAwaitingAction {
			t.Errorf("%+v", d)
		}
		w.restart()
		w.change("s", func(s *ecs.Service) { s.DesiredCount = 5 })
		pass(10 * time.Second)
		w.wantRunning(map[string]int{"web:1": 5})
		w.resolve("s", ecs.HookSucceeded)
		pass(30 * time.Second)
		w.wantRunning(map[string]int{"web:2": 5})
		if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentSuccessful || len(d.Hooks) != 1 {
			t.Errorf("%+v", d)
		}
	})
}

func TestHooksThatDoNotSucceed(t *testing.T) {
	for _, c := range []struct {
		name   string
		hook   func(*ecs.Service)
		act    func(*world)
		status ecs.ServiceDeploymentStatus
		runs   string
	}{
		{"failed", pauseAt(0, "", ecs.StagePostScaleUp), func(w *world) { w.resolve("s", ecs.HookFailed) }, ecs.ServiceDeploymentRollbackSuccessful, "map[web:1:3]"},
		{"timed out", pauseAt(5, ecs.HookRollback, ecs.StagePostScaleUp), func(*world) { pass(5 * time.Minute) }, ecs.ServiceDeploymentRollbackSuccessful, "map[web:1:3]"},
		{"timed out and goes on", pauseAt(5, ecs.HookContinue, ecs.StagePostScaleUp), func(*world) { pass(5 * time.Minute) }, ecs.ServiceDeploymentSuccessful, "map[web:2:3]"},
		{"timed out before", pauseAt(5, ecs.HookRollback, ecs.StagePreScaleUp), func(*world) { pass(5 * time.Minute) }, ecs.ServiceDeploymentRollbackSuccessful, "map[web:1:3]"},
	} {
		inWorld(t, 3, func(w *world) {
			w.service("s", "web", 3, nil)
			pass(30 * time.Second)
			w.change("s", c.hook)
			w.deploy("s", "second", "web", 2)
			pass(30 * time.Second)
			if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentInProgress {
				t.Errorf("%s: %+v", c.name, d)
			}
			c.act(w)
			pass(30 * time.Second)
			if d := w.deployment("s"); d.Status != c.status || fmt.Sprint(w.running()) != c.runs {
				t.Errorf("%s: %v, %+v", c.name, w.running(), d)
			}
		})
	}
}

// TestEarlySuccess is done at half of the tasks, while the others have no place yet.
func TestEarlySuccess(t *testing.T) {
	for _, cleanup := range []string{ecs.CleanupBlocking, ecs.CleanupDeferred} {
		inWorld(t, 1, func(w *world) {
			w.changeInstance(ecs.InstanceID{1}, func(i *ecs.Instance) { i.Registered.CPU = 20 })
			w.service("s", "web", 4, func(s *ecs.Service) {
				s.DeploymentConfiguration.MinimumHealthyPercent = 50
				s.DeploymentConfiguration.EarlySuccess = &ecs.EarlySuccess{Enable: true, HealthyPercent: 50, Cleanup: cleanup}
			})
			pass(time.Minute)
			if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentSuccessful || d.Target.Running != 2 || w.get("s").Progress.Steady {
				t.Errorf("%s: %+v", cleanup, d)
			}
			w.changeInstance(ecs.InstanceID{1}, func(i *ecs.Instance) { i.Registered.CPU = 1000 })
			pass(time.Minute)
			w.wantRunning(map[string]int{"web:1": 4})
			if !w.get("s").Progress.Steady {
				t.Errorf("%s: not steady", cleanup)
			}
		})
	}
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		kind          string
		value         int32
		desired, want int32
	}{
		{ecs.ThresholdCount, 1, 100, 1}, {ecs.ThresholdCount, 500, 1, 500}, {ecs.ThresholdBoundedPercent, 10, 100, 10}, {ecs.ThresholdBoundedPercent, 1, 100, 3},
		{ecs.ThresholdBoundedPercent, 100, 1000, 200}, {ecs.ThresholdUnboundedPercent, 100, 1000, 1000}, {ecs.ThresholdUnboundedPercent, 1, 10, 1},
	} {
		b := &ecs.DeploymentCircuitBreaker{Enable: true, ThresholdType: c.kind, ThresholdValue: c.value}
		if got := b.Threshold(c.desired); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
		if c.want > 3 {
			continue
		}
		inWorld(t, 1, func(w *world) {
			w.service("s", "bad", c.desired, func(s *ecs.Service) { s.DeploymentConfiguration.CircuitBreaker = b })
			pass(time.Minute)
			if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentStopped || d.Threshold != c.want {
				t.Errorf("%+v: %+v", c, d)
			}
		})
	}
}

// TestHealthyTasksReset has failures before a task that is healthy count, or not.
func TestHealthyTasksReset(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inWorld(t, 1, func(w *world) {
			w.service("s", "web", 1, func(s *ecs.Service) {
				s.DeploymentConfiguration.CircuitBreaker = &ecs.DeploymentCircuitBreaker{Enable: true, KeepCount: keep}
				s.DeploymentConfiguration.BakeTimeInMinutes = 10
			})
			w.change("s", func(s *ecs.Service) { s.Deployments[0].FailedTasks = 2 })
			pass(5 * time.Minute)
			want := int32(0)
			if keep {
				want = 2
			}
			if p := w.get("s").Primary(); p.FailedTasks != want || p.RolloutState != ecs.RolloutInProgress {
				t.Errorf("keep %v: %+v", keep, p)
			}
		})
	}
}

// alarmBox is a source of alarms.
type alarmBox struct {
	mu    sync.Mutex
	state ecs.AlarmState
	bell  loop.Bell
}

func (b *alarmBox) set(s ecs.AlarmState) {
	b.mu.Lock()
	b.state = s
	b.mu.Unlock()
	b.bell.Ring(loop.AlarmBell + "a")
}

func (b *alarmBox) get(name string) (ecs.AlarmState, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, name == "a"
}

func TestAlarms(t *testing.T) {
	for _, c := range []struct {
		before, during ecs.AlarmState
		want           ecs.ServiceDeploymentStatus
	}{
		{ecs.AlarmOK, ecs.AlarmOK, ecs.ServiceDeploymentSuccessful}, {ecs.AlarmOK, ecs.AlarmInAlarm, ecs.ServiceDeploymentRollbackSuccessful},
		{ecs.AlarmInAlarm, ecs.AlarmInAlarm, ecs.ServiceDeploymentSuccessful}, {ecs.AlarmInsufficientData, ecs.AlarmInAlarm, ecs.ServiceDeploymentRollbackSuccessful},
	} {
		var box alarmBox
		inWorldOf(t, 3, func(cfg *Config) { cfg.Agents, cfg.Alarm = &box.bell, box.get }, func(w *world) {
			w.service("s", "web", 3, func(s *ecs.Service) {
				s.DeploymentConfiguration.Alarms = &ecs.DeploymentAlarms{AlarmNames: []string{"a", "other"}, Enable: true, Rollback: true}
				s.DeploymentConfiguration.BakeTimeInMinutes = 5
			})
			pass(10 * time.Minute)
			box.set(c.before)
			w.deploy("s", "second", "web", 2)
			pass(time.Minute)
			box.set(c.during)
			pass(20 * time.Minute)
			if d := w.deployment("s"); d.Status != c.want || (len(d.TriggeredAlarms) > 0) != (c.want == ecs.ServiceDeploymentRollbackSuccessful) {
				t.Errorf("%s, %s: %+v", c.before, c.during, d)
			}
		})
	}
}
