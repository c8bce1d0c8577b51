package engine

import (
	"context"
	"net/netip"

	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/ecs"
)

// Network gives a container a network namespace on the bridge.
type Network interface {
	// Setup makes a namespace with an address, and takes the host ports. On an error nothing of it is left.
	Setup(ctx context.Context, r NetworkRequest) (*NetworkResult, error)
	// Teardown removes it. It is no error if there is none.
	Teardown(ctx context.Context, id string) error
	// Sweep removes the networks of an earlier process whose id is not live.
	Sweep(ctx context.Context, live func(id string) bool) error
}

// NetworkRequest asks for the network of one container; ID is its runtime id.
type NetworkRequest struct {
	ID    string
	Ports []PortRequest
}

// PortRequest is a container's port to be reached on the host. HostPort 0 is a free one.
type PortRequest struct {
	ContainerPort, HostPort int32
	Protocol                string
}

// NetworkResult is a container's network: the path of its namespace, its address and its ports as they are on the host.
type NetworkResult struct {
	Path     string
	IP       netip.Addr
	Bindings []ecs.NetworkBinding
}

// Logs ships containers' output to where their log driver says.
type Logs interface {
	// Attach begins to follow a container's log file, before the container starts or after the agent came back. An error
	// is a configuration that cannot work, in the words of a log driver.
	Attach(ctx context.Context, s LogSource) (Shipment, error)
}

// LogSource is one container's output. Path is its json-file log, and State a directory for what is to be kept of how far
// it is shipped.
type LogSource struct {
	ContainerID, ContainerName, TaskID, Cluster string
	Path, Driver, State                         string
	Options, Labels                             map[string]string
}

// Shipment is one container's output on its way.
type Shipment interface {
	// Drain ships what is left once the container has ended, and returns when all is there or ctx ends.
	Drain(ctx context.Context) error
	// Close stops at once and keeps how far it has come.
	Close()
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
)
