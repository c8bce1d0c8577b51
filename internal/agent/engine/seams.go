package engine

import (
	"context"

	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/ecs"
)

// Network gives containers network namespaces, on the bridge or of their task's interface; *netns.Manager does.
type Network interface {
	// Setup makes a namespace with an address, and takes the host ports. On an error nothing of it is left.
	Setup(ctx context.Context, r netns.Request) (*netns.Network, error)
	// SetupTask makes the namespace of a task with a network interface of its own, or gives the one that is there.
	SetupTask(ctx context.Context, r netns.TaskRequest) (*netns.Network, error)
	// Teardown removes it. It is no error if there is none.
	Teardown(ctx context.Context, id string) error
	// Sweep removes the networks of an earlier process whose id is not live.
	Sweep(ctx context.Context, live func(id string) bool) error
}

// Logs ships containers' output to where their log driver says; *logs.Shipper does.
type Logs interface {
	// Attach begins to follow a container's log file, before the container starts or after the agent came back. An error
	// is a configuration that cannot work, in the words of a log driver.
	Attach(ctx context.Context, s logs.Source) (logs.Shipment, error)
}

// Journal keeps tasks over the agent's death; *journal.File does.
type Journal interface {
	Create(*journal.Record) error
	Update(ecs.TaskID, *journal.State) error
	Remove(ecs.TaskID) error
}

var (
	_ Journal = (*journal.File)(nil)
	_ Journal = journal.None{}
	_ Network = (*netns.Manager)(nil)
	_ Logs    = (*logs.Shipper)(nil)
)
