package ecs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefinitionID names one revision of a task definition. It is comparable, so that it is a key.
type DefinitionID struct {
	Family   string `json:"family"`
	Revision int32  `json:"revision"`
	// Daemon tells a revision of a daemon task definition, whose families are others, from that of a task definition.
	Daemon bool `json:"daemon,omitempty"`
}

// String gives the FAMILY:REVISION form that every ECS call takes.
func (id DefinitionID) String() string { return id.Family + ":" + strconv.Itoa(int(id.Revision)) }

// ParseDefinitionID reads FAMILY, FAMILY:REVISION or a task definition's ARN. Without a revision it is 0, which
// means the latest ACTIVE one.
func ParseDefinitionID(s string) (DefinitionID, error) {
	if strings.HasPrefix(s, "arn:") {
		arn, err := ParseARN(s)
		if err != nil || arn.Type != "task-definition" {
			return DefinitionID{}, fmt.Errorf("%q is no task definition ARN", s)
		}
		s = arn.Resource
	}
	family, rev, found := strings.Cut(s, ":")
	if !found {
		return DefinitionID{Family: family}, nil
	}
	n, err := strconv.ParseInt(rev, 10, 32)
	if err != nil || n < 1 {
		return DefinitionID{}, fmt.Errorf("revision %q is not a positive number", rev)
	}
	return DefinitionID{Family: family, Revision: int32(n)}, nil
}

// DefinitionStatus is where a revision is in its life.
type DefinitionStatus string

// The states of a task definition revision, in their order. Those of daemons are never INACTIVE, and they alone are shown as DELETED for
// a while.
const (
	DefinitionActive           DefinitionStatus = "ACTIVE"
	DefinitionInactive         DefinitionStatus = "INACTIVE"
	DefinitionDeleteInProgress DefinitionStatus = "DELETE_IN_PROGRESS"
	DefinitionDeleted          DefinitionStatus = "DELETED"
)

// Network modes of a task definition. An absent mode is bridge on Linux instances.
const (
	NetworkBridge = "bridge"
	NetworkHost   = "host"
	NetworkNone   = "none"
	NetworkAwsvpc = "awsvpc"
)

// TaskDefinition is one registered revision, of a daemon task definition too. It never changes but for its status, so a pointer to it may
// be shared.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html
type TaskDefinition struct {
	Family                  string                              `json:"family,omitempty"`
	Revision                int32                               `json:"revision,omitempty"`
	Daemon                  bool                                `json:"daemon,omitempty"`
	Status                  DefinitionStatus                    `json:"status,omitempty"`
	ContainerDefinitions    []ContainerDefinition               `json:"containerDefinitions,omitempty"`
	Compatibilities         []string                            `json:"compatibilities,omitempty"`
	RequiresCompatibilities []string                            `json:"requiresCompatibilities,omitempty"`
	RequiresAttributes      []Attribute                         `json:"requiresAttributes,omitempty"`
	Cpu                     string                              `json:"cpu,omitempty"`
	Memory                  string                              `json:"memory,omitempty"`
	NetworkMode             string                              `json:"networkMode,omitempty"`
	PidMode                 string                              `json:"pidMode,omitempty"`
	IpcMode                 string                              `json:"ipcMode,omitempty"`
	TaskRoleArn             string                              `json:"taskRoleArn,omitempty"`
	ExecutionRoleArn        string                              `json:"executionRoleArn,omitempty"`
	Volumes                 []Volume                            `json:"volumes,omitempty"`
	PlacementConstraints    []TaskDefinitionPlacementConstraint `json:"placementConstraints,omitempty"`
	ProxyConfiguration      *ProxyConfiguration                 `json:"proxyConfiguration,omitempty"`
	InferenceAccelerators   []InferenceAccelerator              `json:"inferenceAccelerators,omitempty"`
	EphemeralStorage        *EphemeralStorage                   `json:"ephemeralStorage,omitempty"`
	RuntimePlatform         *RuntimePlatform                    `json:"runtimePlatform,omitempty"`
	EnableFaultInjection    *bool                               `json:"enableFaultInjection,omitempty"`
	RegisteredAt            *time.Time                          `json:"registeredAt,omitempty"`
	RegisteredBy            string                              `json:"registeredBy,omitempty"`
	DeregisteredAt          *time.Time                          `json:"deregisteredAt,omitempty"`
	DeleteRequestedAt       *time.Time                          `json:"deleteRequestedAt,omitempty"`
	// DeletedAt is when a daemon's became DELETED.
	DeletedAt *time.Time `json:"deletedAt,omitempty"`
	Tags      []Tag      `json:"tags,omitempty"`
}

// ID names this revision.
func (d *TaskDefinition) ID() DefinitionID {
	return DefinitionID{Family: d.Family, Revision: d.Revision, Daemon: d.Daemon}
}

// Family is what is kept of a family beside its revisions: the last numbers given, so that none is given twice. A family of task
// definitions and one of daemon task definitions may have the same name.
type Family struct {
	Name               string `json:"name"`
	LastRevision       int32  `json:"lastRevision"`
	LastDaemonRevision int32  `json:"lastDaemonRevision,omitempty"`
}

// Tag is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
type Tag struct {
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
}

// Attribute is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
type Attribute struct {
	Name       string `json:"name,omitempty"`
	TargetId   string `json:"targetId,omitempty"`
	TargetType string `json:"targetType,omitempty"`
	Value      string `json:"value,omitempty"`
}

// EphemeralStorage is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EphemeralStorage.html
type EphemeralStorage struct {
	SizeInGiB int32 `json:"sizeInGiB,omitempty"`
}

// InferenceAccelerator is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_InferenceAccelerator.html
type InferenceAccelerator struct {
	DeviceName string `json:"deviceName,omitempty"`
	DeviceType string `json:"deviceType,omitempty"`
}

// ProxyConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ProxyConfiguration.html
type ProxyConfiguration struct {
	ContainerName string         `json:"containerName,omitempty"`
	Properties    []KeyValuePair `json:"properties,omitempty"`
	Type          string         `json:"type,omitempty"`
}

// RuntimePlatform is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html
type RuntimePlatform struct {
	CpuArchitecture       string `json:"cpuArchitecture,omitempty"`
	OperatingSystemFamily string `json:"operatingSystemFamily,omitempty"`
}

// TaskDefinitionPlacementConstraint is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinitionPlacementConstraint.html
type TaskDefinitionPlacementConstraint struct {
	Expression string `json:"expression,omitempty"`
	Type       string `json:"type,omitempty"`
}

// Roles are those of a task: its own, for its containers, and the one by which it is started. Either may be empty.
func (d *TaskDefinition) Roles(o *TaskOverride) (task, execution string) {
	task, execution = d.TaskRoleArn, d.ExecutionRoleArn
	if o != nil && o.TaskRoleArn != "" {
		task = o.TaskRoleArn
	}
	if o != nil && o.ExecutionRoleArn != "" {
		execution = o.ExecutionRoleArn
	}
	return task, execution
}
