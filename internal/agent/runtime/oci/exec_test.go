package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// inside runs a script in a container and gives what it printed.
func inside(t *testing.T, s *runtimetest.Subject, id string, spec runtime.ExecSpec, script string) string {
	t.Helper()
	var out bytes.Buffer
	spec.Args, spec.Stdout, spec.Stderr = []string{"/bin/sh", "-c", script}, &out, &out
	p, err := s.Runtime.Exec(within(t), id, &spec)
	if err != nil {
		t.Fatalf("Exec: %v", err)
	}
	if code, err := p.Wait(within(t)); err != nil || code != 0 {
		t.Errorf("%q ended with %d, %v: %s", script, code, err, &out)
	}
	return strings.TrimSpace(out.String())
}

// TestExecConfines: a process has what its container's first has: namespaces, cgroup, capabilities, seccomp, environment,
// user; and no descriptor more than it should.
func TestExecConfines(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		const look = `for n in pid net mnt ipc uts cgroup; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; grep -E '^(Cap|Seccomp:|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status; ulimit -n; pwd; echo $A $B $HOME $PATH`
		spec := s.Spec(0, []string{"/bin/sh", "-c", look + "; exec sleep 1000"})
		spec.Env, spec.Cwd, spec.User = []string{"A=1", "B=2"}, "/tmp", "eve"
		spec.CapDrop, spec.Ulimits = []string{"MKNOD"}, []runtime.Ulimit{{Name: "nofile", Soft: 123, Hard: 456}}
		spec.Log.Path = filepath.Join(t.TempDir(), "log")
		s.Start(t, spec)
		got := inside(t, s, spec.ID, runtime.ExecSpec{}, look)
		waitFor(t, func() bool { return strings.Contains(logged(t, spec.Log.Path), "/home/eve") })
		if want := strings.TrimSpace(logged(t, spec.Log.Path)); got != want {
			t.Errorf("the container has\n%s\nand the process\n%s", want, got)
		}
		got = inside(t, s, spec.ID, runtime.ExecSpec{Env: []string{"B=3", "C=4"}, Cwd: "/home", User: "0"}, `id -u; id -g; pwd; echo $A $B $C $HOME; ls /proc/self/fd`)
		// The last is of the directory that ls reads.
		if want := "0\n0\n/home\n1 3 4 /root\n0\n1\n2\n3"; got != want {
			t.Errorf("%q, where %q was to be", got, want)
		}
		for user, want := range map[string]string{"eve:audio": "1234 29", "1234": "1234 2345", "7": "7 0"} {
			if got := inside(t, s, spec.ID, runtime.ExecSpec{User: user}, "echo $(id -u) $(id -g)"); got != want {
				t.Errorf("user %q is %q", user, got)
			}
		}
		for name, spec := range map[string]*runtime.ExecSpec{
			"user": {Args: []string{"true"}, User: "nobody-here"}, "directory": {Args: []string{"true"}, Cwd: "relative"}, "no directory": {Args: []string{"true"}, Cwd: "/nowhere"},
		} {
			if _, err := s.Runtime.Exec(within(t), runtimetest.ID(0), spec); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}

func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// logged is what a container printed.
func logged(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(data)) {
		line = strings.TrimPrefix(line, `{"log":"`)
		line, _, _ = strings.Cut(line, `","stream"`)
		text.WriteString(strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(line))
	}
	return text.String()
}

// syncBuffer is a writer that another goroutine reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestExecTerminal: a shell on a terminal, with its size and its echo.
func TestExecTerminal(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		s.Start(t, s.Spec(0, s.Forever))
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		var out syncBuffer
		p, err := s.Runtime.Exec(within(t), runtimetest.ID(0), &runtime.ExecSpec{Args: []string{"/bin/sh"}, Terminal: true, Stdin: r, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Resize(123, 45); err != nil {
			t.Error(err)
		}
		say := func(text string) {
			if _, err := w.WriteString(text); err != nil {
				t.Error(err)
			}
		}
		say("tty; echo term is $TERM; busybox stty size\n")
		waitFor(t, func() bool { return strings.Contains(out.String(), "45 123") })
		if got := out.String(); !strings.Contains(got, "/dev/pts/") || !strings.Contains(got, "term is xterm") {
			t.Errorf("the terminal says %q", got)
		}
		say("exit 7\n")
		if code, err := p.Wait(within(t)); err != nil || code != 7 {
			t.Errorf("it ended with %d, %v: %q", code, err, out.String())
		}
		if err := p.Resize(1, 1); !errors.Is(err, runtime.ErrNoTerminal) {
			t.Errorf("Resize of one that ended: %v", err)
		}
	})
}

// TestExecKillsAll: what a process started goes with it if it is killed. If it ends by itself that stays, and nobody waits for it.
func TestExecKillsAll(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		s.Start(t, s.Spec(0, s.Forever))
		before := census(t, m)
		ctx, cancel := context.WithCancel(within(t))
		var out syncBuffer
		p, err := s.Runtime.Exec(ctx, runtimetest.ID(0), &runtime.ExecSpec{Args: []string{"/bin/sh", "-c", "sleep 1000 & sleep 1000 & echo up; sleep 1000"}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return out.String() == "up\n" })
		cancel()
		if code, err := p.Wait(within(t)); err != nil || code != 137 {
			t.Errorf("it ended with %d, %v", code, err)
		}
		m.settle(t, before, "")
		if got := inside(t, s, runtimetest.ID(0), runtime.ExecSpec{}, "sleep 1000 & echo left"); got != "left" {
			t.Errorf("%q", got)
		}
		m.settle(t, before, "1 processes in cgroups")
	})
}

// TestExecOutlivesNobody: processes end with the agent that asked for them, and with the monitor.
func TestExecOutlivesNobody(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		s.Start(t, s.Spec(0, s.Forever))
		before := census(t, m)
		forever := &runtime.ExecSpec{Args: []string{"/bin/sh", "-c", "sleep 1000 & sleep 1000"}}
		agent := exec.Command("/proc/self/exe", "test-exec", m.dir, m.group, runtimetest.ID(0))
		agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return census(t, m)["processes in cgroups"] == before["processes in cgroups"]+2 })
		if err := agent.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := agent.Wait(); err == nil {
			t.Error("the agent ended by itself")
		}
		m.settle(t, before, "")

		p, err := s.Runtime.Exec(within(t), runtimetest.ID(0), forever)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return census(t, m)["processes in cgroups"] == before["processes in cgroups"]+2 })
		killMonitor(t, s.Runtime.(*Runtime))
		if code, err := p.Wait(within(t)); !errors.Is(err, link.ErrLost) {
			t.Errorf("without its monitor it ended with %d, %v", code, err)
		}
		s.List(t) // the next monitor
		m.settle(t, before, "")
		if got := inside(t, s, runtimetest.ID(0), runtime.ExecSpec{}, "echo back"); got != "back" {
			t.Errorf("%q", got)
		}
	})
}

// execAgent is the agent of TestExecOutlivesNobody.
func execAgent(dir, group, id string) error {
	m := &machine{dir: dir, group: group}
	r, err := New(m.config())
	if err != nil {
		return err
	}
	p, err := r.Exec(context.Background(), id, &runtime.ExecSpec{Args: []string{"/bin/sh", "-c", "sleep 1000 & sleep 1000"}})
	if err != nil {
		return err
	}
	code, err := p.Wait(context.Background())
	return fmt.Errorf("it ended with %d: %w", code, err)
}

// TestExecLeaks: processes leave no descriptors behind, in the agent or in the monitor.
func TestExecLeaks(t *testing.T) {
	m := newMachine(t)
	s := m.subject(t, "crun")
	s.Start(t, s.Spec(0, s.Forever))
	monitorPid := s.Runtime.(*Runtime).monitorPid(t)
	count := func(pid any) int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%v/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	inside(t, s, runtimetest.ID(0), runtime.ExecSpec{}, "true")
	ours, theirs := count("self"), count(monitorPid)
	for i := range 20 {
		inside(t, s, runtimetest.ID(0), runtime.ExecSpec{Terminal: i%2 == 0}, "true")
		if _, err := s.Runtime.Exec(within(t), runtimetest.ID(0), &runtime.ExecSpec{Args: []string{"/none"}, Terminal: i%2 == 0}); err == nil {
			t.Error("it was run")
		}
	}
	waitFor(t, func() bool { return count("self") <= ours && count(monitorPid) <= theirs })
}

func BenchmarkExec(b *testing.B) {
	m := newMachine(b)
	r := m.open(b)
	spec := &runtime.Spec{ID: runtimetest.ID(0), Image: m.image, Args: []string{"sleep", "1000"}}
	if _, err := r.Start(within(b), spec); err != nil {
		b.Fatal(err)
	}
	pid := r.monitorPid(b)
	monitor, agent := cpuTime(b, pid), cpuTime(b, os.Getpid())
	for b.Loop() {
		p, err := r.Exec(within(b), spec.ID, &runtime.ExecSpec{Args: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		if code, err := p.Wait(within(b)); err != nil || code != 0 {
			b.Fatal(code, err)
		}
	}
	b.ReportMetric(float64((cpuTime(b, os.Getpid())-agent).Microseconds())/1e3/float64(b.N), "agent-ms/op")
	b.ReportMetric(float64((cpuTime(b, pid)-monitor).Microseconds())/1e3/float64(b.N), "monitor-ms/op")
}

// slowWriter takes nothing until it is released.
type slowWriter struct {
	syncBuffer
	released chan struct{}
}

func (s *slowWriter) Write(p []byte) (int, error) {
	<-s.released
	return s.syncBuffer.Write(p)
}

// TestExecSlowReader: who takes the output slowly has all of it, also what is taken long after the process's end.
func TestExecSlowReader(t *testing.T) {
	m := newMachine(t)
	s := m.subject(t, "crun")
	s.Start(t, s.Spec(0, s.Forever))
	out := &slowWriter{released: make(chan struct{})}
	// More than is read at once, and no more than a pipe holds beside that.
	p, err := s.Runtime.Exec(within(t), runtimetest.ID(0), &runtime.ExecSpec{Args: []string{"/bin/sh", "-c", "yes 123456789 | head -c 60000; echo end"}, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	<-p.(*process).exec.Done()
	time.Sleep(drainTimeout + 200*time.Millisecond)
	close(out.released)
	if code, err := p.Wait(within(t)); err != nil || code != 0 {
		t.Errorf("it ended with %d, %v", code, err)
	}
	if got := out.String(); len(got) != 60004 || !strings.HasSuffix(got, "end\n") {
		t.Errorf("%d bytes have come", len(got))
	}
}
