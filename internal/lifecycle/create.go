// Package lifecycle is the one place where a task's life goes on: made, reported on by its agent, told to stop, lost with its instance.
// Its functions run inside an update of the state. They hold what ECS promises of a task: statuses never go backwards,
// STOPPED is final, the first cause of an end is the one that is kept, and the version counts what a caller can see.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
package lifecycle

import (
	"slices"

	"github.com/google/uuid"

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
			ID:         uuid.NewString(),
			LastStatus: ecs.TaskPending,
		}
		if s.EnableExecuteCommand {
			task.Containers[i].ManagedAgents = []ecs.ManagedAgent{{Name: ecs.ManagedAgentExec, LastStatus: ecs.TaskPending}}
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
