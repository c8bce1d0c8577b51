package taskdef

import (
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
)

// Bounds of a task's size on instances.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
const (
	minTaskCPU = 128
	maxTaskCPU = 192 * 1024
	minMemory  = 4
)

func validateTask(d *ecs.TaskDefinition) error {
	switch {
	case d.Family == "":
		return refuse("Family should not be null or empty.")
	case len(d.Family) > maxFamily:
		return refuse("Family is longer than %d.", maxFamily)
	case !namePattern.MatchString(d.Family):
		return refuse("Family contains invalid characters.")
	case len(d.ContainerDefinitions) == 0:
		return refuse("Container list cannot be empty.")
	case len(d.ContainerDefinitions) > maxContainers:
		return refuse("Too many containers.")
	}
	for _, e := range []struct {
		name, value string
		allowed     []string
	}{
		{"networkMode", d.NetworkMode, []string{ecs.NetworkBridge, ecs.NetworkHost, ecs.NetworkAwsvpc, ecs.NetworkNone}},
		{"pidMode", d.PidMode, []string{"host", "task"}},
		{"ipcMode", d.IpcMode, []string{"host", "task", "none"}},
	} {
		if e.value != "" && !slices.Contains(e.allowed, e.value) {
			return refuse("Invalid '%s' setting for task: %s.", e.name, e.value)
		}
	}
	for _, c := range d.RequiresCompatibilities {
		if c != ecs.LaunchEC2 && c != ecs.LaunchFargate && c != ecs.LaunchExternal && c != "MANAGED_INSTANCES" {
			return refuse("Invalid 'requiresCompatibilities' setting for task: %s.", c)
		}
	}
	for _, role := range []string{d.TaskRoleArn, d.ExecutionRoleArn} {
		if strings.HasPrefix(role, "arn:") && !rolePattern.MatchString(role) {
			return refuse("Role is not valid")
		}
	}
	if err := validatePlatform(d); err != nil {
		return err
	}
	return validateTaskLists(d)
}

// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html
var systemFamilies = []string{
	"LINUX", "WINDOWS_SERVER_2016_FULL", "WINDOWS_SERVER_2004_CORE", "WINDOWS_SERVER_20H2_CORE", "WINDOWS_SERVER_2019_CORE",
	"WINDOWS_SERVER_2019_FULL", "WINDOWS_SERVER_2022_CORE", "WINDOWS_SERVER_2022_FULL", "WINDOWS_SERVER_2025_CORE", "WINDOWS_SERVER_2025_FULL",
}

// validateEphemeralStorage bounds it, in GiB; it is Fargate's alone.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EphemeralStorage.html
func validateEphemeralStorage(d *ecs.TaskDefinition) error {
	e := d.EphemeralStorage
	switch {
	case e == nil:
		return nil
	case e.SizeInGiB < 21:
		return refuse("EphemeralStorage size should be at least 21.")
	case e.SizeInGiB > 200:
		return refuse("EphemeralStorage size should be at most 200.")
	case len(d.RequiresCompatibilities) > 0 && !slices.Contains(d.RequiresCompatibilities, ecs.LaunchFargate):
		return refuse("Tasks using the EC2 launch type do not support EphemeralStorage.")
	}
	return nil
}

func validatePlatform(d *ecs.TaskDefinition) error {
	if err := validateEphemeralStorage(d); err != nil {
		return err
	}
	p := d.RuntimePlatform
	if p == nil {
		return nil
	}
	if a := p.CpuArchitecture; a != "" && a != "X86_64" && a != "ARM64" {
		return refuse("Invalid 'cpuArchitecture' setting for runtimePlatform: %s.", a)
	}
	if f := p.OperatingSystemFamily; f != "" && !slices.Contains(systemFamilies, f) {
		return refuse("Invalid 'operatingSystemFamily' setting for runtimePlatform: %s.", f)
	}
	return nil
}

func validateTaskLists(d *ecs.TaskDefinition) error {
	if err := placement.ValidateDefinitionConstraints(d.PlacementConstraints); err != nil {
		return err
	}
	for _, a := range d.InferenceAccelerators {
		if a.DeviceName == "" || a.DeviceType == "" {
			return refuse("InferenceAccelerator.deviceName and deviceType should not be null or empty.")
		}
	}
	p := d.ProxyConfiguration
	if p == nil {
		return nil
	}
	switch {
	case d.NetworkMode != ecs.NetworkAwsvpc:
		return refuse("Proxy configuration is only supported when networkMode=awsvpc.")
	case p.Type != "" && p.Type != "APPMESH":
		return refuse("Invalid 'type' setting for proxyConfiguration: %s.", p.Type)
	case containerNamed(d, p.ContainerName) == nil:
		return refuse("Proxy container [%s] does not exist", p.ContainerName)
	}
	return nil
}

func containerNamed(d *ecs.TaskDefinition, name string) *ecs.ContainerDefinition {
	for i := range d.ContainerDefinitions {
		if d.ContainerDefinitions[i].Name == name {
			return &d.ContainerDefinitions[i]
		}
	}
	return nil
}

// validateSizes holds the containers' cpu and memory against each other and the task's.
func validateSizes(d *ecs.TaskDefinition) error {
	const trouble = " For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
	taskCPU, ok := ecs.CPUUnits(d.Cpu)
	if d.Cpu != "" && (!ok || taskCPU < minTaskCPU || taskCPU > maxTaskCPU) {
		return refuse("Invalid 'cpu' setting for task." + trouble)
	}
	taskMemory, ok := ecs.MemoryMiB(d.Memory)
	if d.Memory != "" && (!ok || taskMemory < minMemory) {
		return refuse("Invalid 'memory' setting for task." + trouble)
	}
	var cpu, reserved int64
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if err := validateContainerSize(c, taskMemory); err != nil {
			return err
		}
		cpu += int64(c.Cpu)
		switch {
		case c.MemoryReservation != nil:
			reserved += int64(*c.MemoryReservation)
		case c.Memory != nil:
			reserved += int64(*c.Memory)
		}
	}
	if taskCPU > 0 && cpu > int64(taskCPU) {
		return refuse("The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.")
	}
	if taskMemory > 0 && reserved > int64(taskMemory) {
		return refuse("The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.")
	}
	return nil
}

func validateContainerSize(c *ecs.ContainerDefinition, taskMemory int32) error {
	switch {
	case c.Cpu < 0:
		return refuse("Invalid 'cpu' setting for container '%s'.", c.Name)
	case c.Memory != nil && *c.Memory < minMemory:
		return refuse("Invalid 'memory' setting for container '%s'.", c.Name)
	case c.MemoryReservation != nil && *c.MemoryReservation < minMemory:
		return refuse("Invalid 'memoryReservation' setting for container '%s'.", c.Name)
	case c.Memory == nil && c.MemoryReservation == nil && taskMemory == 0:
		return refuse("Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", c.Name)
	case c.Memory != nil && c.MemoryReservation != nil && *c.MemoryReservation > *c.Memory:
		return refuse("Invalid setting for container '%s'. 'memory' must be greater than or equal to 'memoryReservation'.", c.Name)
	case c.Memory != nil && taskMemory > 0 && *c.Memory > taskMemory:
		return refuse("Invalid setting for container '%s'. The 'memory' setting for container is greater than for the task.", c.Name)
	}
	return nil
}
