package ecs

import "slices"

// TaskOverride is what RunTask and StartTask change of a definition for one task.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
type TaskOverride struct {
	ContainerOverrides            []ContainerOverride            `json:"containerOverrides,omitempty"`
	Cpu                           string                         `json:"cpu,omitempty"`
	EphemeralStorage              *EphemeralStorage              `json:"ephemeralStorage,omitempty"`
	ExecutionRoleArn              string                         `json:"executionRoleArn,omitempty"`
	InferenceAcceleratorOverrides []InferenceAcceleratorOverride `json:"inferenceAcceleratorOverrides,omitempty"`
	Memory                        string                         `json:"memory,omitempty"`
	TaskRoleArn                   string                         `json:"taskRoleArn,omitempty"`
}

// ContainerOverride is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerOverride.html
type ContainerOverride struct {
	Command              []string              `json:"command,omitempty"`
	Cpu                  *int32                `json:"cpu,omitempty"`
	Environment          []KeyValuePair        `json:"environment,omitempty"`
	EnvironmentFiles     []EnvironmentFile     `json:"environmentFiles,omitempty"`
	Memory               *int32                `json:"memory,omitempty"`
	MemoryReservation    *int32                `json:"memoryReservation,omitempty"`
	Name                 string                `json:"name,omitempty"`
	ResourceRequirements []ResourceRequirement `json:"resourceRequirements,omitempty"`
}

// InferenceAcceleratorOverride is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_InferenceAcceleratorOverride.html
type InferenceAcceleratorOverride struct {
	DeviceName string `json:"deviceName,omitempty"`
	DeviceType string `json:"deviceType,omitempty"`
}

// Container finds what is changed of a container; nil is nothing. The override may be nil.
func (o *TaskOverride) Container(name string) *ContainerOverride {
	if o == nil {
		return nil
	}
	for i := range o.ContainerOverrides {
		if o.ContainerOverrides[i].Name == name {
			return &o.ContainerOverrides[i]
		}
	}
	return nil
}

// With lays an override, which may be nil, over a container's definition. What it gives shares what was not changed with the
// definition.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerOverride.html
func (c *ContainerDefinition) With(o *ContainerOverride) *ContainerDefinition {
	if o == nil {
		return c
	}
	out := *c
	if len(o.Command) > 0 {
		out.Command = o.Command
	}
	if o.Cpu != nil {
		out.Cpu = *o.Cpu
	}
	if o.Memory != nil {
		out.Memory = o.Memory
	}
	if o.MemoryReservation != nil {
		out.MemoryReservation = o.MemoryReservation
	}
	if len(o.Environment) > 0 {
		out.Environment = slices.Concat(c.Environment, o.Environment)
	}
	if len(o.EnvironmentFiles) > 0 {
		out.EnvironmentFiles = slices.Concat(c.EnvironmentFiles, o.EnvironmentFiles)
	}
	if len(o.ResourceRequirements) > 0 {
		out.ResourceRequirements = o.ResourceRequirements
	}
	return &out
}
