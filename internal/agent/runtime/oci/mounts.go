package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// maskedPaths and readonlyPaths are Docker's.
// https://github.com/moby/moby/blob/master/daemon/pkg/oci/defaults.go
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// mounts are Docker's and then those asked for, the outer before the inner.
func (h *host) mounts(s *runtime.Spec) ([]specs.Mount, error) {
	access := "ro"
	if s.Privileged {
		access = "rw"
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{access, "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	if !s.NoShm {
		mounts = append(mounts, shm(s))
	}
	if s.Init {
		mounts = append(mounts, specs.Mount{Destination: initPath, Type: "bind", Source: h.init, Options: []string{"bind", "ro"}})
	}
	for _, t := range s.Linux.Tmpfs {
		m, err := tmpfs(t)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	for _, m := range s.Mounts {
		if m.Type != "" {
			m, err := fileSystem(m)
			if err != nil {
				return nil, err
			}
			mounts = append(mounts, m)
			continue
		}
		if !filepath.IsAbs(m.Source) || !path.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
			return nil, fmt.Errorf("cannot mount %q at %q: both must be absolute paths", m.Source, m.Target)
		}
		// The kernel's word for this, by way of the OCI runtime, would not say which.
		if _, err := os.Stat(m.Source); err != nil {
			return nil, fmt.Errorf("cannot mount: %w", err)
		}
		access := "rw"
		if m.ReadOnly {
			access = "ro"
		}
		mounts = append(mounts, specs.Mount{Destination: path.Clean(m.Target), Type: "bind", Source: m.Source, Options: []string{"rbind", "rprivate", access}})
	}
	return mounts, nil
}

// shm is /dev/shm: a file system of its own, or the machine's, or that of another container, whose place the monitor fills in.
func shm(s *runtime.Spec) specs.Mount {
	const path = "/dev/shm"
	shared := []string{"bind", "rprivate", "nosuid", "noexec", "nodev"}
	switch s.IpcNS {
	case "":
		return specs.Mount{Destination: path, Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + shmSize(s)}}
	case ofHost:
		return specs.Mount{Destination: path, Type: "bind", Source: path, Options: shared}
	}
	return specs.Mount{Destination: path, Type: "bind", Options: shared}
}

// device is a number of a character device; -1 is any.
type device struct{ major, minor int64 }

// deviceRules let a container use the devices that Docker lets it use, and make any node.
func deviceRules(privileged bool) []specs.LinuxDeviceCgroup {
	if privileged {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	rules := []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"}, {Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "b", Access: "m"},
	}
	// null, zero, full, random, urandom, tty, console, ptmx, pts
	for _, d := range []device{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}} {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d.major, Access: "rwm"}
		if d.minor >= 0 {
			rule.Minor = &d.minor
		}
		rules = append(rules, rule)
	}
	return rules
}

// hostDevices are the machine's devices, which a privileged container has, as with Docker.
func hostDevices() ([]specs.LinuxDevice, error) {
	var devices []specs.LinuxDevice
	err := filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev":
				return fs.SkipDir
			}
			return nil
		}
		if d.Type()&fs.ModeDevice == 0 || d.Name() == "console" || own[strings.TrimPrefix(path, "/dev/")] {
			return nil
		}
		device, err := hostDevice(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			devices = append(devices, device)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the machine's devices: %w", err)
	}
	return devices, nil
}

// own are the devices that every container has by the OCI runtime.
var own = map[string]bool{"null": true, "zero": true, "full": true, "random": true, "urandom": true, "tty": true, "ptmx": true}

func hostDevice(path string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return specs.LinuxDevice{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	kind, mode := "c", fs.FileMode(st.Mode&0o777)
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		kind = "b"
	}
	return specs.LinuxDevice{
		Path: path, Type: kind, Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))),
		FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
	}, nil
}
