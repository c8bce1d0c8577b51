package engine

import (
	"strings"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// linux resolves linuxParameters and dockerSecurityOptions. Sizes are MiB in a definition.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html
func linux(spec *runtime.Spec, c *ecs.ContainerDefinition) {
	spec.Linux.Security = c.DockerSecurityOptions
	l := c.LinuxParameters
	if l == nil {
		return
	}
	spec.Init = set(l.InitProcessEnabled)
	if l.Capabilities != nil {
		spec.CapAdd, spec.CapDrop = l.Capabilities.Add, l.Capabilities.Drop
	}
	if l.MaxSwap != nil {
		swap := int64(*l.MaxSwap) * mib
		spec.Linux.MaxSwap = &swap
	}
	if l.Swappiness != nil {
		n := uint64(*l.Swappiness)
		spec.Linux.Swappiness = &n
	}
	if l.SharedMemorySize != nil {
		spec.Linux.ShmSize = int64(*l.SharedMemorySize) * mib
	}
	for _, t := range l.Tmpfs {
		spec.Linux.Tmpfs = append(spec.Linux.Tmpfs, runtime.Tmpfs{Target: t.ContainerPath, Size: int64(t.Size) * mib, Options: t.MountOptions})
	}
	for _, d := range l.Devices {
		spec.Linux.Devices = append(spec.Linux.Devices, runtime.Device{Source: d.HostPath, Target: d.ContainerPath, Access: access(d.Permissions)})
	}
}

// access puts a device's permissions as the kernel writes them; none named are all.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Device.html
func access(permissions []string) string {
	var s strings.Builder
	for _, p := range permissions {
		switch p {
		case "read":
			s.WriteString("r")
		case "write":
			s.WriteString("w")
		case "mknod":
			s.WriteString("m")
		}
	}
	return s.String()
}
