package oci

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

// entry is a line of a log.
type entry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

func readLog(t testing.TB, path string) []entry {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	for lines := bufio.NewReader(bytes.NewReader(data)); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if len(line) > 0 {
				t.Errorf("%s ends in half an entry: %q", path, line)
			}
			return entries
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil || e.Time.IsZero() {
			t.Fatalf("%s has %q: %v", path, line, err)
		}
		entries = append(entries, e)
	}
}

func text(entries []entry, stream string) string {
	var b strings.Builder
	for _, e := range entries {
		if e.Stream == stream {
			b.WriteString(e.Log)
		}
	}
	return b.String()
}

// output runs a container to its end and gives its status and what it wrote.
func output(t *testing.T, s *runtimetest.Subject, spec *runtime.Spec) (status *runtime.Status, stdout, stderr string) {
	t.Helper()
	spec.Log.Path = filepath.Join(t.TempDir(), "log")
	s.Start(t, spec)
	status = s.Wait(t, spec.ID)
	entries := readLog(t, spec.Log.Path)
	s.Delete(t, spec.ID, false)
	return status, text(entries, "stdout"), text(entries, "stderr")
}

// prints runs a script and compares what it writes.
func prints(t *testing.T, s *runtimetest.Subject, script, want string, change func(*runtime.Spec)) {
	t.Helper()
	spec := s.Spec(0, []string{"sh", "-c", script})
	if change != nil {
		change(spec)
	}
	status, stdout, stderr := output(t, s, spec)
	if diff := cmp.Diff(want, stdout); diff != "" || status.ExitCode != 0 || stderr != "" {
		t.Errorf("%s: code %d, stderr %q, stdout:\n%s", script, status.ExitCode, stderr, diff)
	}
}

func TestUsers(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		const script = "id -u; id -g; id -G; echo $HOME; pwd; echo again > /proc/self/fd/1; grep CapEff /proc/self/status"
		const eff, none = "CapEff:\t00000000a80425fb\n", "CapEff:\t0000000000000000\n"
		for user, want := range map[string]string{
			"":          "0\n0\n0 29\n/root\n/\nagain\n" + eff,
			"eve":       "1234\n2345\n2345 29\n/home/eve\n/\nagain\n" + none,
			"1234":      "1234\n2345\n2345 29\n/home/eve\n/\nagain\n" + none,
			"eve:video": "1234\n44\n44\n/home/eve\n/\nagain\n" + none,
			"7:8":       "7\n8\n8\n/\n/\nagain\n" + none,
		} {
			prints(t, s, script, want, func(spec *runtime.Spec) { spec.User = user })
		}
		spec := s.Spec(0, []string{"true"})
		spec.User = "nobody-here"
		if _, err := s.Runtime.Start(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "nobody-here") {
			t.Errorf("an unknown user: %v", err)
		}
	})
}

// TestHostileImage has an image whose links lead out of it.
func TestHostileImage(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		secret := filepath.Join(m.dir, "secret")
		if err := os.WriteFile(secret, []byte("mallory:x:0:0::/:/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		layer := filepath.Join(m.dir, "hostile")
		if err := os.MkdirAll(layer+"/etc", 0o755); err != nil {
			t.Fatal(err)
		}
		outside := filepath.Join(m.dir, "outside")
		for link, target := range map[string]string{"/etc/passwd": "../../../../../../../.." + secret, "/out": outside, "/up": "../../../../../../.." + outside} {
			if err := os.Symlink(target, layer+link); err != nil {
				t.Fatal(err)
			}
		}
		image := *m.image
		image.Layers = append([]string{layer}, image.Layers...)
		spec := s.Spec(0, []string{"true"})
		spec.Image, spec.User = &image, "mallory"
		if _, err := s.Runtime.Start(context.Background(), spec); err == nil {
			t.Error("a user was read from outside the image")
		}
		for _, cwd := range []string{"/out/a", "/up/b"} {
			spec.User, spec.Cwd = "0", cwd
			if status, err := s.Runtime.Start(context.Background(), spec); err == nil {
				s.Wait(t, status.ID)
				s.Delete(t, status.ID, false)
			}
		}
		if _, err := os.Lstat(outside); !os.IsNotExist(err) {
			t.Errorf("something was made outside the image: %v", err)
		}
	})
}

func TestEnvironmentAndFiles(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		file := filepath.Join(m.dir, "hosts")
		if err := os.WriteFile(file, []byte("127.0.0.1 me\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		prints(t, s, "env | grep -v SHLVL; pwd; hostname; cat /etc/hosts; umask; touch /etc/hosts 2>/dev/null || echo ro", `HOSTNAME=box
HOME=/root
A=b=c
PATH=/bin
PWD=/new/dir
/new/dir
box
127.0.0.1 me
0022
ro
`, func(spec *runtime.Spec) {
			spec.Env, spec.Cwd, spec.Hostname = []string{"PATH=/bin", "A=b=c"}, "/new/dir", "box"
			spec.Mounts = []runtime.Mount{{Source: file, Target: "/etc/hosts", ReadOnly: true}}
		})
		prints(t, s, "touch /x 2>/dev/null || echo ro; ls /sys/kernel >/dev/null && cat /proc/self/oom_score_adj", "ro\n0\n", func(spec *runtime.Spec) { spec.ReadonlyRootfs = true })
		prints(t, s, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/1/limits | grep open; grep -c . /proc/keys; true", "7\nMax open files            100                  200                  files     \n0\n", func(spec *runtime.Spec) {
			spec.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "7"}
			spec.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
		})
	})
}

func TestNetwork(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		prints(t, s, "ip -o link | wc -l; ip -o link | grep -c 'lo: .*UP'", "1\n1\n", nil)
		host, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		prints(t, s, "readlink /proc/self/ns/net", host+"\n", func(spec *runtime.Spec) { spec.NetNS = "host" })
		prints(t, s, "readlink /proc/self/ns/net", host+"\n", func(spec *runtime.Spec) { spec.NetNS = "/proc/self/ns/net" })
	})
}

func TestSecurity(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		const status = "grep -E 'CapBnd|Seccomp:|NoNewPrivs' /proc/self/status"
		prints(t, s, status, "CapBnd:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n", nil)
		// The second time the filter comes from the cache.
		prints(t, s, status+"; mount -t tmpfs x /tmp 2>/dev/null || echo no", "CapBnd:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\nno\n", nil)
		prints(t, s, status, "CapBnd:\t0000000000001001\nNoNewPrivs:\t0\nSeccomp:\t2\n", func(spec *runtime.Spec) {
			spec.CapDrop, spec.CapAdd = []string{"ALL"}, []string{"NET_ADMIN", "CAP_CHOWN"}
		})
		prints(t, s, "mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status; test -e /dev/vda && echo disk", "mounted\nSeccomp:\t0\ndisk\n", func(spec *runtime.Spec) { spec.Privileged = true })
		spec := s.Spec(0, []string{"true"})
		spec.CapAdd = []string{"FLY"}
		if _, err := s.Runtime.Start(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "FLY") {
			t.Errorf("an unknown capability: %v", err)
		}
	})
}

func TestLimits(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		if !readTestHost(t).unified {
			script := "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes cpu/cpu.shares cpu/cpu.cfs_quota_us pids/pids.max"
			prints(t, s, script, "33554432\n16777216\n2\n50000\n17\n", func(spec *runtime.Spec) {
				spec.MemoryLimit, spec.MemoryReservation, spec.CPUQuota, spec.PidsLimit = 32<<20, 16<<20, 0.5, 17
			})
			// The limits above show where the container's own are not set: cgroupfs of v1 tells the least of all above.
			prints(t, s, "grep hierarchical_memory_limit /sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 67108864\n", func(spec *runtime.Spec) {
				spec.CgroupParent, spec.ParentMemoryLimit, spec.ParentCPUQuota = "limits-"+spec.ID[:8], 64<<20, 0.5
			})
			prints(t, s, "cat /sys/fs/cgroup/cpu/cpu.shares", "512\n", func(spec *runtime.Spec) { spec.CPUShares = 512 })
		}
		spec := s.Spec(0, []string{"true"})
		spec.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 1 << 40, Hard: 1 << 40}}
		if _, err := s.Runtime.Start(context.Background(), spec); err == nil {
			t.Error("an impossible ulimit was taken")
		}
	})
}

func TestTerminal(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		spec := s.Spec(0, []string{"sh", "-c", "tty; echo $TERM; exit 3"})
		spec.Terminal = true
		status, stdout, _ := output(t, s, spec)
		quiet := s.Spec(1, spec.Args)
		quiet.Terminal = true
		s.Start(t, quiet)
		if got := s.Wait(t, quiet.ID); got.ExitCode != 3 {
			t.Errorf("without a log: code %d", got.ExitCode)
		}
		if status.ExitCode != 3 || stdout != "/dev/pts/0\r\nxterm\r\n" {
			t.Errorf("code %d, %q", status.ExitCode, stdout)
		}
	})
}

func TestInit(t *testing.T) {
	host := readTestHost(t)
	if host.init == "" {
		t.Fatal("no static init is installed: apt-get install tini")
	}
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		prints(t, s, "readlink /proc/1/exe", "/sbin/docker-init\n", func(spec *runtime.Spec) { spec.Init = true })
		// An init passes signals on, so that a program without handlers ends by them.
		spec := s.Spec(1, []string{"sleep", "1000"})
		spec.Init, spec.Log.Path = true, filepath.Join(t.TempDir(), "log")
		s.Start(t, spec)
		var status *runtime.Status
		for status == nil {
			s.Kill(t, spec.ID, syscall.SIGTERM, false)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			status, _ = s.Runtime.Wait(ctx, spec.ID)
			cancel()
		}
		if status.ExitCode != 143 {
			t.Errorf("code %d", status.ExitCode)
		}
	})
}

func readTestHost(t *testing.T) host {
	r, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return r.host
}

// TestKillAll sends a signal to every process of a container.
func TestKillAll(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		spec := s.Spec(0, []string{"sh", "-c", "trap 'echo first' USR1; (trap 'echo second; exit' USR1; echo ready; while :; do sleep 0.05; done) & echo ready; wait; wait; exit 0"})
		spec.Log.Path = filepath.Join(t.TempDir(), "log")
		s.Start(t, spec)
		for strings.Count(stdoutOf(t, spec.Log.Path), "ready") < 2 {
			time.Sleep(5 * time.Millisecond)
		}
		s.Kill(t, spec.ID, syscall.SIGUSR1, true)
		s.Wait(t, spec.ID)
		if got := text(readLog(t, spec.Log.Path), "stdout"); !strings.Contains(got, "first\n") || !strings.Contains(got, "second\n") {
			t.Errorf("%q", got)
		}
	})
}

// TestLogsWhole writes much, and a last line without its end.
func TestLogsWhole(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		spec := s.Spec(0, []string{"sh", "-c", "seq 1 200000; head -c 50000 /dev/zero | tr '\\0' x; echo; echo err >&2; printf 'ünd <&> \"end'"})
		_, stdout, stderr := output(t, s, spec)
		var want strings.Builder
		for i := range 200000 {
			fmt.Fprintln(&want, i+1)
		}
		want.WriteString(strings.Repeat("x", 50000) + "\nünd <&> \"end")
		if stdout != want.String() || stderr != "err\n" {
			t.Errorf("%d bytes of %d, %q", len(stdout), want.Len(), stderr)
		}
	})
}

func TestRotation(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		path := filepath.Join(t.TempDir(), "log")
		spec := s.Spec(0, []string{"seq", "1", "20000"})
		spec.Log = runtime.LogSpec{Path: path, MaxBytes: 200_000, MaxFiles: 4}
		s.Start(t, spec)
		s.Wait(t, spec.ID)
		var all []entry
		for _, name := range []string{".3", ".2", ".1", ""} {
			info, err := os.Stat(path + name)
			if err != nil || info.Size() > 200_000 {
				t.Fatalf("%s: %v, %v", name, info, err)
			}
			all = append(all, readLog(t, path+name)...)
		}
		if last := all[len(all)-1].Log; last != "20000\n" {
			t.Errorf("it ends in %q", last)
		}
		for i := range all[1:] {
			var a, b int
			fmt.Sscan(all[i].Log, &a)
			fmt.Sscan(all[i+1].Log, &b)
			if b != a+1 {
				t.Fatalf("%d follows %d", b, a)
			}
		}
		if _, err := os.Stat(path + ".4"); !os.IsNotExist(err) {
			t.Errorf("a fifth file: %v", err)
		}
		s.Delete(t, spec.ID, false)
		if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// TestManyLayers has more layers than their paths fit into mount options.
func TestManyLayers(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		image := *m.image
		for i := range 125 {
			layer := filepath.Join(m.dir, "layers", strings.Repeat("long:name,", 10), fmt.Sprint(i))
			if err := os.MkdirAll(layer, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(layer, fmt.Sprintf("f%d", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			image.Layers = append([]string{layer}, image.Layers...)
		}
		prints(t, s, "ls / | grep -c '^f'", "125\n", func(spec *runtime.Spec) { spec.Image = &image })
	})
}
