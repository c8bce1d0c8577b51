package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

// killMonitor ends the monitor as a crash would, and waits until it is gone.
func killMonitor(t *testing.T, r *Runtime) {
	t.Helper()
	pid := r.monitorPid(t)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// await waits until a log has a text.
func await(t *testing.T, path, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		data, _ := os.ReadFile(path)
		if strings.Contains(string(data), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q does not appear in %q", want, data)
		}
	}
}

// TestMonitorKilled kills the monitor under running containers.
func TestMonitorKilled(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		r := s.Runtime.(*Runtime)
		dir := t.TempDir()
		fifo := filepath.Join(dir, "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		// It writes while no monitor lives, more than a pipe holds.
		spec := s.Spec(0, []string{"sh", "-c", "echo before; cat /fifo > /dev/null; seq 1 50000; exit 9"})
		spec.Mounts = []runtime.Mount{{Source: fifo, Target: "/fifo"}}
		spec.Log.Path = filepath.Join(dir, "log")
		s.Start(t, spec)
		s.Start(t, s.Spec(1, s.Forever))
		s.Start(t, s.Spec(2, s.Exit(4)))
		s.Wait(t, runtimetest.ID(2))
		ends := s.Spec(3, []string{"sh", "-c", "cat /fifo > /dev/null; exit 5"})
		fifo2 := filepath.Join(dir, "fifo2")
		if err := unix.Mkfifo(fifo2, 0o600); err != nil {
			t.Fatal(err)
		}
		ends.Mounts = []runtime.Mount{{Source: fifo2, Target: "/fifo"}}
		status := s.Start(t, ends)
		await(t, spec.Log.Path, "before")
		var waiting sync.WaitGroup
		waiting.Go(func() { // over the change of monitors
			if got, err := s.Runtime.Wait(context.Background(), runtimetest.ID(1)); err != nil || got.ExitCode != 137 && got.ExitCode != -1 {
				t.Errorf("Wait gives %+v, %v", got, err)
			}
		})
		// No monitor comes back before we let it: the lock is ours.
		hold := holdLock(t, m)
		killMonitor(t, r)
		hold.take()
		for _, path := range []string{fifo, fifo2} {
			if err := os.WriteFile(path, []byte("go"), 0); err != nil {
				t.Fatal(err)
			}
		}
		for unix.Kill(status.Pid, 0) == nil { // the one that ends meanwhile
			time.Sleep(time.Millisecond)
		}
		hold.release()
		list := s.List(t)
		if len(list) != 4 || list[runtimetest.ID(1)].State != runtime.Running || list[runtimetest.ID(2)].ExitCode != 4 {
			t.Errorf("List gives %+v", list)
		}
		if got := list[runtimetest.ID(3)]; got.State != runtime.Exited || got.ExitCode != -1 {
			t.Errorf("the one that ended meanwhile: %+v", got)
		}
		got := s.Wait(t, runtimetest.ID(0))
		if got.ExitCode != 9 {
			t.Errorf("the exit code of one taken over is %d", got.ExitCode)
		}
		log := text(readLog(t, spec.Log.Path), "stdout")
		if !strings.HasPrefix(log, "before\n1\n2\n") || !strings.HasSuffix(log, "\n49999\n50000\n") || strings.Count(log, "\n") != 50001 {
			t.Errorf("the log has %d lines", strings.Count(log, "\n"))
		}
		s.Kill(t, runtimetest.ID(1), syscall.SIGKILL, false)
		waiting.Wait()
		for id := range list {
			s.Delete(t, id, false)
		}
		s.Start(t, s.Spec(0, s.Exit(0)))
		s.Wait(t, runtimetest.ID(0))
	})
}

// lockHold keeps monitors from starting.
type lockHold struct {
	t *testing.T
	f *os.File
}

func holdLock(t *testing.T, m *machine) *lockHold {
	f, err := os.OpenFile(filepath.Join(m.monitorDir(), "monitor.lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &lockHold{t, f}
}

func (h *lockHold) take() {
	if err := unix.Flock(int(h.f.Fd()), unix.LOCK_EX); err != nil {
		h.t.Fatal(err)
	}
}

func (h *lockHold) release() {
	if err := h.f.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// TestMonitorKilledInStart kills monitors again and again while containers start: each Start succeeds on the monitor that
// follows, or fails and leaves nothing.
func TestMonitorKilledInStart(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		r := s.Runtime.(*Runtime)
		r.monitorPid(t)
		for round := range 5 {
			var starts sync.WaitGroup
			ok := make([]bool, 8)
			for i := range ok {
				starts.Go(func() {
					_, err := s.Runtime.Start(context.Background(), s.Spec(i, s.Forever))
					ok[i] = err == nil
					if err != nil {
						t.Logf("Start: %v", err)
					}
				})
			}
			time.Sleep(time.Duration(round*13) * time.Millisecond) // somewhere in the middle
			killMonitor(t, r)
			starts.Wait()
			list := s.List(t)
			for i := range ok {
				got := list[runtimetest.ID(i)]
				if ok[i] != (got != nil) || got != nil && got.State != runtime.Running {
					t.Errorf("round %d: Start %d: %v, List gives %+v", round, i, ok[i], got)
				}
			}
			for id := range list {
				s.Kill(t, id, syscall.SIGKILL, true)
				s.Wait(t, id)
				s.Delete(t, id, false)
			}
		}
	})
}

// job is what the process of TestAgentKilled does.
type job struct {
	Dir, Group string
	Command    []string
	Spec       *runtime.Spec
}

// agent is a process that starts a container, says so, and waits for its own end.
func agent(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	r, err := New(Config{Dir: j.Dir, CgroupRoot: j.Group, Command: j.Command})
	if err != nil {
		return err
	}
	if _, err := r.Start(context.Background(), j.Spec); err != nil {
		return err
	}
	fmt.Println("started")
	select {}
}

// TestAgentKilled kills an agent that has started the monitor and a container.
func TestAgentKilled(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		dir := t.TempDir()
		spec := s.Spec(0, []string{"sh", "-c", "echo a; cat /fifo >/dev/null; echo b; exit 6"})
		spec.Log.Path = filepath.Join(dir, "log")
		fifo := filepath.Join(dir, "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		spec.Mounts = []runtime.Mount{{Source: fifo, Target: "/fifo"}}
		config := m.config()
		arg, err := json.Marshal(job{Dir: config.Dir, Group: config.CgroupRoot, Command: config.Command, Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe", "test-agent", string(arg))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 8)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "started\n" {
			t.Fatal(string(line), err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the agent ended by itself")
		}
		if got := s.List(t)[spec.ID]; got == nil || got.State != runtime.Running {
			t.Fatalf("List gives %+v", got)
		}
		if err := os.WriteFile(fifo, []byte("go"), 0); err != nil {
			t.Fatal(err)
		}
		if got := s.Wait(t, spec.ID); got.ExitCode != 6 {
			t.Errorf("exit code %d", got.ExitCode)
		}
		if got := stdoutOf(t, spec.Log.Path); got != "a\nb\n" {
			t.Errorf("the log is %q", got)
		}
		log, err := os.ReadFile(filepath.Join(m.monitorDir(), "monitor.log"))
		if err != nil || strings.Count(string(log), "is ready") != 1 {
			t.Errorf("more than one monitor: %s, %v", log, err)
		}
	})
}

func stdoutOf(t *testing.T, path string) string { return text(readLog(t, path), "stdout") }

// TestIdleExit has a monitor that ends when it has had nothing to do for a while, and not while it has a container.
func TestIdleExit(t *testing.T) {
	m := newMachine(t)
	s := m.subject(t, "crun")
	if err := os.MkdirAll(m.monitorDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.monitorDir(), "idle"), []byte("100ms"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start(t, s.Spec(0, []string{"sh", "-c", "sleep 0.5; exit 2"}))
	first := s.Runtime.(*Runtime).monitorPid(t)
	s.Reopen(t).(*Runtime).Close()
	time.Sleep(300 * time.Millisecond)
	s.Runtime = s.Reopen(t)
	if again := s.Runtime.(*Runtime).monitorPid(t); again != first {
		t.Error("it ended under a container")
	}
	if got := s.Wait(t, runtimetest.ID(0)); got.ExitCode != 2 {
		t.Errorf("exit code %d", got.ExitCode)
	}
	s.Delete(t, runtimetest.ID(0), false)
	s.Runtime.(*Runtime).Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Lstat(filepath.Join(m.monitorDir(), "run"))
		if os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
}

// TestRebooted is about what a machine's going down leaves: the files on its disk, of another boot.
func TestRebooted(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		r := s.Runtime.(*Runtime)
		status := s.Start(t, s.Spec(0, s.Forever))
		s.Start(t, s.Spec(1, s.Exit(3)))
		s.Wait(t, runtimetest.ID(1))
		killMonitor(t, r)
		if err := unix.Kill(status.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		run, err := filepath.EvalSymlinks(filepath.Join(m.monitorDir(), "run"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(run); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			path := filepath.Join(m.monitorDir(), "containers", runtimetest.ID(i), "start.json")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
			if err != nil {
				t.Fatal(err)
			}
			data = []byte(strings.Replace(string(data), strings.TrimSpace(string(boot)), "another", 1))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		list := s.List(t)
		for i, want := range []int{-1, 3} {
			if got := list[runtimetest.ID(i)]; got == nil || got.State != runtime.Exited || got.ExitCode != want {
				t.Errorf("%d: %+v", i, got)
			}
			s.Delete(t, runtimetest.ID(i), false)
		}
	})
}

// TestSecrets looks for a container's environment where others could see it.
func TestSecrets(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		spec := s.Spec(0, s.Forever)
		spec.Env = []string{"TOKEN=swordfish"}
		s.Start(t, spec)
		err := filepath.Walk(m.monitorDir(), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 && !strings.Contains(path, "/upper") && !strings.Contains(path, "/work") {
				err = fmt.Errorf("%s is %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		bad := s.Spec(1, []string{"/no/such"})
		bad.Env = spec.Env
		if _, err := s.Runtime.Start(context.Background(), bad); err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("Start: %v", err)
		}
		log, err := os.ReadFile(filepath.Join(m.monitorDir(), "monitor.log"))
		if err != nil || strings.Contains(string(log), "swordfish") {
			t.Errorf("the monitor's log: %v", err)
		}
	})
}
