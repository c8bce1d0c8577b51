package runtimetest

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// restart restarts a container.
func (s *Subject) restart(t *testing.T, id string, n int) *runtime.Status {
	t.Helper()
	status, err := s.Runtime.(runtime.Restarter).Restart(deadline(t), id, n, "")
	if err != nil {
		t.Fatalf("Restart: %v", err)
	}
	if status.ID != id || status.Restarts != n {
		t.Errorf("Restart gives %+v", status)
	}
	return status
}

// refused wants a restart refused, and nothing changed by that.
func (s *Subject) refused(t *testing.T, id string, n int) {
	t.Helper()
	before := s.List(t)
	if status, err := s.Runtime.(runtime.Restarter).Restart(deadline(t), id, n, ""); err == nil {
		t.Errorf("restart %d gives %+v", n, status)
	}
	if diff := cmp.Diff(before, s.List(t)); diff != "" {
		t.Error(diff)
	}
}

func testRestart(t *testing.T, s *Subject) {
	spec := s.Spec(0, s.Forever)
	spec.Restartable = true
	first := s.Start(t, spec)
	s.refused(t, ID(0), 1)
	for n := 1; n <= 3; n++ {
		s.Kill(t, ID(0), syscall.SIGKILL, false)
		if got := s.Wait(t, ID(0)); got.ExitCode != 137 || got.Restarts != n-1 {
			t.Errorf("run %d: Wait gives %+v", n, got)
		}
		s.refused(t, ID(0), n+1)
		again := s.restart(t, ID(0), n)
		if again.State != runtime.Running || !again.StartedAt.After(first.StartedAt) || !again.ExitedAt.IsZero() {
			t.Errorf("Restart gives %+v", again)
		}
		if diff := cmp.Diff(again, s.restart(t, ID(0), n)); diff != "" {
			t.Errorf("asked again: %s", diff)
		}
		if diff := cmp.Diff(again, s.List(t)[ID(0)]); diff != "" {
			t.Error(diff)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if status, err := s.Runtime.Wait(ctx, ID(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait gives %+v, %v", status, err)
		}
		cancel()
		s.Runtime = s.Reopen(t)
	}
	s.Kill(t, ID(0), syscall.SIGKILL, true)
	ended := s.Wait(t, ID(0))
	if diff := cmp.Diff(ended, s.restart(t, ID(0), 3)); diff != "" {
		t.Errorf("asked again after the end: %s", diff)
	}
	s.Delete(t, ID(0), false)
	if list := s.List(t); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

func testRestartRefused(t *testing.T, s *Subject) {
	if _, err := s.Runtime.(runtime.Restarter).Restart(deadline(t), ID(9), 1, ""); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Restart: %v", err)
	}
	s.Start(t, s.Spec(0, s.Exit(3)))
	s.Wait(t, ID(0))
	s.refused(t, ID(0), 1) // it is not restartable
	if got := s.Wait(t, ID(0)); got.ExitCode != 3 {
		t.Errorf("Wait gives %+v", got)
	}
	s.Delete(t, ID(0), false)
	s.Start(t, s.Spec(0, s.Exit(0)))
	s.Wait(t, ID(0))
}
