package taskdef

import (
	"fmt"
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
)

// fargateMemory gives, for each cpu size in units, the least and the largest memory and the step, in MiB.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
var fargateMemory = map[int32]struct{ low, high, step int32 }{
	256:       {512, 2048, 1024},
	512:       {1024, 4096, 1024},
	1024:      {2048, 8192, 1024},
	2048:      {4096, 16384, 1024},
	4096:      {8192, 30720, 1024},
	8192:      {16384, 61440, 4096},
	16 * 1024: {32768, 122880, 8192},
}

// validateFargate applies Fargate's rules where a definition says that it is for Fargate.
func validateFargate(d *ecs.TaskDefinition) error {
	if slices.Contains(d.RequiresCompatibilities, ecs.LaunchFargate) {
		if reason := fargateReason(d); reason != "" {
			return refuse("%s", reason)
		}
	}
	if slices.Contains(d.RequiresCompatibilities, ecs.LaunchExternal) {
		if reason := externalReason(d); reason != "" {
			return refuse("%s", reason)
		}
	}
	return nil
}

// fargateReason says why a definition cannot run on Fargate; "" if it can.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
func fargateReason(d *ecs.TaskDefinition) string {
	cpu, hasCPU := ecs.CPUUnits(d.Cpu)
	memory, hasMemory := ecs.MemoryMiB(d.Memory)
	switch {
	case d.NetworkMode != ecs.NetworkAwsvpc:
		return "Fargate only supports network mode ‘awsvpc’."
	case !hasCPU:
		return "Fargate requires that 'cpu' be defined at the task level."
	case !hasMemory:
		return "Fargate requires that 'memory' be defined at the task level."
	case !fargateSize(cpu, memory) || fargateWindows(d, cpu):
		return fmt.Sprintf("No Fargate configuration exists for given values: %d CPU, %d memory. See the Amazon ECS documentation for the valid values.", cpu, memory)
	case d.IpcMode != "":
		return "Tasks using the Fargate launch type do not support ipcMode."
	case d.PidMode == "host":
		return "Fargate compatible task definitions do not support pidMode host."
	case len(d.PlacementConstraints) > 0:
		return "Fargate compatible task definitions do not support placement constraints."
	case len(d.InferenceAccelerators) > 0:
		return "Fargate compatible task definitions do not support inference accelerators."
	}
	for i := range d.Volumes {
		v := &d.Volumes[i]
		if v.DockerVolumeConfiguration != nil || v.FsxWindowsFileServerVolumeConfiguration != nil {
			return "Fargate compatible task definitions do not support this type of volume."
		}
		if v.Host != nil && v.Host.SourcePath != "" {
			return "Fargate compatible task definitions do not support sourcePath."
		}
	}
	for i := range d.ContainerDefinitions {
		if reason := fargateContainer(d, &d.ContainerDefinitions[i]); reason != "" {
			return reason
		}
	}
	return ""
}

// fargateSize allows each step from low; the smallest size alone has one step that is shorter.
func fargateSize(cpu, memory int32) bool {
	m, ok := fargateMemory[cpu]
	if !ok || memory < m.low || memory > m.high {
		return false
	}
	return memory%m.step == 0 || memory == m.low
}

func fargateContainer(d *ecs.TaskDefinition, c *ecs.ContainerDefinition) string {
	switch {
	case c.Privileged != nil && *c.Privileged:
		return "Fargate compatible task definitions do not support privileged containers."
	case len(c.DockerSecurityOptions) > 0:
		return "Fargate compatible task definitions do not support dockerSecurityOptions."
	case c.DisableNetworking != nil && *c.DisableNetworking:
		return "Fargate compatible task definitions do not support disableNetworking."
	case len(c.ResourceRequirements) > 0:
		return "Fargate compatible task definitions do not support resourceRequirements."
	case c.StopTimeout != nil && *c.StopTimeout > 120:
		return "Invalid 'stopTimeout' setting for container '" + c.Name + "'. It must be at most 120 on Fargate."
	}
	if name := fargateCapabilities(c); name != "" {
		return "Fargate compatible task definitions do not support adding the capability " + name + "."
	}
	if l := c.LinuxParameters; l != nil && (len(l.Devices) > 0 || l.SharedMemorySize != nil || len(l.Tmpfs) > 0 || l.MaxSwap != nil || l.Swappiness != nil) {
		return "Fargate compatible task definitions do not support devices, sharedMemorySize, tmpfs, maxSwap or swappiness."
	}
	if l := c.LogConfiguration; l != nil {
		if l.LogDriver != "awslogs" && l.LogDriver != "splunk" && l.LogDriver != "awsfirelens" {
			return "Fargate compatible task definitions do not support log driver " + l.LogDriver + "."
		}
		if l.LogDriver == "awslogs" && d.ExecutionRoleArn == "" {
			return "Fargate requires task definition to have execution role ARN to support log driver awslogs."
		}
	}
	return ""
}
