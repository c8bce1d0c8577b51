package oci

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Stats implements runtime.Meter. It reads the container's cgroup, wherever below the root that is, and the interfaces of its
// network namespace, unless that is the machine's.
func (r *Runtime) Stats(_ context.Context, id string) (*runtime.Stats, error) {
	group, err := r.groups.Find(r.cfg.CgroupRoot, id)
	if err != nil {
		return nil, fmt.Errorf("measure container %s: %w", id, notFound(err))
	}
	s := &runtime.Stats{Read: time.Now().UTC()}
	s.CPU.OnlineCPUs = goruntime.NumCPU()
	if s.CPU.SystemUsage, err = systemCPU(); err == nil {
		if r.groups.Unified() {
			err = statsV2(group, s)
		} else {
			err = statsV1(group, s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("measure container %s: %w", id, notFound(err))
	}
	pids, err := r.groups.Processes(group)
	if err != nil || len(pids) == 0 {
		return nil, fmt.Errorf("measure container %s: it has ended: %w", id, runtime.ErrNotFound)
	}
	s.Networks, err = interfaces(pids[0])
	return s, notFound(err)
}

// notFound says ErrNotFound of what has gone.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return fmt.Errorf("%w: %w", runtime.ErrNotFound, err)
	}
	return err
}

func statsV1(group string, s *runtime.Stats) error {
	c, err := cgroup1.Load(cgroup1.StaticPath(group))
	if err != nil {
		return err
	}
	m, err := c.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		return err
	}
	s.CPU.Usage.Total, s.CPU.Usage.PerCPU = m.GetCPU().GetUsage().GetTotal(), m.GetCPU().GetUsage().GetPerCPU()
	s.CPU.Usage.Kernel, s.CPU.Usage.User = m.GetCPU().GetUsage().GetKernel(), m.GetCPU().GetUsage().GetUser()
	throttling := m.GetCPU().GetThrottling()
	s.CPU.Throttling.Periods, s.CPU.Throttling.Throttled, s.CPU.Throttling.Time = throttling.GetPeriods(), throttling.GetThrottledPeriods(), throttling.GetThrottledTime()
	memory := m.GetMemory()
	s.Memory = runtime.MemoryStats{
		Usage: memory.GetUsage().GetUsage(), MaxUsage: memory.GetUsage().GetMax(), Limit: memory.GetUsage().GetLimit(),
		Stats: map[string]uint64{
			"cache": memory.GetCache(), "rss": memory.GetRSS(), "mapped_file": memory.GetMappedFile(), "pgfault": memory.GetPgFault(), "pgmajfault": memory.GetPgMajFault(),
			"active_anon": memory.GetActiveAnon(), "inactive_anon": memory.GetInactiveAnon(), "active_file": memory.GetActiveFile(), "inactive_file": memory.GetInactiveFile(),
			"total_cache": memory.GetTotalCache(), "total_rss": memory.GetTotalRSS(), "total_inactive_file": memory.GetTotalInactiveFile(),
			"hierarchical_memory_limit": memory.GetHierarchicalMemoryLimit(),
		},
	}
	s.PIDs.Current = m.GetPids().GetCurrent()
	for _, e := range m.GetBlkio().GetIoServiceBytesRecursive() {
		s.BlockIO.Bytes = append(s.BlockIO.Bytes, runtime.BlockIO{Major: e.GetMajor(), Minor: e.GetMinor(), Op: e.GetOp(), Value: e.GetValue()})
	}
	for _, e := range m.GetBlkio().GetIoServicedRecursive() {
		s.BlockIO.Ops = append(s.BlockIO.Ops, runtime.BlockIO{Major: e.GetMajor(), Minor: e.GetMinor(), Op: e.GetOp(), Value: e.GetValue()})
	}
	return nil
}

func statsV2(group string, s *runtime.Stats) error {
	c, err := cgroup2.Load(group)
	if err != nil {
		return err
	}
	m, err := c.Stat()
	if err != nil {
		return err
	}
	const microsecond = 1000
	cpu := m.GetCPU()
	s.CPU.Usage.Total, s.CPU.Usage.Kernel, s.CPU.Usage.User = cpu.GetUsageUsec()*microsecond, cpu.GetSystemUsec()*microsecond, cpu.GetUserUsec()*microsecond
	s.CPU.Throttling.Periods, s.CPU.Throttling.Throttled, s.CPU.Throttling.Time = cpu.GetNrPeriods(), cpu.GetNrThrottled(), cpu.GetThrottledUsec()*microsecond
	memory := m.GetMemory()
	s.Memory = runtime.MemoryStats{
		Usage: memory.GetUsage(), MaxUsage: memory.GetMaxUsage(), Limit: memory.GetUsageLimit(),
		Stats: map[string]uint64{
			"anon": memory.GetAnon(), "file": memory.GetFile(), "file_mapped": memory.GetFileMapped(), "pgfault": memory.GetPgfault(), "pgmajfault": memory.GetPgmajfault(),
			"active_anon": memory.GetActiveAnon(), "inactive_anon": memory.GetInactiveAnon(), "active_file": memory.GetActiveFile(), "inactive_file": memory.GetInactiveFile(),
			"slab": memory.GetSlab(), "sock": memory.GetSock(), "shmem": memory.GetShmem(),
		},
	}
	s.PIDs.Current = m.GetPids().GetCurrent()
	for _, e := range m.GetIo().GetUsage() {
		s.BlockIO.Bytes = append(s.BlockIO.Bytes, runtime.BlockIO{Major: e.GetMajor(), Minor: e.GetMinor(), Op: "read", Value: e.GetRbytes()},
			runtime.BlockIO{Major: e.GetMajor(), Minor: e.GetMinor(), Op: "write", Value: e.GetWbytes()})
		s.BlockIO.Ops = append(s.BlockIO.Ops, runtime.BlockIO{Major: e.GetMajor(), Minor: e.GetMinor(), Op: "read", Value: e.GetRios()},
			runtime.BlockIO{Major: e.GetMajor(), Minor: e.GetMinor(), Op: "write", Value: e.GetWios()})
	}
	return nil
}

// systemCPU is the processor time that the machine has spent, idle or not, in nanoseconds: the first line of /proc/stat, as
// Docker counts it; see proc_stat(5).
func systemCPU() (uint64, error) {
	const tick = uint64(time.Second) / 100
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var sum uint64
	for _, f := range fields[1:8] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n
	}
	return sum * tick, nil
}

// interfaces counts the traffic of a process's network namespace without its loopback; nil for the machine's own.
func interfaces(pid int) (runtime.NetworkStats, error) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	dir := "/proc/" + strconv.Itoa(pid)
	its, err := os.Readlink(dir + "/ns/net")
	if err != nil || its == own {
		return nil, err
	}
	b, err := os.ReadFile(dir + "/net/dev")
	if err != nil {
		return nil, err
	}
	return parseInterfaces(b)
}

// parseInterfaces reads proc_pid_net(5)'s dev: two lines of headings, and a line of sixteen counters for each interface.
func parseInterfaces(b []byte) (runtime.NetworkStats, error) {
	all := runtime.NetworkStats{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, counters, ok := strings.Cut(lines.Text(), ":")
		if name = strings.TrimSpace(name); !ok || name == "lo" {
			continue
		}
		var n [16]uint64
		fields := strings.Fields(counters)
		if len(fields) != len(n) {
			return nil, fmt.Errorf("interface %s has %d counters", name, len(fields))
		}
		for i, f := range fields {
			var err error
			if n[i], err = strconv.ParseUint(f, 10, 64); err != nil {
				return nil, fmt.Errorf("interface %s: %w", name, err)
			}
		}
		all[name] = runtime.InterfaceStats{
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3], TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11],
		}
	}
	return all, nil
}
