package ecsapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// Limits of overrides; storage is in GiB.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
const (
	maxOverrideBytes    = 8192
	minEphemeralStorage = 21
	maxEphemeralStorage = 200
)

// readOverrides checks what can be checked without the definition; nil if there are none.
func readOverrides(in *types.TaskOverride) (*ecs.TaskOverride, error) {
	if in == nil {
		return nil, nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("measure overrides: %w", err)
	}
	o := mirror.Of[ecs.TaskOverride](in)
	mirror.DropEmpty(&o)
	if len(body) > maxOverrideBytes {
		// The SDK's struct has all names; what ECS measures has those that were sent.
		if sent, err := json.Marshal(o); err != nil || len(sent) > maxOverrideBytes {
			return nil, fault.New(fault.InvalidParameter, "Container Overrides length must be at most %d", maxOverrideBytes)
		}
	}
	if err := checkTaskOverride(&o); err != nil {
		return nil, err
	}
	for i := range o.ContainerOverrides {
		if err := checkContainerOverride(&o.ContainerOverrides[i]); err != nil {
			return nil, err
		}
	}
	return &o, nil
}

func checkTaskOverride(o *ecs.TaskOverride) error {
	if _, ok := ecs.CPUUnits(o.Cpu); o.Cpu != "" && !ok {
		return fault.New(fault.InvalidParameter, "Invalid 'cpu' setting for task override: %s.", o.Cpu)
	}
	if _, ok := ecs.MemoryMiB(o.Memory); o.Memory != "" && !ok {
		return fault.New(fault.InvalidParameter, "Invalid 'memory' setting for task override: %s.", o.Memory)
	}
	if s := o.EphemeralStorage; s != nil && (s.SizeInGiB < minEphemeralStorage || s.SizeInGiB > maxEphemeralStorage) {
		return fault.New(fault.InvalidParameter, "Ephemeral storage size must be between %d and %d GiB.", minEphemeralStorage, maxEphemeralStorage)
	}
	for _, role := range []string{o.ExecutionRoleArn, o.TaskRoleArn} {
		if isARN(role) && !strings.HasPrefix(role, "arn:aws:iam::") {
			return fault.New(fault.Client, "Role is not valid")
		}
	}
	for _, a := range o.InferenceAcceleratorOverrides {
		if a.DeviceName == "" || a.DeviceType == "" {
			return fault.New(fault.InvalidParameter, "Inference accelerator overrides need a deviceName and a deviceType.")
		}
	}
	return nil
}

func checkContainerOverride(c *ecs.ContainerOverride) error {
	bad := func(field string) error {
		return fault.New(fault.InvalidParameter, "Invalid '%s' setting for the override of container '%s'.", field, c.Name)
	}
	switch {
	case c.Cpu != nil && *c.Cpu < 0:
		return bad("cpu")
	case c.Memory != nil && *c.Memory < 4:
		return bad("memory")
	case c.MemoryReservation != nil && *c.MemoryReservation < 4:
		return bad("memoryReservation")
	case c.Memory != nil && c.MemoryReservation != nil && *c.MemoryReservation > *c.Memory:
		return bad("memoryReservation")
	}
	for _, e := range c.Environment {
		if e.Name == "" {
			return bad("environment")
		}
	}
	for _, f := range c.EnvironmentFiles {
		if f.Type != string(types.EnvironmentFileTypeS3) || !strings.HasPrefix(f.Value, "arn:aws:s3:::") {
			return bad("environmentFiles")
		}
	}
	for _, q := range c.ResourceRequirements {
		if !validRequirement(q) {
			return bad("resourceRequirements")
		}
	}
	return nil
}

// validRequirement tells whether a resource requirement is a number of GPUs or names a device.
func validRequirement(q ecs.ResourceRequirement) bool {
	switch types.ResourceType(q.Type) {
	case types.ResourceTypeGpu:
		n, err := strconv.ParseInt(q.Value, 10, 32)
		return err == nil && n > 0
	case types.ResourceTypeInferenceAccelerator:
		return q.Value != ""
	}
	return false
}

// checkOverridesOf holds overrides against the definition whose containers and devices they name.
func checkOverridesOf(d *ecs.TaskDefinition, o *ecs.TaskOverride) error {
	if o == nil {
		return nil
	}
	for i := range o.ContainerOverrides {
		name := o.ContainerOverrides[i].Name
		if !slices.ContainsFunc(d.ContainerDefinitions, func(c ecs.ContainerDefinition) bool { return c.Name == name }) {
			return fault.New(fault.InvalidParameter, "Override for container named %s is not a container in the TaskDefinition.", name)
		}
		if slices.ContainsFunc(o.ContainerOverrides[:i], func(c ecs.ContainerOverride) bool { return c.Name == name }) {
			return fault.New(fault.InvalidParameter, "Override for container named %s is given more than once.", name)
		}
	}
	for _, a := range o.InferenceAcceleratorOverrides {
		if !slices.ContainsFunc(d.InferenceAccelerators, func(i ecs.InferenceAccelerator) bool { return i.DeviceName == a.DeviceName }) {
			return fault.New(fault.InvalidParameter, "Inference accelerator override for device named %s is not a device in the TaskDefinition.", a.DeviceName)
		}
	}
	return nil
}
