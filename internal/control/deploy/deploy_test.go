package deploy

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

func TestComesUpAndScales(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "web", 4, nil)
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:1": 4})
		s := w.get("s")
		if p := s.Primary(); p.RolloutState != ecs.RolloutCompleted || !s.Progress.Steady || s.Completed == nil || len(s.Deployments) != 1 {
			t.Errorf("%+v", s)
		}
		want := []string{"has started 4 tasks", "(deployment ecs-svc/first) deployment completed.", "has reached a steady state."}
		if got := w.events("s"); !slices.Equal(got, want) {
			t.Errorf("events %q", got)
		}
		w.change("s", func(s *ecs.Service) { s.DesiredCount = 7; s.Progress.Steady = false })
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:1": 7})
		w.change("s", func(s *ecs.Service) { s.DesiredCount = 2; s.Progress.Steady = false })
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:1": 2})
		want = append(want, "has started 3 tasks", "has reached a steady state.", "has stopped 5 running tasks", "has reached a steady state.")
		if got := w.events("s"); !slices.Equal(got, want) {
			t.Errorf("events %q", got)
		}
		for task := range w.store.View().Tasks.All() {
			if task.LastStatus == ecs.TaskStopped && (task.StopCode != ecs.StopServiceSchedulerStopped || task.StoppedReason != "Scaling activity initiated by (deployment ecs-svc/first)") {
				t.Errorf("%s: %s", task.StopCode, task.StoppedReason)
			}
		}
	})
}

func TestReplacesWhatEnds(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.service("s", "web", 3, nil)
		pass(30 * time.Second)
		for task := range w.store.View().Tasks.All() {
			go w.later(w.t.Context(), 0, acs.TaskState{ID: task.ID, Status: ecs.TaskStopped, StopCode: ecs.StopEssentialContainerExit})
			break
		}
		pass(100 * time.Millisecond)
		if n := w.store.View().DeploymentCounts("c", "ecs-svc/first"); n.Wanted != 3 || n.Pending != 1 {
			t.Errorf("a moment after one ended: %+v", n)
		}
		pass(5 * time.Second)
		w.wantRunning(map[string]int{"web:1": 3})
		if s := w.get("s"); s.Progress.LaunchFailures != 0 || !s.Progress.Steady {
			t.Errorf("%+v", s.Progress)
		}
	})
}

// TestRolls sees a rollout keep between its bounds, for several of them.
func TestRolls(t *testing.T) {
	for _, c := range []struct{ desired, low, high, least, most int32 }{
		{4, 100, 200, 4, 8}, {4, 50, 100, 2, 4}, {3, 50, 150, 2, 4}, {5, 0, 100, 0, 5}, {1, 100, 200, 1, 2}, {10, 90, 110, 9, 11}, {1, 0, 100, 0, 1},
	} {
		inWorld(t, 3, func(w *world) {
			w.service("s", "web", c.desired, func(s *ecs.Service) {
				s.DeploymentConfiguration.MinimumHealthyPercent, s.DeploymentConfiguration.MaximumPercent = c.low, c.high
			})
			pass(10 * time.Second)
			w.deploy("s", "second", "web", 2)
			end := time.Now().Add(3 * time.Minute)
			for time.Now().Before(end) && w.get("s").Primary().RolloutState != ecs.RolloutCompleted {
				v := w.store.View()
				one, two := v.DeploymentCounts("c", "ecs-svc/first"), v.DeploymentCounts("c", "ecs-svc/second")
				if h := one.Healthy + two.Healthy; h < c.least {
					w.t.Fatalf("%+v: %d healthy", c, h)
				}
				if n := one.Wanted + two.Wanted; n > c.most {
					w.t.Fatalf("%+v: %d wanted", c, n)
				}
				pass(100 * time.Millisecond)
			}
			w.wantRunning(map[string]int{"web:2": int(c.desired)})
			s := w.get("s")
			if len(s.Deployments) != 1 || s.Completed.ID != "ecs-svc/second" || !s.Progress.Steady {
				t.Errorf("%+v: %+v", c, s)
			}
		})
	}
}

func TestCircuitBreakerRollsBack(t *testing.T) {
	for _, family := range []string{"bad", "crash", "sick"} {
		inWorld(t, 3, func(w *world) {
			w.service("s", "web", 4, func(s *ecs.Service) {
				s.DeploymentConfiguration.CircuitBreaker = &ecs.DeploymentCircuitBreaker{Enable: true, Rollback: true}
			})
			pass(30 * time.Second)
			w.deploy("s", "second", family, 1)
			for range 120 {
				pass(time.Second)
				// What crashes has run for a moment, and is taken for good, as at ECS, if there is no health check.
				if n := w.store.View().DeploymentCounts("c", "ecs-svc/first"); n.Healthy != 4 && family != "crash" {
					w.t.Fatalf("%s: %d healthy of the old ones", family, n.Healthy)
				}
			}
			w.wantRunning(map[string]int{"web:1": 4})
			s := w.get("s")
			if len(s.Deployments) != 1 || s.Primary().ID != "ecs-svc/first" || s.Primary().RolloutState != ecs.RolloutCompleted || !s.Progress.Steady {
				t.Errorf("%s: %+v", family, s)
			}
			events := w.events("s")
			for _, want := range []string{"(deployment ecs-svc/second) deployment failed: tasks failed to start.", "rolling back to deployment ecs-svc/first."} {
				if !slices.Contains(events, want) {
					t.Errorf("%s: no %q in %q", family, want, events)
				}
			}
		})
	}
}

// TestCircuitBreakerWithoutRollback leaves the old tasks as they are and launches no more.
func TestCircuitBreakerWithoutRollback(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "web", 2, func(s *ecs.Service) {
			s.DeploymentConfiguration.CircuitBreaker = &ecs.DeploymentCircuitBreaker{Enable: true}
		})
		pass(30 * time.Second)
		w.deploy("s", "second", "bad", 1)
		pass(time.Minute)
		before := w.store.View().Tasks.Len()
		pass(10 * time.Minute)
		if p := w.get("s").Primary(); p.RolloutState != ecs.RolloutFailed || p.FailedTasks < 3 || w.store.View().Tasks.Len() != before {
			t.Errorf("%+v, %d tasks more", p, w.store.View().Tasks.Len()-before)
		}
		w.wantRunning(map[string]int{"web:1": 2})
	})
}

// TestThrottles counts the launches of a service whose tasks never start.
func TestThrottles(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.service("s", "bad", 1, nil)
		pass(time.Hour)
		if n := w.store.View().Tasks.Len(); n < 6 || n > 16 {
			t.Errorf("%d launches in an hour", n)
		}
		events := w.events("s")
		if n := len(slices.DeleteFunc(events, func(e string) bool { return e[:2] != "is" })); n != 1 {
			t.Errorf("throttled %d times", n)
		}
	})
}

func TestUnplaced(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		w.service("s", "web", 2, nil)
		pass(time.Minute)
		const why = "was unable to place a task because no container instance met all of its requirements. Reason: No Container Instances were found in your cluster. " +
			"For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
		if got := w.events("s"); !slices.Equal(got, []string{why}) {
			t.Errorf("%q", got)
		}
		w.update(func(tx *state.Tx) {
			tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{9}, Cluster: "c", Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: 100, MemoryMiB: 100}})
		})
		pass(10 * time.Millisecond)
		if n := w.store.View().DeploymentCounts("c", "ecs-svc/first"); n.Wanted != 2 {
			t.Errorf("%+v once there is room", n)
		}
	})
}

// TestDrains moves tasks off an instance without having too few.
func TestDrains(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.service("s", "web", 4, nil)
		pass(30 * time.Second)
		drained := ecs.InstanceID{1}
		w.update(func(tx *state.Tx) {
			i := *tx.Instances.Get(drained)
			i.Status = ecs.InstanceDraining
			tx.Instances.Put(&i)
		})
		for range 100 {
			pass(100 * time.Millisecond)
			if n := w.store.View().DeploymentCounts("c", "ecs-svc/first"); n.Healthy < 4 || n.Wanted > 8 {
				w.t.Fatalf("%+v", n)
			}
		}
		for task := range w.store.View().Tasks.OnInstance(drained) {
			if task.LastStatus < ecs.TaskStopped {
				t.Errorf("%s is still there", task.ID)
			}
		}
		w.wantRunning(map[string]int{"web:1": 4})
	})
}

func TestProtectedTasksStay(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.service("s", "web", 3, nil)
		pass(30 * time.Second)
		var kept ecs.TaskID
		w.update(func(tx *state.Tx) {
			for task := range tx.Tasks.All() {
				p := *task
				p.ProtectedUntil = ecs.MillisOf(time.Now().Add(10 * time.Minute))
				kept = p.ID
				tx.Tasks.Put(&p)
				break
			}
		})
		w.deploy("s", "second", "web", 2)
		pass(time.Minute)
		w.wantRunning(map[string]int{"web:1": 1, "web:2": 3})
		if w.store.View().Tasks.Get(kept).LastStatus != ecs.TaskRunning {
			t.Error("the protected one was stopped")
		}
		pass(10 * time.Minute)
		w.wantRunning(map[string]int{"web:2": 3})
		if w.get("s").Primary().RolloutState != ecs.RolloutCompleted {
			t.Error("not completed")
		}
	})
}

func TestDeleted(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.service("s", "web", 3, nil)
		pass(30 * time.Second)
		w.change("s", func(s *ecs.Service) { s.Status, s.DesiredCount = ecs.ServiceDraining, 0 })
		pass(500 * time.Millisecond)
		if s := w.get("s"); s.Status != ecs.ServiceDraining {
			t.Errorf("%s while tasks end", s.Status)
		}
		pass(5 * time.Second)
		if s := w.get("s"); s.Status != ecs.ServiceInactive || len(s.Deployments) != 0 {
			t.Errorf("%+v", s)
		}
		w.wantRunning(map[string]int{})
	})
}

// TestLostInstance replaces the tasks of an instance that is gone.
func TestLostInstance(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.service("s", "web", 6, nil)
		pass(30 * time.Second)
		w.update(func(tx *state.Tx) {
			i := *tx.Instances.Get(ecs.InstanceID{1})
			i.Status = ecs.InstanceInactive
			tx.Instances.Put(&i)
			lifecycle.InstanceGone(tx, ecs.MillisOf(time.Now()), i.ID, 100, ecs.StopUserInitiated, "gone")
		})
		pass(10 * time.Second)
		w.wantRunning(map[string]int{"web:1": 6})
	})
}

func TestThreshold(t *testing.T) {
	for desired, want := range map[int32]int32{0: 3, 1: 3, 5: 3, 6: 3, 7: 4, 10: 5, 25: 13, 400: 200, 800: 200} {
		if got := (*ecs.DeploymentCircuitBreaker)(nil).Threshold(desired); got != want {
			t.Errorf("%d: %d, want %d", desired, got, want)
		}
	}
}

// TestWaitsForAnAgent has no place until the instance's agent connects, which is no commit.
func TestWaitsForAnAgent(t *testing.T) {
	var here atomic.Bool
	var bell loop.Bell
	asked := 0
	inWorldOf(t, 1, func(c *Config) {
		c.Agents = &bell
		c.Connected = func(ecs.InstanceID) bool { asked++; return here.Load() }
	}, func(w *world) {
		for i := range 300 {
			w.service(fmt.Sprint("s", i), "web", 1, nil)
		}
		pass(10 * time.Second)
		before := asked
		pass(time.Hour)
		if asked != before {
			t.Errorf("%d looks for a place while nothing happened", asked-before)
		}
		here.Store(true)
		bell.Ring(ecs.InstanceID{1}.String())
		pass(10 * time.Second)
		w.wantRunning(map[string]int{"web:1": 300})
	})
}

// TestBlocked tells of percentages that let nothing happen, once, and goes on when they are changed.
func TestBlocked(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.service("s", "web", 1, func(s *ecs.Service) {
			s.DeploymentConfiguration.MinimumHealthyPercent, s.DeploymentConfiguration.MaximumPercent = 50, 150
		})
		pass(30 * time.Second)
		w.deploy("s", "second", "web", 2)
		pass(time.Hour)
		const why = "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
		if e := w.events("s"); len(e) != 4 || e[3] != why {
			t.Errorf("%q", e)
		}
		w.change("s", func(s *ecs.Service) { s.DeploymentConfiguration.MaximumPercent = 200 })
		pass(time.Minute)
		w.wantRunning(map[string]int{"web:2": 1})
	})
}
