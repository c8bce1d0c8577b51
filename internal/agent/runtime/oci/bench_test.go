package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/cgroup"
	"roadstead.dev/roadstead/internal/agent/monitor/link"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

// BenchmarkBurst measures how long it takes until so many containers run, beside crun alone on the same configuration,
// four at a time and without overlay, output and monitor. The two take turns. Medians are reported.
func BenchmarkBurst(b *testing.B) {
	need(b, "crun", "crun")
	for _, n := range []int{1, 20, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m := newMachine(b)
			r := m.open(b)
			burst(b, r, m, 1) // starts the monitor and has the seccomp filter compiled
			var ours, bare, deletes []time.Duration
			var monitorCPU, agentCPU time.Duration
			for b.Loop() {
				bare = append(bare, bareBurst(b, r, m, n))
				monitor, agent := cpuTime(b, r.monitorPid(b)), cpuTime(b, os.Getpid())
				start, del := burst(b, r, m, n)
				monitorCPU += cpuTime(b, r.monitorPid(b)) - monitor
				agentCPU += cpuTime(b, os.Getpid()) - agent
				ours, deletes = append(ours, start), append(deletes, del)
			}
			b.ReportMetric(float64(monitorCPU.Microseconds())/float64(n*len(ours)), "monitor-cpu-µs/container")
			b.ReportMetric(float64(agentCPU.Microseconds())/float64(n*len(ours)), "agent-cpu-µs/container")
			b.ReportMetric(median(ours), "ms")
			b.ReportMetric(median(bare), "crun-ms")
			b.ReportMetric(median(deletes), "delete-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpuTime is what a process has used of the processors, without its children.
func cpuTime(b *testing.B, pid int) time.Duration {
	var now unix.Timespec
	// The clock of a process, see clock_getcpuclockid(3).
	if err := unix.ClockGettime(int32(^pid<<3|2), &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
}

func (r *Runtime) monitorPid(t testing.TB) int {
	var reply link.HelloReply
	if err := r.client.Call(context.Background(), link.MethodHello, link.Hello{Version: link.Version}, &reply); err != nil {
		t.Fatal(err)
	}
	return reply.Pid
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Microseconds()) / 1000
}

func benchSpec(m *machine, i int) *runtime.Spec {
	return &runtime.Spec{
		ID: runtimetest.ID(i), Image: m.image, Args: []string{"sleep", "1000"}, CgroupParent: fmt.Sprintf("task-%d", i), OCIRuntime: "crun",
		Log: runtime.LogSpec{Path: filepath.Join(m.dir, "logs", strconv.Itoa(i))}, MemoryLimit: 64 << 20,
	}
}

func burst(b *testing.B, r *Runtime, m *machine, n int) (start, del time.Duration) {
	ctx := context.Background()
	var group sync.WaitGroup
	begun := time.Now()
	for i := range n {
		group.Go(func() {
			if _, err := r.Start(ctx, benchSpec(m, i)); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	start = time.Since(begun)
	for i := range n {
		group.Go(func() {
			if err := r.Kill(ctx, runtimetest.ID(i), 9, true); err != nil {
				b.Error(err)
			} else if _, err := r.Wait(ctx, runtimetest.ID(i)); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	begun = time.Now()
	for i := range n {
		group.Go(func() {
			if err := r.Delete(ctx, runtimetest.ID(i), false); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	return start, time.Since(begun)
}

// bareBurst does the same with crun alone, in a process with a mount namespace of its own.
func bareBurst(b *testing.B, r *Runtime, m *machine, n int) time.Duration {
	for i := range n {
		spec := benchSpec(m, i)
		req, err := r.request(spec, "")
		if err != nil {
			b.Fatal(err)
		}
		var config map[string]any
		if err := json.Unmarshal(req.Config, &config); err != nil {
			b.Fatal(err)
		}
		config["root"] = map[string]any{"path": m.image.Layers[1]}
		config["process"].(map[string]any)["user"] = map[string]any{"uid": 0, "gid": 0}
		data, err := json.Marshal(config)
		if err != nil {
			b.Fatal(err)
		}
		dir := filepath.Join(m.dir, "bare", strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "test-bare", filepath.Join(m.dir, "bare"), strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(out)))
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// bare is the process of bareBurst.
func bare(dir string, n int) error {
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	if path := cgroup.HybridMount(); path != "" {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return err
		}
	}
	crun := func(args ...string) {
		cmd := exec.Command("crun", append([]string{"--root", filepath.Join(dir, "state")}, args...)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, args, err)
			os.Exit(1)
		}
	}
	each := func(f func(i int)) {
		work := make(chan int)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range work {
					f(i)
				}
			})
		}
		for i := range n {
			work <- i
		}
		close(work)
		group.Wait()
	}
	begun := time.Now()
	each(func(i int) {
		bundle := filepath.Join(dir, strconv.Itoa(i))
		crun("run", "--detach", "--bundle", bundle, "--pid-file", filepath.Join(bundle, "pid"), fmt.Sprint("bare", i))
	})
	elapsed := time.Since(begun)
	each(func(i int) { crun("delete", "--force", fmt.Sprint("bare", i)) })
	fmt.Println(elapsed)
	return nil
}
