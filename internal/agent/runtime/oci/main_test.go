package oci

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/agent/monitor"
	"roadstead.dev/roadstead/internal/agent/monitor/link"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

// TestMain is also the monitor: the tests' Runtimes start this program with these arguments.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "test-monitor" {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		// idle is in the tests that are about it.
		idle, _ := os.ReadFile(filepath.Join(os.Args[2], "idle"))
		exit, _ := time.ParseDuration(string(idle))
		if err := monitor.Run(context.Background(), monitor.Config{Dir: os.Args[2], IdleExit: exit, Log: log}); err != nil {
			log.Error("monitor", "error", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "test-agent" {
		if err := agent(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 5 && os.Args[1] == "test-exec" {
		fmt.Fprintln(os.Stderr, execAgent(os.Args[2], os.Args[3], os.Args[4]))
		os.Exit(1)
	}
	if len(os.Args) == 4 && os.Args[1] == "test-bare" {
		n, _ := strconv.Atoi(os.Args[3])
		if err := bare(os.Args[2], n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// machine is a directory and a cgroup in which a test's containers are, and an image.
type machine struct {
	dir, group string
	image      *runtime.Image
}

var machines atomic.Int64

func need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: apt-get install %s", program, pkg)
	}
	return path
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("containers need root")
	}
	m := &machine{dir: t.TempDir(), group: fmt.Sprintf("/roadstead-test-%d-%d", os.Getpid(), machines.Add(1))}
	m.image = busyboxImage(t, filepath.Join(m.dir, "image"))
	before := census(t, m)
	t.Cleanup(func() { m.clear(t, before) })
	return m
}

// busyboxImage is an image of busybox and a few files, by hand.
func busyboxImage(t testing.TB, dir string) *runtime.Image {
	t.Helper()
	busybox, err := os.ReadFile(need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	base, top := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	for _, d := range []string{base + "/bin", base + "/tmp", base + "/home/eve", top + "/etc"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, content string, mode os.FileMode) {
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(base+"/bin/busybox", string(busybox), 0o755)
	for _, name := range strings.Fields("sh sleep cat echo ls id env dd seq head yes true false hostname pwd mount umount touch mkdir wc tail ip nproc ulimit kill ps readlink tty stat printf grep tr sync chroot test") {
		if err := os.Symlink("busybox", base+"/bin/"+name); err != nil {
			t.Fatal(err)
		}
	}
	write(top+"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\neve:x:1234:2345:Eve:/home/eve:/bin/sh\n", 0o644)
	write(top+"/etc/group", "root:x:0:\neves:x:2345:\naudio:x:29:eve,root\nvideo:x:44:other\n", 0o644)
	return &runtime.Image{Name: "busybox", Layers: []string{top, base}}
}

func (m *machine) config() Config {
	return Config{Dir: m.monitorDir(), CgroupRoot: m.group, Command: []string{"/proc/self/exe", "test-monitor", m.monitorDir()}, Log: slog.New(slog.DiscardHandler)}
}

func (m *machine) open(t testing.TB) *Runtime {
	t.Helper()
	r, err := New(m.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func (m *machine) monitorDir() string { return filepath.Join(m.dir, "monitor") }

// clear ends all that a test left running and sees that nothing remains.
func (m *machine) clear(t testing.TB, before map[string]int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := m.open(t)
	list, err := r.List(ctx)
	if err != nil {
		t.Errorf("List: %v", err)
	}
	for _, status := range list {
		if err := r.client.Call(ctx, link.MethodDelete, link.DeleteRequest{ID: status.ID, Force: true}, nil); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	m.settle(t, before, "1 processes") // the monitor
	if err := r.Shutdown(ctx, false); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	m.settle(t, before, "")
	if t.Failed() {
		log, _ := os.ReadFile(filepath.Join(m.monitorDir(), "monitor.log"))
		t.Logf("the monitor's log:\n%s", log)
	}
}

// settle waits until what is there is as before but for the difference.
func (m *machine) settle(t testing.TB, before map[string]int, want string) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		diff := difference(before, census(t, m))
		if diff == want {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind: %q, where %q was to be", diff, want)
			return
		}
	}
}

// census counts what containers could leave behind that bears the machine's name.
func census(t testing.TB, m *machine) map[string]int {
	count := map[string]int{}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	count["mounts"] = strings.Count(string(mounts), m.dir)
	groups, err := filepath.Glob("/sys/fs/cgroup/*" + m.group)
	if err != nil {
		t.Fatal(err)
	}
	count["cgroups"] = len(groups)
	if _, err := os.Stat("/sys/fs/cgroup" + m.group); err == nil {
		count["cgroups"]++
	}
	cmdlines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range cmdlines {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), m.dir) {
			count["processes"]++
		}
		if data, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup")); err == nil && strings.Contains(string(data), m.group+"/") {
			count["processes in cgroups"]++
		}
	}
	for _, dir := range []string{"containers", "run/bundles", "run/state/crun", "run/state/runc"} {
		entries, err := os.ReadDir(filepath.Join(m.monitorDir(), dir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		count[dir] = len(entries)
	}
	return count
}

func difference(before, after map[string]int) string {
	var diffs []string
	for what, n := range after {
		if n != before[what] {
			diffs = append(diffs, fmt.Sprintf("%d %s", n-before[what], what))
		}
	}
	return strings.Join(diffs, ", ")
}

// eachRuntime runs a test on every OCI runtime.
func eachRuntime(t *testing.T, test func(t *testing.T, s *runtimetest.Subject, m *machine)) {
	for _, name := range []string{"crun", "runc"} {
		t.Run(name, func(t *testing.T) {
			need(t, name, name)
			m := newMachine(t)
			test(t, m.subject(t, name), m)
		})
	}
}

func (m *machine) subject(t *testing.T, ociRuntime string) *runtimetest.Subject {
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	r := m.open(t)
	return &runtimetest.Subject{
		Runtime: r, Image: m.image, OCIRuntime: ociRuntime,
		Reopen: func(t *testing.T) runtime.Runtime {
			r.Close()
			r = m.open(t)
			return r
		},
		Exit: func(code int) []string { return sh(fmt.Sprint("exit ", code)) }, Forever: []string{"sleep", "1000"},
		// A first process has no default action for SIGTERM.
		Stubborn: []string{"sleep", "1000"}, Print: []string{"echo", "hello"}, Printed: "hello",
		OOM: []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"}, Fail: []string{"/no/such/program"},
	}
}

func TestSuite(t *testing.T) {
	for _, name := range []string{"crun", "runc"} {
		t.Run(name, func(t *testing.T) {
			need(t, name, name)
			runtimetest.Run(t, func(t *testing.T) *runtimetest.Subject { return newMachine(t).subject(t, name) })
		})
	}
}
