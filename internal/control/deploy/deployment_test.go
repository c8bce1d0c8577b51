package deploy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// deployment is the service's deployment that goes on, or its last one.
func (w *world) deployment(name string) *ecs.ServiceDeployment {
	w.t.Helper()
	v := w.store.View()
	d := current(&v.Tables, v.Services.Get("c/"+name))
	if d == nil {
		w.t.Fatalf("%s has no deployment", name)
	}
	return d
}

// ask asks for the end of a service's deployment, as StopServiceDeployment does.
func (w *world) ask(name string, status ecs.ServiceDeploymentStatus) {
	w.t.Helper()
	d := *w.deployment(name)
	d.Status = status
	w.update(func(tx *state.Tx) { tx.ServiceDeployments.Put(&d) })
}

func TestServiceDeploymentSucceeds(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "web", 3, func(s *ecs.Service) { s.DeploymentConfiguration.BakeTimeInMinutes = 2 })
		pass(time.Second)
		if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentInProgress || d.Stage != ecs.StageScaleUp || d.StartedAt == 0 {
			t.Errorf("%+v", d)
		}
		pass(10 * time.Second)
		if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentInProgress || d.Stage != ecs.StageBakeTime {
			t.Errorf("%+v", d)
		}
		pass(2 * time.Minute)
		d := w.deployment("s")
		if d.Status != ecs.ServiceDeploymentSuccessful || d.Stage != ecs.StageCleanUp || d.FinishedAt == 0 || d.StoppedAt != 0 || d.Target != (ecs.RevisionCounts{ID: "first", Requested: 3, Running: 3}) {
			t.Errorf("%+v", d)
		}
		w.deploy("s", "second", "web", 2)
		pass(5 * time.Minute)
		d = w.deployment("s")
		if d.Status != ecs.ServiceDeploymentSuccessful || len(d.Sources) != 1 || d.Sources[0].ID != "first" || d.Sources[0].Running != 0 {
			t.Errorf("%+v", d)
		}
	})
}

// TestServiceDeploymentFails kills the leader at each of many moments on the way to a rollback.
func TestServiceDeploymentFails(t *testing.T) {
	for _, kill := range []time.Duration{0, time.Millisecond, 2 * time.Second, 3 * time.Second, 5 * time.Second, 8 * time.Second} {
		inWorld(t, 3, func(w *world) {
			w.service("s", "web", 4, func(s *ecs.Service) {
				s.DeploymentConfiguration.CircuitBreaker = &ecs.DeploymentCircuitBreaker{Enable: true, Rollback: true}
			})
			pass(30 * time.Second)
			w.deploy("s", "second", "bad", 1)
			pass(kill)
			w.restart()
			pass(2 * time.Minute)
			d := w.deployment("s")
			if d.Status != ecs.ServiceDeploymentRollbackSuccessful || !d.BreakerTriggered || d.FailureCount < 3 || d.Rollback == nil || d.Rollback.Revision != "first" || d.Threshold != 3 {
				t.Errorf("killed after %v: %+v", kill, d)
			}
			w.wantRunning(map[string]int{"web:1": 4})
		})
	}
}

func TestServiceDeploymentWithoutRollbackStops(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "bad", 1, func(s *ecs.Service) {
			s.DeploymentConfiguration.CircuitBreaker = &ecs.DeploymentCircuitBreaker{Enable: true, Rollback: true}
		})
		pass(time.Minute)
		if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentStopped || d.StoppedAt == 0 || d.StatusReason != breakerReason || d.FailureCount != 3 {
			t.Errorf("%+v", d)
		}
	})
}

// TestStopAsked ends rollouts in their middle.
func TestStopAsked(t *testing.T) {
	for asked, want := range map[ecs.ServiceDeploymentStatus]ecs.ServiceDeploymentStatus{
		ecs.ServiceDeploymentStopRequested: ecs.ServiceDeploymentStopped, ecs.ServiceDeploymentRollbackRequested: ecs.ServiceDeploymentRollbackSuccessful,
	} {
		inWorld(t, 3, func(w *world) {
			w.service("s", "web", 4, func(s *ecs.Service) {
				s.DeploymentConfiguration.MinimumHealthyPercent, s.DeploymentConfiguration.MaximumPercent = 50, 100
			})
			pass(30 * time.Second)
			w.deploy("s", "second", "web", 2)
			pass(1500 * time.Millisecond)
			w.ask("s", asked)
			w.restart()
			pass(time.Minute)
			d := w.deployment("s")
			if d.Status != want || d.FinishedAt == 0 {
				t.Errorf("%s: %+v", asked, d)
			}
			running, reason := w.running(), w.get("s").Primary().RolloutStateReason
			if want == ecs.ServiceDeploymentStopped && (running["web:1"] == 0 || running["web:2"] == 0 || reason != stopReason) {
				t.Errorf("%v, %s", running, reason)
			}
			if want == ecs.ServiceDeploymentRollbackSuccessful && fmt.Sprint(running) != "map[web:1:4]" {
				t.Error(running)
			}
		})
	}
}

// TestDeploymentOverDeployment rolls out a third revision before the second is done.
func TestDeploymentOverDeployment(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "web", 4, nil)
		pass(30 * time.Second)
		w.deploy("s", "second", "bad", 2)
		second := w.deployment("s")
		pass(time.Second)
		w.deploy("s", "third", "web", 3)
		if d := w.store.View().ServiceDeployments.Get(second.Key()); d.Status != ecs.ServiceDeploymentStopped || d.FinishedAt == 0 {
			t.Errorf("%+v", d)
		}
		pass(time.Second)
		third := w.deployment("s")
		if !slices.ContainsFunc(third.Sources, func(c ecs.RevisionCounts) bool { return c.ID == "first" && c.Running == 4 }) || len(third.Sources) != 2 {
			t.Errorf("%+v", third)
		}
		pass(time.Minute)
		if d := w.deployment("s"); d.Status != ecs.ServiceDeploymentSuccessful {
			t.Errorf("%+v", d)
		}
		w.wantRunning(map[string]int{"web:3": 4})
	})
}
