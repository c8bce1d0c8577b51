package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// defaultShm is Docker's size of /dev/shm.
const defaultShm = 64 << 20

func shmSize(s *runtime.Spec) string {
	if s.Linux.ShmSize > 0 {
		return strconv.FormatInt(s.Linux.ShmSize, 10)
	}
	return strconv.Itoa(defaultShm)
}

// swap lets a container use swap beside its memory. Where the kernel cannot limit it and the machine has some, a limit that
// was asked for cannot be kept.
// https://docs.docker.com/engine/containers/resource_constraints/#--memory-swap-details
func (h *host) swap(s *runtime.Spec, r *specs.LinuxResources) error {
	l := s.Linux
	if l.MaxSwap == nil {
		return nil // as at ECS, swappiness is for those that may swap
	}
	switch {
	case s.MemoryLimit <= 0:
		return errors.New("maxSwap needs a limit of memory")
	case h.swapLimited:
		both := s.MemoryLimit + *l.MaxSwap
		r.Memory.Swap = &both
	case machineSwaps():
		return errors.New("this machine's kernel cannot limit swap (cgroup v1 needs swapaccount=1)")
	}
	if l.Swappiness != nil && !h.unified {
		r.Memory.Swappiness = l.Swappiness
	}
	return nil
}

// machineSwaps tells whether there is any swap to be used.
func machineSwaps() bool {
	data, err := os.ReadFile("/proc/swaps")
	return err != nil || strings.Count(string(data), "\n") > 1
}

// tmpfs makes a mount with Docker's defaults, over which its own options go.
// https://docs.docker.com/engine/storage/tmpfs/
func tmpfs(t runtime.Tmpfs) (specs.Mount, error) {
	if !path.IsAbs(t.Target) || path.Clean(t.Target) == "/" {
		return specs.Mount{}, fmt.Errorf("cannot mount a tmpfs at %q", t.Target)
	}
	options := []string{"nosuid", "nodev", "noexec"}
	for _, o := range t.Options {
		if o == "defaults" {
			continue
		}
		if opposite := opposites[o]; opposite != "" {
			options = slices.DeleteFunc(options, func(have string) bool { return have == opposite })
		}
		if strings.ContainsAny(o, ",\x00") {
			return specs.Mount{}, fmt.Errorf("tmpfs at %s: option %q", t.Target, o)
		}
		options = append(options, o)
	}
	if t.Size > 0 {
		options = append(options, "size="+strconv.FormatInt(t.Size, 10))
	}
	return specs.Mount{Destination: path.Clean(t.Target), Type: "tmpfs", Source: "tmpfs", Options: options}, nil
}

var opposites = map[string]string{
	"suid": "nosuid", "dev": "nodev", "exec": "noexec", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "rw": "ro", "ro": "rw",
}

// fileSystem makes a mount that is no bind mount. The OCI runtime mounts it in the container's own namespace, so that it goes
// with the container.
func fileSystem(m runtime.Mount) (specs.Mount, error) {
	if !path.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
		return specs.Mount{}, fmt.Errorf("cannot mount %s at %q", m.Type, m.Target)
	}
	options := slices.Clone(m.Options)
	if m.ReadOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Destination: path.Clean(m.Target), Type: m.Type, Source: m.Source, Options: options}, nil
}

// addDevices lets a container have devices, as Docker's --device does: links are followed, and of a directory it has all.
func addDevices(devices []runtime.Device, spec *specs.Spec) error {
	for _, d := range devices {
		source, err := filepath.EvalSymlinks(d.Source)
		if err != nil {
			return fmt.Errorf("device %s: %w", d.Source, err)
		}
		target := d.Target
		if target == "" {
			target = d.Source
		}
		if !path.IsAbs(target) {
			return fmt.Errorf("device %s: %q is not an absolute path", d.Source, target)
		}
		found := false
		err = filepath.WalkDir(source, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.Type()&fs.ModeDevice == 0 {
				return err
			}
			found = true
			device, err := hostDevice(name)
			if err != nil {
				return err
			}
			device.Path = path.Join(target, strings.TrimPrefix(name, source))
			addDevice(spec, device, d.Access)
			return nil
		})
		if err == nil && !found {
			err = errors.New("no device is there")
		}
		if err != nil {
			return fmt.Errorf("device %s: %w", d.Source, err)
		}
	}
	return nil
}

func addDevice(spec *specs.Spec, device specs.LinuxDevice, access string) {
	if access == "" {
		access = "rwm"
	}
	spec.Linux.Devices = slices.DeleteFunc(spec.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == device.Path })
	spec.Linux.Devices = append(spec.Linux.Devices, device)
	major, minor := device.Major, device.Minor
	spec.Linux.Resources.Devices = append(spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
		Allow: true, Type: device.Type, Major: &major, Minor: &minor, Access: access,
	})
}

// securityOption splits KEY:VALUE or KEY=VALUE, both of which Docker takes.
func securityOption(o string) (key, value string) {
	if i := strings.IndexAny(o, ":="); i >= 0 {
		return o[:i], o[i+1:]
	}
	return o, ""
}

func seccompUnconfined(options []string) bool {
	return slices.ContainsFunc(options, func(o string) bool {
		key, value := securityOption(o)
		return key == "seccomp" && value == "unconfined"
	})
}

// secure applies the security options.
// https://docs.docker.com/reference/cli/docker/container/run/#security-opt
func (h *host) secure(s *runtime.Spec, spec *specs.Spec) error {
	var labels []string
	for _, o := range s.Linux.Security {
		key, value := securityOption(o)
		switch {
		case key == "no-new-privileges" && (value == "" || value == "true"):
			spec.Process.NoNewPrivileges = true
		case key == "no-new-privileges" && value == "false", key == "seccomp" && value == "unconfined":
		case key == "apparmor" && value != "" && runtime.HasAppArmor():
			if value != "unconfined" {
				spec.Process.ApparmorProfile = value
			}
		case key == "label" && runtime.HasSELinux():
			labels = append(labels, value)
		default:
			return fmt.Errorf("this machine cannot give the security option %q", o)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	label, err := processLabel(labels)
	spec.Process.SelinuxLabel = label
	return err
}

// processLabel puts an SELinux label together of user:U, role:R, type:T and level:L; disable is none.
func processLabel(parts []string) (string, error) {
	label := []string{"system_u", "system_r", "container_t", "s0"}
	names := []string{"user", "role", "type", "level"}
	for _, p := range parts {
		key, value := securityOption(p)
		if key == "disable" {
			return "", nil
		}
		i := slices.Index(names, key)
		if i < 0 || value == "" {
			return "", fmt.Errorf("label:%s is not a part of an SELinux label", p)
		}
		label[i] = value
	}
	return strings.Join(label, ":"), nil
}
