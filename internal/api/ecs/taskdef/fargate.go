package taskdef

import (
	"fmt"
	"slices"
	"strings"

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

// fargateLargest are the memory sizes, in MiB, of the largest cpu size, which has no steps.
var fargateLargest = []int32{61440, 122880, 249856}

const fargateLargestCPU = 32 * 1024

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
	case !FitsFargate(cpu, memory) || fargateWindows(d, cpu):
		return noSize(cpu, memory)
	case d.IpcMode != "":
		return "Tasks using the Fargate launch type do not support ipcMode."
	case d.PidMode == "host":
		return "Tasks using the Fargate launch type do not support pidMode 'host'"
	case len(d.PlacementConstraints) > 0:
		return unsupported + "constraints"
	case len(d.InferenceAccelerators) > 0:
		return unsupported + "inferenceAccelerators"
	}
	for i := range d.Volumes {
		v := &d.Volumes[i]
		switch {
		case v.DockerVolumeConfiguration != nil:
			return unsupported + "dockerVolumeConfiguration"
		case v.FsxWindowsFileServerVolumeConfiguration != nil:
			return unsupported + "fsxWindowsFileServerVolumeConfiguration"
		case v.Host != nil && v.Host.SourcePath != "":
			return unsupported + "sourcePath"
		}
	}
	for i := range d.ContainerDefinitions {
		if reason := fargateContainer(d, &d.ContainerDefinitions[i]); reason != "" {
			return reason
		}
	}
	return ""
}

// FitsFargate tells whether Fargate has tasks of a size, in cpu units and MiB: each step from low; the smallest
// size alone has one step that is shorter.
func FitsFargate(cpu, memory int32) bool {
	if cpu == fargateLargestCPU {
		return slices.Contains(fargateLargest, memory)
	}
	m, ok := fargateMemory[cpu]
	if !ok || memory < m.low || memory > m.high {
		return false
	}
	return memory%m.step == 0 || memory == m.low
}

// unsupported begins what ECS says of most fields that Fargate does not have.
const unsupported = "Fargate compatible task definitions do not support "

func noSize(cpu, memory int32) string {
	return fmt.Sprintf("No Fargate configuration exists for given values: %d CPU, %d memory. See the Amazon ECS documentation for the valid values.", cpu, memory)
}

// fargateWindows tells of a definition for Windows that is none for Fargate, which offers only 1 to 4 vCPU.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
func fargateWindows(d *ecs.TaskDefinition, cpu int32) bool {
	p := d.RuntimePlatform
	return p != nil && strings.HasPrefix(p.OperatingSystemFamily, "WINDOWS") && (cpu < 1024 || cpu > 4096)
}

// fargateDrivers are in the order in which ECS names them.
var fargateDrivers = []string{"awslogs", "splunk", "awsfirelens"}

func fargateContainer(d *ecs.TaskDefinition, c *ecs.ContainerDefinition) string {
	bad := func(t *int32, low int32) bool { return t != nil && (*t < low || *t > 120) }
	switch {
	case c.Privileged != nil && *c.Privileged:
		return "Fargate requires that the 'privileged' setting be 'false'"
	case len(c.DockerSecurityOptions) > 0:
		return unsupported + "dockerSecurityOptions"
	case len(c.CredentialSpecs) > 0:
		return unsupported + "credentialSpecs"
	case len(c.ResourceRequirements) > 0:
		return "Tasks using the Fargate launch type do not support " + c.ResourceRequirements[0].Type + " resource requirements"
	case bad(c.StartTimeout, 2):
		return "Invalid 'startTimeout' setting for container '" + c.Name + "'. It must be between 2 and 120 on Fargate."
	case bad(c.StopTimeout, 0):
		return "Invalid 'stopTimeout' setting for container '" + c.Name + "'. It must be at most 120 on Fargate."
	}
	if f := c.FirelensConfiguration; f != nil && f.Options["config-file-type"] == "s3" {
		return "Fargate launch type does not support FirelensConfiguration config file from 's3'"
	}
	if l := c.LogConfiguration; l != nil {
		if !slices.Contains(fargateDrivers, l.LogDriver) {
			return fmt.Sprintf("%s is not a valid log driver. Must be one of [%s]", l.LogDriver, strings.Join(fargateDrivers, ", "))
		}
		if l.LogDriver == "awslogs" && d.ExecutionRoleArn == "" {
			return "Fargate requires task definition to have execution role ARN to support log driver awslogs."
		}
	}
	return fargateLinux(c.LinuxParameters)
}

// fargateLinux says which of Linux's parameters Fargate does not have; the only capability to be added is SYS_PTRACE.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html
func fargateLinux(l *ecs.LinuxParameters) string {
	if l == nil {
		return ""
	}
	switch {
	case len(l.Devices) > 0:
		return unsupported + "devices"
	case l.SharedMemorySize != nil:
		return unsupported + "sharedMemorySize"
	case len(l.Tmpfs) > 0:
		return unsupported + "tmpfs"
	case l.MaxSwap != nil:
		return unsupported + "maxSwap"
	case l.Swappiness != nil:
		return unsupported + "swappiness"
	}
	if l.Capabilities != nil {
		for _, name := range l.Capabilities.Add {
			if name != "SYS_PTRACE" {
				return name + " is not allowed on Fargate."
			}
		}
	}
	return ""
}
