package ecs

// LinuxParameters is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html
type LinuxParameters struct {
	Capabilities       *KernelCapabilities `json:"capabilities,omitempty"`
	Devices            []Device            `json:"devices,omitempty"`
	InitProcessEnabled *bool               `json:"initProcessEnabled,omitempty"`
	MaxSwap            *int32              `json:"maxSwap,omitempty"`
	SharedMemorySize   *int32              `json:"sharedMemorySize,omitempty"`
	Swappiness         *int32              `json:"swappiness,omitempty"`
	Tmpfs              []Tmpfs             `json:"tmpfs,omitempty"`
}

// KernelCapabilities is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html
type KernelCapabilities struct {
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

// Device is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Device.html
type Device struct {
	HostPath      string   `json:"hostPath,omitempty"`
	ContainerPath string   `json:"containerPath,omitempty"`
	Permissions   []string `json:"permissions,omitempty"`
}

// Tmpfs is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tmpfs.html
type Tmpfs struct {
	ContainerPath string   `json:"containerPath,omitempty"`
	Size          int32    `json:"size,omitempty"`
	MountOptions  []string `json:"mountOptions,omitempty"`
}
