package ecs

import "time"

// Millis is a moment in milliseconds since 1970 UTC; 0 is no moment.
type Millis int64

// MillisOf converts a time; the zero time is 0.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time converts back; 0 is the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// TaskStatus is a state of a task's or container's life, in its order, so that "not backwards" is a comparison.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
type TaskStatus uint8

// The states in order. Provisioning precedes Pending where a network interface must be attached first.
const (
	TaskStatusNone TaskStatus = iota
	TaskProvisioning
	TaskPending
	TaskActivating
	TaskRunning
	TaskDeactivating
	TaskStopping
	TaskDeprovisioning
	TaskStopped
	TaskDeleted
)

var taskStatusNames = [...]string{"", "PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED", "DELETED"}

func (s TaskStatus) String() string {
	if int(s) < len(taskStatusNames) {
		return taskStatusNames[s]
	}
	return "UNKNOWN"
}

// ParseTaskStatus reads ECS's name of a state; ok is false for any other word.
func ParseTaskStatus(s string) (status TaskStatus, ok bool) {
	for i, n := range taskStatusNames {
		if n == s && i > 0 {
			return TaskStatus(i), true
		}
	}
	return 0, false
}

// Stop codes.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html#ECS-Type-Task-stopCode
const (
	StopTaskFailedToStart       = "TaskFailedToStart"
	StopEssentialContainerExit  = "EssentialContainerExited"
	StopUserInitiated           = "UserInitiated"
	StopServiceSchedulerStopped = "ServiceSchedulerInitiated"
	StopSpotInterruption        = "SpotInterruption"
	StopTerminationNotice       = "TerminationNotice"
	StopInfrastructureHealth    = "InfrastructureHealth"
)

// Launch types.
const (
	LaunchEC2      = "EC2"
	LaunchFargate  = "FARGATE"
	LaunchExternal = "EXTERNAL"
)

// Task is one run of a task definition. Values in the state are never changed in place: copy, change, put.
// The integer keys are the stored format: never reuse one.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
type Task struct {
	ID         TaskID       `cbor:"1,keyasint"`
	Cluster    string       `cbor:"2,keyasint"`
	Definition DefinitionID `cbor:"3,keyasint"`
	// Instance is where the task is placed; zero while it is not.
	Instance      InstanceID `cbor:"4,keyasint,omitempty"`
	LastStatus    TaskStatus `cbor:"5,keyasint"`
	DesiredStatus TaskStatus `cbor:"6,keyasint"`
	Group         string     `cbor:"7,keyasint,omitempty"`
	StartedBy     string     `cbor:"8,keyasint,omitempty"`
	LaunchType    string     `cbor:"9,keyasint,omitempty"`
	// Version counts the changes ECS shows of a task, from 1.
	Version            int64         `cbor:"10,keyasint,omitempty"`
	CreatedAt          Millis        `cbor:"11,keyasint,omitempty"`
	PullStartedAt      Millis        `cbor:"12,keyasint,omitempty"`
	PullStoppedAt      Millis        `cbor:"13,keyasint,omitempty"`
	ConnectivityAt     Millis        `cbor:"14,keyasint,omitempty"`
	StartedAt          Millis        `cbor:"15,keyasint,omitempty"`
	StoppingAt         Millis        `cbor:"16,keyasint,omitempty"`
	ExecutionStoppedAt Millis        `cbor:"17,keyasint,omitempty"`
	StoppedAt          Millis        `cbor:"18,keyasint,omitempty"`
	StopCode           string        `cbor:"19,keyasint,omitempty"`
	StoppedReason      string        `cbor:"20,keyasint,omitempty"`
	Overrides          *TaskOverride `cbor:"21,keyasint,omitempty"`
	// Containers is in the definition's order, one each, from the start.
	Containers           []Container  `cbor:"22,keyasint,omitempty"`
	Tags                 []Tag        `cbor:"23,keyasint,omitempty"`
	HealthStatus         HealthStatus `cbor:"24,keyasint,omitempty"`
	EnableExecuteCommand bool         `cbor:"25,keyasint,omitempty"`
	ReferenceID          string       `cbor:"26,keyasint,omitempty"`
	CapacityProvider     string       `cbor:"27,keyasint,omitempty"`
	// Reserved is what the task takes of its instance until it is STOPPED, dynamic host ports apart.
	Reserved Resources `cbor:"28,keyasint,omitempty"`
	// ProtectedUntil is when the protection from scale-in ends; 0 and what has passed is none.
	ProtectedUntil Millis `cbor:"29,keyasint,omitempty"`
	// Interface is the network interface of a task in the network mode awsvpc.
	Interface *NetworkInterface `cbor:"30,keyasint,omitempty"`
	// PlatformVersion is that of a FARGATE task, never LATEST.
	PlatformVersion string `cbor:"31,keyasint,omitempty"`
}

// Protected tells whether a service's scheduler must not choose the task to scale in or to be replaced now.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
func (t *Task) Protected(now Millis) bool { return t.ProtectedUntil > now }

// HealthStatus is HEALTHY, UNHEALTHY or, where nothing checks, UNKNOWN (also the zero value).
type HealthStatus string

// The states of health.
const (
	HealthUnknown   HealthStatus = "UNKNOWN"
	HealthHealthy   HealthStatus = "HEALTHY"
	HealthUnhealthy HealthStatus = "UNHEALTHY"
)

// Container is the run of one container of a task.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html
type Container struct {
	Name string `cbor:"1,keyasint" json:"name"`
	// ID ends the container's ARN: 8-4-4-4-12 hex digits.
	ID              string           `cbor:"2,keyasint,omitempty" json:"id,omitempty"`
	RuntimeID       string           `cbor:"3,keyasint,omitempty" json:"runtimeId,omitempty"`
	LastStatus      TaskStatus       `cbor:"4,keyasint" json:"lastStatus"`
	ExitCode        *int32           `cbor:"5,keyasint,omitempty" json:"exitCode,omitempty"`
	Reason          string           `cbor:"6,keyasint,omitempty" json:"reason,omitempty"`
	ImageDigest     string           `cbor:"7,keyasint,omitempty" json:"imageDigest,omitempty"`
	NetworkBindings []NetworkBinding `cbor:"8,keyasint,omitempty" json:"networkBindings,omitempty"`
	HealthStatus    HealthStatus     `cbor:"9,keyasint,omitempty" json:"healthStatus,omitempty"`
	GpuIDs          []string         `cbor:"10,keyasint,omitempty" json:"gpuIds,omitempty"`
	ManagedAgents   []ManagedAgent   `cbor:"11,keyasint,omitempty" json:"managedAgents,omitempty"`
}

// ManagedAgentExec is the name of the managed agent that a container has where its task has ECS Exec.
const ManagedAgentExec = "ExecuteCommandAgent"

// ManagedAgent is what runs in a container for ECS's own ends, such as ExecuteCommandAgent for ECS Exec.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedAgent.html
type ManagedAgent struct {
	Name          string     `cbor:"1,keyasint" json:"name"`
	LastStatus    TaskStatus `cbor:"2,keyasint" json:"lastStatus"`
	Reason        string     `cbor:"3,keyasint,omitempty" json:"reason,omitempty"`
	LastStartedAt Millis     `cbor:"4,keyasint,omitempty" json:"lastStartedAt,omitempty"`
}

// NetworkBinding is a container's port as it is reached on its host.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html
type NetworkBinding struct {
	BindIP             string `cbor:"1,keyasint,omitempty" json:"bindIP,omitempty"`
	ContainerPort      *int32 `cbor:"2,keyasint,omitempty" json:"containerPort,omitempty"`
	ContainerPortRange string `cbor:"3,keyasint,omitempty" json:"containerPortRange,omitempty"`
	HostPort           *int32 `cbor:"4,keyasint,omitempty" json:"hostPort,omitempty"`
	HostPortRange      string `cbor:"5,keyasint,omitempty" json:"hostPortRange,omitempty"`
	Protocol           string `cbor:"6,keyasint,omitempty" json:"protocol,omitempty"`
}
