package oci

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// ofHost is runtime.Spec.NetNS for the machine's network, and PidNS and IpcNS for its processes and its shared memory.
const ofHost = "host"

// joined is the id of the container whose namespace is joined, if one is.
func joined(ns string) string {
	if ns == ofHost {
		return ""
	}
	return ns
}

// defaultPath is the PATH of a container whose image and definition set none, as Docker has it.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// initPath is where a container sees its init, as with Docker.
const initPath = "/sbin/docker-init"

// spec makes an OCI runtime configuration with Docker's defaults. What depends on the image's files (the user's ids, HOME)
// is left to the monitor, which has it mounted.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md
func (h *host) spec(s *runtime.Spec, netNS string) (*specs.Spec, error) {
	process, err := h.process(s)
	if err != nil {
		return nil, err
	}
	resources, err := h.resources(s)
	if err != nil {
		return nil, err
	}
	hostname := h.hostnameOf(s)
	spec := &specs.Spec{
		Version: "1.0.2", Process: process, Root: &specs.Root{Path: "rootfs", Readonly: s.ReadonlyRootfs},
		Hostname: hostname,
		Linux:    &specs.Linux{Resources: resources, Sysctl: s.Sysctls, Namespaces: h.namespaces(s, netNS)},
	}
	process.Env = environment(s, hostname)
	if err := h.secure(s, spec); err != nil {
		return nil, err
	}
	if spec.Mounts, err = h.mounts(s); err != nil {
		return nil, err
	}
	if s.Privileged {
		spec.Linux.Devices, err = hostDevices()
		return spec, err
	}
	if err := addDevices(s.Linux.Devices, spec); err != nil {
		return nil, err
	}
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = maskedPaths, readonlyPaths
	return spec, nil
}

// hostnameOf is what is asked for, or Docker's default: the machine's with its network, else the short id.
func (h *host) hostnameOf(s *runtime.Spec) string {
	switch {
	case s.Hostname != "":
		return s.Hostname
	case s.NetNS == ofHost:
		return h.hostname
	}
	return s.ID[:min(12, len(s.ID))]
}

func (h *host) process(s *runtime.Spec) (*specs.Process, error) {
	caps, err := capabilities(h.caps, s.Privileged, s.CapAdd, s.CapDrop)
	if err != nil {
		return nil, err
	}
	p := &specs.Process{
		Terminal: s.Terminal, Args: s.Args, Cwd: s.Cwd,
		Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if !path.IsAbs(p.Cwd) {
		return nil, fmt.Errorf("the working directory %q is not an absolute path", s.Cwd)
	}
	p.Cwd = path.Clean(p.Cwd)
	if s.Init {
		if h.init == "" {
			return nil, errors.New("initProcessEnabled needs an init program on the machine: install tini, catatonit or docker.io")
		}
		p.Args = append([]string{initPath, "--"}, s.Args...)
	}
	for _, u := range s.Ulimits {
		limit, err := h.rlimit(u.Name, u.Soft, u.Hard)
		if err != nil {
			return nil, err
		}
		p.Rlimits = append(p.Rlimits, limit)
	}
	return p, nil
}

// environment puts Docker's own variables before those asked for, which override them.
func environment(s *runtime.Spec, hostname string) []string {
	set := map[string]bool{}
	for _, e := range s.Env {
		name, _, _ := strings.Cut(e, "=")
		set[name] = true
	}
	own := []string{defaultPath, "HOSTNAME=" + hostname}
	if s.Terminal {
		own = append(own, "TERM=xterm")
	}
	env := make([]string, 0, len(own)+len(s.Env))
	for _, e := range own {
		if name, _, _ := strings.Cut(e, "="); !set[name] {
			env = append(env, e)
		}
	}
	for _, e := range s.Env {
		if strings.Contains(e, "=") { // Docker takes a bare name as one to leave unset
			env = append(env, e)
		}
	}
	return env
}

// namespaces leaves the paths of those of other containers to the monitor, which knows their processes.
func (h *host) namespaces(s *runtime.Spec, netNS string) []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}}
	if s.PidNS != ofHost {
		list = append(list, specs.LinuxNamespace{Type: specs.PIDNamespace})
	}
	if s.IpcNS != ofHost {
		list = append(list, specs.LinuxNamespace{Type: specs.IPCNamespace})
	}
	if netNS != ofHost {
		list = append(list, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: netNS})
	}
	if h.unified { // as Docker: on v1 the container sees the machine's names of its cgroups
		list = append(list, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return list
}

// cpuPeriod is Docker's, in microseconds, and minQuota the least that the kernel takes.
const (
	cpuPeriod = 100_000
	minQuota  = 1_000
)

// minimalShares is the least that the kernel takes. Docker gives it where ECS says 0.
const minimalShares = 2

// minMemory is Docker's least limit: an OCI runtime does not start within less.
const minMemory = 6 << 20

func (h *host) resources(s *runtime.Spec) (*specs.LinuxResources, error) {
	shares := max(s.CPUShares, minimalShares)
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}, Devices: deviceRules(s.Privileged)}
	if s.CPUQuota > 0 {
		quota, period := max(int64(s.CPUQuota*cpuPeriod+0.5), minQuota), uint64(cpuPeriod)
		r.CPU.Quota, r.CPU.Period = &quota, &period
	}
	if s.MemoryLimit > 0 && s.MemoryLimit < minMemory {
		return nil, fmt.Errorf("the memory limit of %d bytes is below the least of 6 MiB", s.MemoryLimit)
	}
	if s.MemoryLimit > 0 || s.MemoryReservation > 0 {
		r.Memory = &specs.LinuxMemory{}
	}
	if s.MemoryLimit > 0 {
		limit := s.MemoryLimit
		r.Memory.Limit = &limit
		if h.swapLimited {
			r.Memory.Swap = &limit
		}
	}
	if err := h.swap(s, r); err != nil {
		return nil, err
	}
	if s.MemoryReservation > 0 {
		reservation := s.MemoryReservation
		r.Memory.Reservation = &reservation
	}
	if s.PidsLimit > 0 {
		limit := s.PidsLimit
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return r, nil
}
