// Package lifecycle is the one place where a task's life goes on: made, reported on by its agent, told to stop, lost with its instance.
// Its functions run inside an update of the state. They hold what ECS promises of a task: statuses never go backwards,
// STOPPED is final, the first cause of an end is the one that is kept, and the version counts what a caller can see.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
package lifecycle

import (
	"crypto/rand"
	"encoding/hex"
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Spec is a task to be made.
type Spec struct {
	Cluster    string
	Definition *ecs.TaskDefinition
	// Instance is where it is placed; zero leaves it unplaced.
	Instance ecs.InstanceID
	// GPUs are those of the instance's that placement chose: as many as the definition needs.
	GPUs                 []string
	Group                string
	StartedBy            string
	LaunchType           string
	CapacityProvider     string
	ReferenceID          string
	Overrides            *ecs.TaskOverride
	Tags                 []ecs.Tag
	EnableExecuteCommand bool
	PlatformVersion      string
	// Interface is NewInterface's, for this task alone; nil but in the network mode awsvpc.
	Interface *ecs.NetworkInterface
}

// execAgent is the managed agent by which ECS Exec enters a container.
const execAgent = "ExecuteCommandAgent"

// Create puts a new task: PENDING, to be RUNNING, with its resources reserved on its instance from now on. One with a network
// interface is PROVISIONING until its agent has it.
func Create(tx *state.Tx, now ecs.Millis, s Spec) *ecs.Task {
	task := &ecs.Task{
		ID:                   ecs.NewTaskID(),
		Cluster:              s.Cluster,
		Definition:           s.Definition.ID(),
		Instance:             s.Instance,
		LastStatus:           ecs.TaskPending,
		DesiredStatus:        ecs.TaskRunning,
		Group:                s.Group,
		StartedBy:            s.StartedBy,
		LaunchType:           s.LaunchType,
		Version:              1,
		CreatedAt:            now,
		Overrides:            s.Overrides,
		Containers:           make([]ecs.Container, len(s.Definition.ContainerDefinitions)),
		Tags:                 s.Tags,
		EnableExecuteCommand: s.EnableExecuteCommand,
		ReferenceID:          s.ReferenceID,
		CapacityProvider:     s.CapacityProvider,
		PlatformVersion:      s.PlatformVersion,
		Reserved:             s.Definition.Needs(s.Overrides),
	}
	for i := range s.Definition.ContainerDefinitions {
		task.Containers[i] = ecs.Container{
			Name:       s.Definition.ContainerDefinitions[i].Name,
			ID:         newContainerID(),
			LastStatus: ecs.TaskPending,
		}
		if s.EnableExecuteCommand {
			task.Containers[i].ManagedAgents = []ecs.ManagedAgent{{Name: execAgent, LastStatus: ecs.TaskPending}}
		}
	}
	giveGPUs(task, s)
	if s.Interface != nil {
		own := *s.Interface
		own.AttachmentID = attachmentID(task.ID)
		task.Interface, task.LastStatus = &own, ecs.TaskProvisioning
	}
	tx.Tasks.Put(task)
	return task
}

// giveGPUs reserves the task's GPUs and hands them to its containers in their order.
func giveGPUs(task *ecs.Task, s Spec) {
	each, _ := s.Definition.NeedsGPUs(s.Overrides)
	left := s.GPUs
	for i, n := range each {
		n = min(n, len(left))
		task.Containers[i].GpuIDs = slices.Clip(left[:n])
		left = left[n:]
	}
	task.Reserved.GPUs = s.GPUs
}

// newContainerID makes a random UUID (RFC 9562, version 4).
func newContainerID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return uuidText(b)
}

// uuidText writes 16 bytes in the form of a UUID.
func uuidText(b [16]byte) string {
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
