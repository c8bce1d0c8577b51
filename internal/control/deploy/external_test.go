package deploy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

func (w *world) externalService(desired int32) {
	w.update(func(tx *state.Tx) {
		tx.Services.Put(&ecs.Service{
			Cluster: "c", Name: "x", Status: ecs.ServiceActive, SchedulingStrategy: ecs.SchedulingReplica, DesiredCount: desired, Controller: ecs.ControllerExternal,
			DeploymentConfiguration: ecs.DeploymentConfiguration{MinimumHealthyPercent: 100, MaximumPercent: 200},
		})
	})
}

// taskSet adds a task set, as CreateTaskSet does.
func (w *world) taskSet(id, family string, revision int32, percent float64) {
	w.sets(func(s *ecs.Service) {
		d := deployment(id, family, revision)
		d.Status, d.RolloutState = ecs.DeploymentActive, ""
		s.TaskSets = append(s.TaskSets, ecs.TaskSet{Deployment: d, ScalePercent: percent, Stability: ecs.StabilityStabilizing})
	})
}

func (w *world) sets(change func(*ecs.Service)) {
	w.t.Helper()
	w.change("x", func(s *ecs.Service) {
		s.TaskSets = slices.Clone(s.TaskSets)
		s.Progress.Steady = false
		change(s)
	})
}

func TestTaskSets(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.externalService(5)
		w.taskSet("blue", "web", 1, 100)
		pass(time.Second)
		if s := w.get("x").TaskSets[0]; s.Stability != ecs.StabilityStabilizing {
			t.Errorf("%+v", s)
		}
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:1": 5})
		if s := w.get("x"); s.TaskSets[0].Stability != ecs.StabilitySteady || !s.Progress.Steady {
			t.Errorf("%+v", s)
		}
		// 25 % of five are two.
		w.taskSet("green", "web", 2, 25)
		w.restart()
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:1": 5, "web:2": 2})
		w.sets(func(s *ecs.Service) { s.TaskSets[1].ScalePercent = 100 })
		pass(5 * time.Second)
		w.sets(func(s *ecs.Service) { s.TaskSets[0].ScalePercent = 0 })
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:2": 5})
		w.sets(func(s *ecs.Service) { s.TaskSets[0].Status = ecs.TaskSetDraining })
		w.sets(func(s *ecs.Service) { s.DesiredCount = 2 })
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:2": 2})
		if s := w.get("x"); len(s.TaskSets) != 1 || s.TaskSets[0].ID != "ecs-svc/green" || s.TaskSets[0].Stability != ecs.StabilitySteady {
			t.Errorf("%+v", s.TaskSets)
		}
		w.change("x", func(s *ecs.Service) { s.Status, s.DesiredCount = ecs.ServiceDraining, 0 })
		pass(5 * time.Second)
		w.wantRunning(map[string]int{})
		if s := w.get("x"); s.Status != ecs.ServiceInactive || len(s.TaskSets) != 0 {
			t.Errorf("%+v", s)
		}
		if e := w.store.View().ServiceEvents.Get("c/x/000000000001"); e.Message[:37] != "(service x, taskSet ecs-svc/blue) has" {
			t.Errorf("%q", e.Message)
		}
	})
}

// TestTaskSetDrains moves a task set's tasks off an instance, and replaces those that are unhealthy.
func TestTaskSetDrains(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.externalService(6)
		w.taskSet("blue", "web", 1, 100)
		pass(5 * time.Second)
		w.changeInstance(ecs.InstanceID{1}, func(i *ecs.Instance) { i.Status = ecs.InstanceDraining })
		for range 100 {
			pass(100 * time.Millisecond)
			if n := w.store.View().DeploymentCounts("c", "ecs-svc/blue"); n.Healthy < 6 {
				t.Fatalf("%+v", n)
			}
		}
		if s := w.get("x").TaskSets[0]; s.Stability != ecs.StabilitySteady || fmt.Sprint(w.running()) != "map[web:1:6]" {
			t.Errorf("%+v, %v", s, w.running())
		}
	})
}

// TestTaskSetThrottles holds the launches of a task set back that never starts.
func TestTaskSetThrottles(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.externalService(1)
		w.taskSet("blue", "bad", 1, 100)
		pass(time.Hour)
		if n := w.store.View().Tasks.Len(); n < 6 || n > 16 {
			t.Errorf("%d launches in an hour", n)
		}
	})
}
