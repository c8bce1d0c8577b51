// Package runtimetest is the suite that every runtime.Runtime passes, whether it runs real containers or acts as if.
package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Subject is a runtime under test.
type Subject struct {
	// Runtime is what is tested.
	Runtime runtime.Runtime
	// Reopen gives the Runtime of a new agent on the same machine, the old one being gone.
	Reopen func(t *testing.T) runtime.Runtime
	// Image has the commands below.
	Image *runtime.Image
	// Exit ends at once with a code, Forever runs until SIGTERM or SIGKILL ends it, Stubborn until SIGKILL does, Print writes
	// a line to its output and ends, OOM ends for want of memory within 16 MiB, and Fails cannot be started.
	Exit                                func(code int) []string
	Forever, Stubborn, Print, OOM, Fail []string
	// Printed is Print's line.
	Printed string
	// OCIRuntime is put into every Spec.
	OCIRuntime string
}

// timeout is far longer than anything here takes.
const timeout = time.Minute

// Run runs the suite on fresh subjects.
func Run(t *testing.T, fresh func(t *testing.T) *Subject) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *Subject)
	}{
		{"ExitCodes", testExitCodes}, {"StartFails", testStartFails}, {"IDTaken", testIDTaken}, {"Signals", testSignals},
		{"Stubborn", testStubborn}, {"KillExited", testKillExited}, {"WaitCancelled", testWaitCancelled}, {"Waiters", testWaiters},
		{"NotFound", testNotFound}, {"DeleteRunning", testDeleteRunning}, {"Delete", testDelete}, {"Labels", testLabels},
		{"Reopen", testReopen}, {"OOM", testOOM}, {"Logs", testLogs}, {"KeepLogs", testKeepLogs}, {"StartCancelled", testStartCancelled},
		{"Restart", testRestart}, {"RestartRefused", testRestartRefused}, {"ManyAtOnce", testMany}, {"Exec", testExec}, {"ExecRefused", testExecRefused}, {"ExecEnds", testExecEnds}, {"ExecMany", testExecMany},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

// ID gives an id of 64 hex digits.
func ID(n int) string { return fmt.Sprintf("%064x", n+0xabc) }

// Spec gives a container of a command.
func (s *Subject) Spec(n int, args []string) *runtime.Spec {
	return &runtime.Spec{ID: ID(n), Image: s.Image, Args: args, CgroupParent: "task-1", OCIRuntime: s.OCIRuntime}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// Start starts a container.
func (s *Subject) Start(t *testing.T, spec *runtime.Spec) *runtime.Status {
	t.Helper()
	status, err := s.Runtime.Start(deadline(t), spec)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return status
}

// Wait waits for a container's end.
func (s *Subject) Wait(t *testing.T, id string) *runtime.Status {
	t.Helper()
	status, err := s.Runtime.Wait(deadline(t), id)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	if status.State != runtime.Exited || status.ExitedAt.IsZero() || status.ExitedAt.Before(status.StartedAt) {
		t.Errorf("Wait gives %+v", status)
	}
	return status
}

// Kill sends a signal.
func (s *Subject) Kill(t *testing.T, id string, signal syscall.Signal, all bool) {
	t.Helper()
	if err := s.Runtime.Kill(deadline(t), id, int(signal), all); err != nil {
		t.Fatalf("Kill: %v", err)
	}
}

// Delete deletes a container.
func (s *Subject) Delete(t *testing.T, id string, keepLogs bool) {
	t.Helper()
	if err := s.Runtime.Delete(deadline(t), id, keepLogs); err != nil {
		t.Fatalf("Delete: %v", err)
	}
}

// List lists containers by id.
func (s *Subject) List(t *testing.T) map[string]*runtime.Status {
	t.Helper()
	list, err := s.Runtime.List(deadline(t))
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	byID := map[string]*runtime.Status{}
	for _, status := range list {
		byID[status.ID] = status
	}
	if len(byID) != len(list) {
		t.Errorf("List has doubles: %d of %d", len(list)-len(byID), len(list))
	}
	return byID
}

func testExitCodes(t *testing.T, s *Subject) {
	for i, code := range []int{0, 1, 3, 255} {
		started := s.Start(t, s.Spec(i, s.Exit(code)))
		if started.ID != ID(i) || started.StartedAt.IsZero() {
			t.Errorf("Start gives %+v", started)
		}
		if got := s.Wait(t, ID(i)); got.ExitCode != code || got.OOMKilled {
			t.Errorf("code %d: Wait gives %+v", code, got)
		}
		if got := s.List(t)[ID(i)]; got == nil || got.State != runtime.Exited || got.ExitCode != code {
			t.Errorf("code %d: List gives %+v", code, got)
		}
		s.Delete(t, ID(i), false)
	}
}

func testStartFails(t *testing.T, s *Subject) {
	spec := s.Spec(0, s.Fail)
	spec.Log.Path = filepath.Join(t.TempDir(), "log")
	if status, err := s.Runtime.Start(deadline(t), spec); err == nil {
		t.Fatalf("Start gives %+v", status)
	}
	if list := s.List(t); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
	// Nothing is left in the way of another try.
	s.Start(t, s.Spec(0, s.Exit(0)))
	s.Wait(t, ID(0))
}

func testIDTaken(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	if _, err := s.Runtime.Start(deadline(t), s.Spec(0, s.Exit(0))); err == nil {
		t.Error("an id was given twice")
	}
	if got := s.List(t)[ID(0)]; got == nil || got.State != runtime.Running {
		t.Errorf("the first is %+v", got)
	}
	s.Kill(t, ID(0), syscall.SIGKILL, true)
	s.Wait(t, ID(0))
}

func testSignals(t *testing.T, s *Subject) {
	for i, all := range []bool{false, true} {
		s.Start(t, s.Spec(i, s.Forever))
		s.Kill(t, ID(i), syscall.SIGKILL, all)
		if got := s.Wait(t, ID(i)); got.ExitCode != 128+int(syscall.SIGKILL) {
			t.Errorf("exit code %d", got.ExitCode)
		}
	}
}

func testStubborn(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Stubborn))
	s.Kill(t, ID(0), syscall.SIGTERM, false)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if status, err := s.Runtime.Wait(ctx, ID(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Wait gives %+v, %v", status, err)
	}
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	if got := s.Wait(t, ID(0)); got.ExitCode != 137 {
		t.Errorf("exit code %d", got.ExitCode)
	}
}

func testKillExited(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Exit(4)))
	s.Wait(t, ID(0))
	s.Kill(t, ID(0), syscall.SIGTERM, false)
	s.Kill(t, ID(0), syscall.SIGKILL, true)
	if got := s.Wait(t, ID(0)); got.ExitCode != 4 {
		t.Errorf("exit code %d", got.ExitCode)
	}
}

func testWaitCancelled(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if status, err := s.Runtime.Wait(ctx, ID(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait gives %+v, %v", status, err)
	}
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	s.Wait(t, ID(0))
}

func testWaiters(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got, err := s.Runtime.Wait(deadline(t), ID(0)); err != nil || got.ExitCode != 137 {
				t.Errorf("Wait gives %+v, %v", got, err)
			}
		})
	}
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	group.Wait()
}

func testNotFound(t *testing.T, s *Subject) {
	if _, err := s.Runtime.Wait(deadline(t), ID(9)); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Wait: %v", err)
	}
	if err := s.Runtime.Kill(deadline(t), ID(9), int(syscall.SIGTERM), false); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Kill: %v", err)
	}
	s.Delete(t, ID(9), false)
}

func testDeleteRunning(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	if err := s.Runtime.Delete(deadline(t), ID(0), false); err == nil {
		t.Error("a running container was deleted")
	}
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	s.Wait(t, ID(0))
}

func testDelete(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Exit(0)))
	s.Wait(t, ID(0))
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() { s.Delete(t, ID(0), false) })
	}
	group.Wait()
	if list := s.List(t); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
	s.Start(t, s.Spec(0, s.Exit(0)))
	s.Wait(t, ID(0))
}

func testLabels(t *testing.T, s *Subject) {
	labels := map[string]string{"com.amazonaws.ecs.task-arn": "arn:aws:ecs:x:1:task/a", "empty": "", "words": "ä \"b\""}
	spec := s.Spec(0, s.Exit(0))
	spec.Labels = labels
	for _, got := range []*runtime.Status{s.Start(t, spec), s.Wait(t, ID(0)), s.List(t)[ID(0)]} {
		if diff := cmp.Diff(labels, got.Labels); diff != "" {
			t.Error(diff)
		}
	}
}

func testReopen(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	s.Start(t, s.Spec(1, s.Forever))
	s.Start(t, s.Spec(2, s.Exit(5)))
	s.Wait(t, ID(2))
	before := s.List(t)
	s.Runtime = s.Reopen(t)
	if diff := cmp.Diff(before, s.List(t)); diff != "" {
		t.Error(diff)
	}
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	s.Wait(t, ID(0))
	s.Runtime = s.Reopen(t)
	after := s.List(t)
	if len(after) != 3 || after[ID(0)].ExitCode != 137 || after[ID(1)].State != runtime.Running || after[ID(2)].ExitCode != 5 {
		t.Errorf("List gives %+v", after)
	}
	s.Kill(t, ID(1), syscall.SIGKILL, true)
	s.Wait(t, ID(1))
	for id := range after {
		s.Delete(t, id, false)
	}
	if list := s.List(t); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

func testOOM(t *testing.T, s *Subject) {
	spec := s.Spec(0, s.OOM)
	spec.MemoryLimit = 16 << 20
	s.Start(t, spec)
	if got := s.Wait(t, ID(0)); !got.OOMKilled || got.ExitCode != 137 {
		t.Errorf("Wait gives %+v", got)
	}
	if got := s.List(t)[ID(0)]; !got.OOMKilled {
		t.Errorf("List gives %+v", got)
	}
}

func testLogs(t *testing.T, s *Subject) {
	spec := s.Spec(0, s.Print)
	spec.Log.Path = filepath.Join(t.TempDir(), "log")
	s.Start(t, spec)
	s.Wait(t, ID(0))
	if data, err := os.ReadFile(spec.Log.Path); err != nil || !strings.HasPrefix(string(data), fmt.Sprintf(`{"log":"%s\n","stream":"stdout","time":"`, s.Printed)) {
		t.Errorf("the log is %q, %v", data, err)
	}
	s.Delete(t, ID(0), false)
	if _, err := os.Stat(spec.Log.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is left: %v", err)
	}
}

func testKeepLogs(t *testing.T, s *Subject) {
	spec := s.Spec(0, s.Print)
	spec.Log.Path = filepath.Join(t.TempDir(), "log")
	s.Start(t, spec)
	s.Wait(t, ID(0))
	s.Delete(t, ID(0), true)
	if data, err := os.ReadFile(spec.Log.Path); err != nil || !strings.Contains(string(data), s.Printed) {
		t.Errorf("the log is %q, %v", data, err)
	}
}

func testStartCancelled(t *testing.T, s *Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if status, err := s.Runtime.Start(ctx, s.Spec(0, s.Forever)); !errors.Is(err, context.Canceled) {
		t.Errorf("Start gives %+v, %v", status, err)
	}
	if list := s.List(t); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

func testMany(t *testing.T, s *Subject) {
	const n = 100
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			spec := s.Spec(i, s.Forever)
			spec.CgroupParent = fmt.Sprintf("task-%d", i%7)
			if _, err := s.Runtime.Start(deadline(t), spec); err != nil {
				t.Errorf("Start: %v", err)
			}
		})
	}
	group.Wait()
	running := 0
	for _, status := range s.List(t) {
		if status.State == runtime.Running {
			running++
		}
	}
	if running != n {
		t.Fatalf("%d run", running)
	}
	for i := range n {
		group.Go(func() {
			if err := s.Runtime.Kill(deadline(t), ID(i), int(syscall.SIGKILL), true); err != nil {
				t.Errorf("Kill: %v", err)
				return
			}
			if status, err := s.Runtime.Wait(deadline(t), ID(i)); err != nil || status.ExitCode != 137 {
				t.Errorf("Wait gives %+v, %v", status, err)
			}
			if err := s.Runtime.Delete(deadline(t), ID(i), false); err != nil {
				t.Errorf("Delete: %v", err)
			}
		})
	}
	group.Wait()
	if list := s.List(t); len(list) != 0 {
		t.Errorf("%d are left", len(list))
	}
}
