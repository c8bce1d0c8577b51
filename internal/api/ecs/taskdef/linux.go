package taskdef

import (
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// kernelCapabilities are those that can be added and dropped.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html
var kernelCapabilities = []string{
	"ALL", "AUDIT_CONTROL", "AUDIT_WRITE", "BLOCK_SUSPEND", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK",
	"IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE",
	"SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM",
}

// tmpfsOptions are what tmpfs mounts take; mode, uid, gid, nr_inodes, nr_blocks and mpol may have a value behind an equals sign.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tmpfs.html
var tmpfsOptions = []string{
	"defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "remount", "mand",
	"nomand", "atime", "noatime", "diratime", "nodiratime", "bind", "rbind", "unbindable", "runbindable", "private", "rprivate",
	"shared", "rshared", "slave", "rslave", "relatime", "norelatime", "strictatime", "nostrictatime", "mode", "uid", "gid",
	"nr_inodes", "nr_blocks", "mpol",
}

func validateLinux(c *ecs.ContainerDefinition) error {
	l := c.LinuxParameters
	if l == nil {
		return nil
	}
	bad := func(field string) error {
		return refuse("Invalid '%s' setting for container '%s'.", field, c.Name)
	}
	if k := l.Capabilities; k != nil {
		for _, name := range slices.Concat(k.Add, k.Drop) {
			if !slices.Contains(kernelCapabilities, name) {
				return refuse("Invalid 'capabilities' setting for container '%s': %s.", c.Name, name)
			}
		}
	}
	for _, d := range l.Devices {
		if d.HostPath == "" || slices.ContainsFunc(d.Permissions, func(p string) bool { return p != "read" && p != "write" && p != "mknod" }) {
			return bad("devices")
		}
	}
	for _, t := range l.Tmpfs {
		if t.ContainerPath == "" || t.Size <= 0 || slices.ContainsFunc(t.MountOptions, func(o string) bool {
			name, _, _ := strings.Cut(o, "=")
			return !slices.Contains(tmpfsOptions, name)
		}) {
			return bad("tmpfs")
		}
	}
	switch {
	case l.SharedMemorySize != nil && *l.SharedMemorySize < 0:
		return bad("sharedMemorySize")
	case l.MaxSwap != nil && *l.MaxSwap < 0:
		return bad("maxSwap")
	case l.Swappiness != nil && (*l.Swappiness < 0 || *l.Swappiness > 100):
		return bad("swappiness")
	}
	return nil
}

// validateSystemControls refuses those of a namespace that the container shares with the host.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SystemControl.html
func validateSystemControls(d *ecs.TaskDefinition) error {
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		for _, s := range c.SystemControls {
			switch {
			case d.NetworkMode == ecs.NetworkHost && strings.HasPrefix(s.Namespace, "net."):
				return refuse("Invalid 'systemControls' setting for container '%s'. '%s' is not supported when networkMode=host.", c.Name, s.Namespace)
			case d.IpcMode == "host" && (strings.HasPrefix(s.Namespace, "kernel.") || strings.HasPrefix(s.Namespace, "fs.mqueue.")):
				return refuse("Invalid 'systemControls' setting for container '%s'. '%s' is not supported when ipcMode=host.", c.Name, s.Namespace)
			}
		}
	}
	return nil
}

// validateAccelerators wants those that containers require to be among the task's.
func validateAccelerators(d *ecs.TaskDefinition) error {
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		for _, r := range c.ResourceRequirements {
			if r.Type == "InferenceAccelerator" && !slices.ContainsFunc(d.InferenceAccelerators, func(a ecs.InferenceAccelerator) bool { return a.DeviceName == r.Value }) {
				return refuse("Invalid 'resourceRequirements' setting for container '%s'. Unknown inference accelerator: '%s'", c.Name, r.Value)
			}
		}
	}
	return nil
}
