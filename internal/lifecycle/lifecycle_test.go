package lifecycle_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

func open(t testing.TB) *state.Store {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// update runs fn and gives the task's row after it.
func update(t interface {
	Helper()
	Fatal(...any)
}, s *state.Store, id ecs.TaskID, fn func(tx *state.Tx) error) *ecs.Task {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
	return s.View().Tasks.Get(id)
}

var side = false

func definition() *ecs.TaskDefinition {
	memory := int32(64)
	return &ecs.TaskDefinition{Family: "f", Revision: 1, ContainerDefinitions: []ecs.ContainerDefinition{
		{Name: "main", Cpu: 10, Memory: &memory}, {Name: "side", Cpu: 20, Memory: &memory, Essential: &side},
	}}
}

func create(t interface {
	Helper()
	Fatal(...any)
}, s *state.Store, instance ecs.InstanceID) *ecs.Task {
	t.Helper()
	var task *ecs.Task
	if err := s.Update(context.Background(), func(tx *state.Tx) error {
		d := definition()
		tx.Definitions.Put(d)
		task = lifecycle.Create(tx, 100, lifecycle.Spec{Cluster: "c", Definition: d, Instance: instance, Group: "g"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return task
}

func containers(main, side ecs.TaskStatus) []ecs.Container {
	return []ecs.Container{{Name: "main", LastStatus: main}, {Name: "side", LastStatus: side}}
}

func report(r acs.TaskState, now ecs.Millis) func(tx *state.Tx) error {
	return func(tx *state.Tx) error { return lifecycle.Report(tx, now, r) }
}

func TestCreateReserves(t *testing.T) {
	s := open(t)
	task := create(t, s, ecs.InstanceID{1})
	want := ecs.Resources{CPU: 30, MemoryMiB: 128}
	if diff := cmp.Diff(want, task.Reserved); diff != "" {
		t.Error(diff)
	}
	if d := cmp.Diff(want, s.View().InUse(ecs.InstanceID{1})); d != "" {
		t.Error(d)
	}
	if len(task.Containers) != 2 || len(task.Containers[0].ID) != 36 || task.Containers[0].ID == task.Containers[1].ID {
		t.Errorf("containers %+v", task.Containers)
	}
}

func TestCausesOfAnEnd(t *testing.T) {
	one := int32(1)
	stopped := containers(ecs.TaskStopped, ecs.TaskStopped)
	stopped[0].ExitCode = &one
	for _, c := range []struct {
		name         string
		before       []acs.TaskState
		stop         string
		last         acs.TaskState
		code, reason string
	}{
		{"never ran", nil, "", acs.TaskState{Status: ecs.TaskStopped, Containers: stopped}, "TaskFailedToStart", "Task failed to start"},
		{"the agent says why", nil, "", acs.TaskState{Status: ecs.TaskStopped, StopCode: "TaskFailedToStart", Reason: "CannotPull"}, "TaskFailedToStart", "CannotPull"},
		{"essential exit", []acs.TaskState{{Status: ecs.TaskRunning}}, "", acs.TaskState{Status: ecs.TaskStopped, Containers: stopped},
			"EssentialContainerExited", "Essential container in task exited"},
		{"essential exit seen before the task's", []acs.TaskState{{Status: ecs.TaskRunning}, {Status: ecs.TaskRunning, Containers: stopped}}, "",
			acs.TaskState{Status: ecs.TaskStopped}, "EssentialContainerExited", "Essential container in task exited"},
		{"stopped by a user", []acs.TaskState{{Status: ecs.TaskRunning}}, "enough", acs.TaskState{Status: ecs.TaskStopped, StopCode: "EssentialContainerExited", Reason: "x", Containers: stopped},
			"UserInitiated", "enough"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			task := create(t, s, ecs.InstanceID{1})
			for _, r := range c.before {
				r.ID = task.ID
				task = update(t, s, task.ID, report(r, 200))
			}
			if c.stop != "" {
				task = update(t, s, task.ID, func(tx *state.Tx) error {
					lifecycle.Stop(tx, 250, task, ecs.StopUserInitiated, c.stop)
					return nil
				})
			}
			c.last.ID = task.ID
			task = update(t, s, task.ID, report(c.last, 300))
			if task.StopCode != c.code || task.StoppedReason != c.reason || task.StoppedAt != 300 || task.DesiredStatus != ecs.TaskStopped || task.StoppingAt == 0 {
				t.Errorf("%+v", task)
			}
			if got := s.View().InUse(ecs.InstanceID{1}); got.CPU != 0 {
				t.Errorf("still reserved: %+v", got)
			}
		})
	}
}

func TestReportOfAnUnknownTask(t *testing.T) {
	s := open(t)
	err := s.Update(context.Background(), report(acs.TaskState{ID: ecs.TaskID{9}}, 1))
	if !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("got %v", err)
	}
}

func TestRepeatedReportChangesNothing(t *testing.T) {
	s := open(t)
	task := create(t, s, ecs.InstanceID{1})
	r := acs.TaskState{ID: task.ID, Status: ecs.TaskRunning, StartedAt: 150, Containers: containers(ecs.TaskRunning, ecs.TaskRunning)}
	r.Containers[0].RuntimeID = "x"
	r.Containers[0].NetworkBindings = []ecs.NetworkBinding{{BindIP: "0.0.0.0"}}
	first := update(t, s, task.ID, report(r, 200))
	second := update(t, s, task.ID, report(r, 300))
	if first != second || first.Version != 2 || first.StartedAt != 150 {
		t.Errorf("first %+v, second %+v", first, second)
	}
}

func TestInstanceGone(t *testing.T) {
	s := open(t)
	a, b := create(t, s, ecs.InstanceID{1}), create(t, s, ecs.InstanceID{2})
	got := update(t, s, a.ID, func(tx *state.Tx) error {
		if n := lifecycle.InstanceGone(tx, 500, ecs.InstanceID{1}, 10, ecs.StopTerminationNotice, "gone"); n != 1 {
			t.Errorf("%d tasks", n)
		}
		return nil
	})
	if got.LastStatus != ecs.TaskStopped || got.StopCode != ecs.StopTerminationNotice || got.StoppedReason != "gone" || got.StoppedAt != 500 {
		t.Errorf("%+v", got)
	}
	if s.View().Tasks.Get(b.ID).LastStatus != ecs.TaskPending {
		t.Error("a task of another instance ended")
	}
}

func TestStopOfAnUnplacedTaskIsAtOnce(t *testing.T) {
	s := open(t)
	task := create(t, s, ecs.InstanceID{})
	task = update(t, s, task.ID, func(tx *state.Tx) error {
		lifecycle.Stop(tx, 400, task, ecs.StopUserInitiated, "r")
		return nil
	})
	if task.LastStatus != ecs.TaskStopped || task.StoppedAt != 400 || task.StoppedReason != "r" {
		t.Errorf("%+v", task)
	}
}

// TestNeverBackwards gives reports in any order, with stops between them: no status goes back, versions grow by one with
// each visible change, and STOPPED is the end.
func TestNeverBackwards(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		task := create(t, s, ecs.InstanceID{1})
		status := rapid.SampledFrom([]ecs.TaskStatus{0, ecs.TaskPending, ecs.TaskRunning, ecs.TaskStopped, ecs.TaskDeleted})
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			before := task
			if rapid.IntRange(0, 4).Draw(t, "what") == 0 {
				task = update(t, s, task.ID, func(tx *state.Tx) error {
					lifecycle.Stop(tx, 5, task, ecs.StopUserInitiated, "r")
					return nil
				})
			} else {
				r := acs.TaskState{ID: task.ID, Status: status.Draw(t, "task"), Containers: containers(status.Draw(t, "main"), status.Draw(t, "side"))}
				task = update(t, s, task.ID, report(r, 5))
			}
			checkStep(t, before, task)
		}
	})
}

func checkStep(t *rapid.T, before, after *ecs.Task) {
	if after.LastStatus < before.LastStatus || after.DesiredStatus < before.DesiredStatus || after.LastStatus > ecs.TaskStopped {
		t.Fatalf("went from %v/%v to %v/%v", before.LastStatus, before.DesiredStatus, after.LastStatus, after.DesiredStatus)
	}
	for i := range after.Containers {
		if after.Containers[i].LastStatus < before.Containers[i].LastStatus {
			t.Fatalf("container went from %v to %v", before.Containers[i].LastStatus, after.Containers[i].LastStatus)
		}
	}
	switch {
	case before.LastStatus == ecs.TaskStopped && before != after:
		t.Fatal("a stopped task changed")
	case before != after && after.Version != before.Version+1:
		t.Fatalf("version went from %d to %d", before.Version, after.Version)
	case after.LastStatus == ecs.TaskStopped && (after.StoppedAt == 0 || after.StopCode == "" || after.StoppedReason == "" || after.DesiredStatus != ecs.TaskStopped ||
		slices.ContainsFunc(after.Containers, func(c ecs.Container) bool { return c.LastStatus != ecs.TaskStopped })):
		t.Fatalf("stopped without all that belongs to it: %+v", after)
	}
}
