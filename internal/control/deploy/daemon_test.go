package deploy

import (
	"slices"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

func daemonService(s *ecs.Service) {
	s.SchedulingStrategy = ecs.SchedulingDaemon
	s.DeploymentConfiguration.MinimumHealthyPercent, s.DeploymentConfiguration.MaximumPercent = 0, 100
}

func (w *world) changeInstance(id ecs.InstanceID, change func(*ecs.Instance)) {
	w.t.Helper()
	w.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(id)
		change(&i)
		tx.Instances.Put(&i)
	})
}

// perInstance is the largest number of tasks of a service that run on one instance, and how many instances have one.
func (w *world) perInstance(group string) (most, instances int) {
	n := map[ecs.InstanceID]int{}
	for t := range w.store.View().Tasks.OfGroup("c", group) {
		if t.LastStatus == ecs.TaskRunning && t.DesiredStatus == ecs.TaskRunning {
			n[t.Instance]++
			most = max(most, n[t.Instance])
		}
	}
	return most, len(n)
}

func TestDaemonIsEverywhere(t *testing.T) {
	inWorld(t, 5, func(w *world) {
		w.service("d", "web", 0, daemonService)
		pass(10 * time.Second)
		s := w.get("d")
		if most, n := w.perInstance("service:d"); most != 1 || n != 5 || s.DesiredCount != 5 || !s.Progress.Steady || s.Primary().RolloutState != ecs.RolloutCompleted {
			t.Fatalf("%d on one, %d instances, %+v", most, n, s)
		}
		// A new instance has its task at once, and one with another attribute none.
		w.update(func(tx *state.Tx) {
			tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{9}, Cluster: "c", Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: 4096, MemoryMiB: 8192}})
		})
		pass(10 * time.Second)
		if most, n := w.perInstance("service:d"); most != 1 || n != 6 || w.get("d").DesiredCount != 6 || !w.get("d").Progress.Steady {
			t.Errorf("%d on one, %d instances, desired %d", most, n, w.get("d").DesiredCount)
		}
		w.changeInstance(ecs.InstanceID{9}, func(i *ecs.Instance) { i.Status = ecs.InstanceInactive })
		w.update(func(tx *state.Tx) {
			lifecycle.InstanceGone(tx, ecs.MillisOf(time.Now()), ecs.InstanceID{9}, 100, ecs.StopUserInitiated, "gone")
		})
		pass(10 * time.Second)
		if most, n := w.perInstance("service:d"); most != 1 || n != 5 || w.get("d").DesiredCount != 5 || !w.get("d").Progress.Steady {
			t.Errorf("%d on one, %d instances, desired %d", most, n, w.get("d").DesiredCount)
		}
	})
}

// TestDaemonConstraints moves a daemon as attributes change.
func TestDaemonConstraints(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		gpu := func(i *ecs.Instance) { i.Attributes = []ecs.Attribute{{Name: "gpu", Value: "yes"}} }
		w.changeInstance(ecs.InstanceID{1}, gpu)
		w.service("d", "web", 0, daemonService)
		w.change("d", func(s *ecs.Service) {
			s.Deployments[0].PlacementConstraints = []ecs.PlacementConstraint{{Type: "memberOf", Expression: "attribute:gpu == yes"}}
		})
		pass(10 * time.Second)
		w.changeInstance(ecs.InstanceID{1}, func(i *ecs.Instance) { i.Attributes = nil })
		w.changeInstance(ecs.InstanceID{1, 0, 1}, gpu)
		w.changeInstance(ecs.InstanceID{1, 0, 2}, gpu)
		pass(10 * time.Second)
		if most, n := w.perInstance("service:d"); most != 1 || n != 2 || w.get("d").DesiredCount != 2 || !w.get("d").Progress.Steady {
			t.Errorf("%d on one, %d instances, %+v", most, n, w.get("d"))
		}
	})
}

// TestDaemonRolls keeps the minimum, never has two tasks on an instance, and goes on under another leader.
func TestDaemonRolls(t *testing.T) {
	for _, low := range []int32{0, 50, 80} {
		inWorld(t, 5, func(w *world) {
			w.service("d", "web", 0, func(s *ecs.Service) {
				daemonService(s)
				s.DeploymentConfiguration.MinimumHealthyPercent = low
			})
			pass(10 * time.Second)
			w.deploy("d", "second", "web", 2)
			least := (5*low + 99) / 100
			for i := range 300 {
				if i == 15 {
					w.restart()
				}
				v := w.store.View()
				one, two := v.DeploymentCounts("c", "ecs-svc/first-d"), v.DeploymentCounts("c", "ecs-svc/second")
				if one.Healthy+two.Healthy < least || one.Wanted+two.Wanted > 5 {
					t.Fatalf("minimum %d%%: %+v, %+v", low, one, two)
				}
				pass(100 * time.Millisecond)
			}
			w.wantRunning(map[string]int{"web:2": 5})
			if d := w.deployment("d"); d.Status != ecs.ServiceDeploymentSuccessful {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestDaemonLeavesLast has a daemon stay on a DRAINING instance while another task is there.
func TestDaemonLeavesLast(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.service("d", "web", 0, daemonService)
		w.service("s", "web", 4, nil)
		pass(30 * time.Second)
		w.changeInstance(ecs.InstanceID{1}, func(i *ecs.Instance) { i.Status = ecs.InstanceDraining })
		seen := false
		for range 100 {
			pass(100 * time.Millisecond)
			daemon, others := 0, 0
			for task := range w.store.View().Tasks.OnInstance(ecs.InstanceID{1}) {
				switch {
				case task.LastStatus >= ecs.TaskStopped:
				case task.Group == "service:d" && task.DesiredStatus == ecs.TaskRunning:
					daemon++
				case task.Group == "service:s":
					others++
				}
			}
			if others > 0 && daemon != 1 {
				t.Fatalf("%d daemons beside %d others", daemon, others)
			}
			seen = seen || others == 0 && daemon == 0
		}
		if !seen {
			t.Error("the daemon stayed")
		}
		if s := w.get("d"); s.DesiredCount != 1 || !s.Progress.Steady {
			t.Errorf("%+v", s)
		}
	})
}

// TestDaemonFails trips the circuit breaker and goes back.
func TestDaemonFails(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		w.service("d", "web", 0, func(s *ecs.Service) {
			daemonService(s)
			s.DeploymentConfiguration.MinimumHealthyPercent = 75
			s.DeploymentConfiguration.CircuitBreaker = &ecs.DeploymentCircuitBreaker{Enable: true, Rollback: true}
		})
		pass(30 * time.Second)
		w.deploy("d", "second", "bad", 1)
		pass(3 * time.Minute)
		w.wantRunning(map[string]int{"web:1": 4})
		if d := w.deployment("d"); d.Status != ecs.ServiceDeploymentRollbackSuccessful {
			t.Errorf("%+v, %q", d, w.events("d"))
		}
	})
}

// TestDaemonWithoutRoom tells of an instance that is full, and has its task when there is room.
func TestDaemonWithoutRoom(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.changeInstance(ecs.InstanceID{1}, func(i *ecs.Instance) { i.Registered.CPU = 10 })
		w.service("s", "web", 1, nil)
		pass(10 * time.Second)
		w.service("d", "web", 0, daemonService)
		pass(time.Minute)
		if e := w.events("d"); len(e) != 1 || w.get("d").DesiredCount != 1 {
			t.Errorf("%q", e)
		}
		w.change("s", func(s *ecs.Service) { s.DesiredCount = 0 })
		pass(10 * time.Second)
		if e := w.events("d"); !slices.Contains(e, "has reached a steady state.") {
			t.Errorf("%q", e)
		}
	})
}
