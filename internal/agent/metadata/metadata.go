// Package metadata answers what containers ask about themselves: ECS's task metadata endpoint, versions 3 and 4, the task
// protection endpoint, and the one that SDKs have the credentials of the task's role from.
//
// A container is known by the id in its path, which nobody else is told. What is answered is a snapshot that a [Source]
// gives; nothing is kept here but how often a task asks.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
package metadata

import (
	"context"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// Source knows the tasks of this machine. Its methods may be called at once from many goroutines.
type Source interface {
	// Find gives the task of the container with an endpoint id, and that container's place in Containers; nil if there is none.
	Find(id string) (*Task, int)
	// FindRole gives the role behind a credentials id, and whether there is one.
	FindRole(id string) (Role, bool)
	// Stats measures a container that runs. An error wraps runtime.ErrNotFound for one that does not.
	Stats(ctx context.Context, runtimeID string) (*runtime.Stats, error)
}

// Task is a task as its containers are shown it.
type Task struct {
	ARN, Cluster, Family   string
	Revision               int32
	Service                string
	LaunchType             string
	Zone                   string
	Desired, Known         ecs.TaskStatus
	CPUs                   float64 // vCPUs; 0 for no limit
	MemoryMiB              int64   // 0 for no limit
	PullStarted, PullEnded time.Time
	ExecutionStopped       time.Time
	Containers             []Container
}

// Container is a container as it and its neighbours in the task are shown it.
type Container struct {
	RuntimeID, Name, ARN       string
	Image, ImageDigest         string
	Labels                     map[string]string
	Ports                      []ecs.NetworkBinding
	Desired, Known             ecs.TaskStatus
	ExitCode                   *int32
	CPU                        float64 // units
	MemoryMiB                  int64
	Created, Started, Finished time.Time
	LogDriver                  string
	LogOptions                 map[string]string
	Health                     *Health
	RestartCount               *int
	Networks                   []Network
	Volumes                    []Volume
	Snapshotter                string
}

// Health is what a container's health check says.
type Health struct {
	Status   ecs.HealthStatus
	Since    time.Time
	ExitCode int
	Output   string
}

// Network is a network that a container is on.
type Network struct {
	Mode             string
	IPv4             []string
	MAC, SubnetCIDR  string
	PrivateDNSName   string
	SubnetGateway    string
	AttachmentIndex  *int
	DNSNameservers   []string
	DNSSearchDomains []string
}

// Volume is something mounted into a container.
type Volume struct{ Name, Source, Destination string }
