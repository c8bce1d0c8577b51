package ecs

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
