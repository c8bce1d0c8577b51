package oci

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

// again restarts a container and waits for its end.
func again(t *testing.T, s *runtimetest.Subject, id string, n int) *runtime.Status {
	t.Helper()
	if _, err := s.Runtime.(*Runtime).Restart(t.Context(), id, n, ""); err != nil {
		t.Fatalf("restart %d: %v", n, err)
	}
	return s.Wait(t, id)
}

// TestRestartKeeps: what a container has written, its log and its environment outlast its restarts.
func TestRestartKeeps(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		spec := s.Spec(0, []string{"sh", "-c", "echo run >> /tmp/runs; wc -l < /tmp/runs; echo $SECRET; cat /proc/1/oom_score_adj > /dev/null; exit 7"})
		spec.Restartable, spec.Env, spec.User = true, []string{"SECRET=s3cret"}, "root"
		spec.Log.Path = filepath.Join(t.TempDir(), "log")
		s.Start(t, spec)
		s.Wait(t, spec.ID)
		for n := 1; n <= 3; n++ {
			if got := again(t, s, spec.ID, n); got.ExitCode != 7 || got.OOMKilled {
				t.Errorf("restart %d: %+v", n, got)
			}
		}
		if got := text(readLog(t, spec.Log.Path), "stdout"); got != "1\ns3cret\n2\ns3cret\n3\ns3cret\n4\ns3cret\n" {
			t.Errorf("the log is %q", got)
		}
		err := filepath.Walk(filepath.Join(m.monitorDir(), "containers"), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "s3cret") {
					t.Errorf("%s on the disk has the environment: %v", path, err)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		s.Delete(t, spec.ID, false)
	})
}

// TestRestartFails: a container that cannot be started again is as it was, and can be deleted.
func TestRestartFails(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		spec := s.Spec(0, []string{"/bin/sh", "-c", "busybox rm /bin/sh; exit 3"})
		spec.Restartable = true
		spec.Log.Path = filepath.Join(t.TempDir(), "log")
		s.Start(t, spec)
		before := s.Wait(t, spec.ID)
		for range 2 {
			if got, err := s.Runtime.(*Runtime).Restart(t.Context(), spec.ID, 1, ""); err == nil || !strings.Contains(err.Error(), "/bin/sh") {
				t.Errorf("Restart gives %+v, %v", got, err)
			}
			if got := s.Wait(t, spec.ID); got.ExitCode != 3 || got.Restarts != 0 || !got.ExitedAt.Equal(before.ExitedAt) {
				t.Errorf("Wait gives %+v", got)
			}
			killMonitor(t, s.Runtime.(*Runtime)) // another finds it so too
		}
		s.Delete(t, spec.ID, false)
	})
}

// TestRestartCutOff kills the monitor again and again while it restarts a container: each restart is made once in the end.
func TestRestartCutOff(t *testing.T) {
	m := newMachine(t)
	s := m.subject(t, "crun")
	r := s.Runtime.(*Runtime)
	spec := s.Spec(0, []string{"sh", "-c", "echo run >> /tmp/runs; wc -l < /tmp/runs; exec sleep 1000"})
	spec.Restartable = true
	spec.Log.Path = filepath.Join(t.TempDir(), "log")
	s.Start(t, spec)
	const runs = 6
	for n := 1; n < runs; n++ {
		s.Kill(t, spec.ID, syscall.SIGKILL, false)
		s.Wait(t, spec.ID)
		r.monitorPid(t)
		var restarting sync.WaitGroup
		restarting.Go(func() {
			if got, err := r.Restart(context.Background(), spec.ID, n, ""); err != nil || got.Restarts != n || got.State != runtime.Running {
				t.Errorf("Restart %d gives %+v, %v", n, got, err)
			}
		})
		killMonitor(t, r)
		restarting.Wait()
		if got := s.List(t)[spec.ID]; got.Restarts != n || got.State != runtime.Running {
			t.Errorf("List gives %+v", got)
		}
	}
	s.Kill(t, spec.ID, syscall.SIGKILL, false)
	s.Wait(t, spec.ID)
	s.Delete(t, spec.ID, false)
}
