package taskdef

import (
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// kernelCapabilities are the names that capabilities can be added and dropped by.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html
var kernelCapabilities = []string{
	"ALL", "AUDIT_CONTROL", "AUDIT_WRITE", "BLOCK_SUSPEND", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK",
	"IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE",
	"SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM",
}

func validateCapabilities(c *ecs.ContainerDefinition) error {
	if c.LinuxParameters == nil || c.LinuxParameters.Capabilities == nil {
		return nil
	}
	k := c.LinuxParameters.Capabilities
	for _, name := range slices.Concat(k.Add, k.Drop) {
		if !slices.Contains(kernelCapabilities, name) {
			return refuse("Invalid 'capabilities' setting for container '%s': %s.", c.Name, name)
		}
	}
	return nil
}

// fargateCapabilities names what is added that Fargate does not add, or is "".
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html
func fargateCapabilities(c *ecs.ContainerDefinition) string {
	if c.LinuxParameters == nil || c.LinuxParameters.Capabilities == nil {
		return ""
	}
	for _, name := range c.LinuxParameters.Capabilities.Add {
		if name != "SYS_PTRACE" {
			return name
		}
	}
	return ""
}

// validateFirelens holds log drivers against the router; the first two texts are ECS's own.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_firelens.html
func validateFirelens(d *ecs.TaskDefinition) error {
	routers, users := 0, 0
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if c.FirelensConfiguration != nil {
			routers++
		}
		if c.LogConfiguration != nil && c.LogConfiguration.LogDriver == "awsfirelens" {
			users++
		}
	}
	switch {
	case users > 0 && routers == 0:
		return refuse("When awsfirelens log driver is specified in log configuration, a firelens configuration object must be configured in one of the containers.")
	case routers > 0 && users == 0:
		return refuse("When a firelensConfiguration object is specified, at least one container has to be configured with the awsfirelens log driver.")
	case routers > 1:
		return refuse("Only one container can have a firelensConfiguration object.")
	}
	return nil
}

// fargateWindows says why a definition for Windows is none for Fargate: only from 1 to 4 vCPU are offered.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
func fargateWindows(d *ecs.TaskDefinition, cpu int32) bool {
	p := d.RuntimePlatform
	return p != nil && strings.HasPrefix(p.OperatingSystemFamily, "WINDOWS") && (cpu < 1024 || cpu > 4096)
}
