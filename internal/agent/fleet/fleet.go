// Package fleet is thousands of container instances in one process that run nothing: each registers, has a session of the agent
// protocol of its own, and says of its tasks, a delay after it was told, that they run and that they have stopped. It is what a
// control plane is measured with. Where what agents do with tasks matters there is package simnode, which is the agent itself.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"roadstead.dev/roadstead/internal/ecs"
)

// Config says what to simulate. ServerURL, Credentials, Region and Nodes must be set.
type Config struct {
	// ServerURL is the control plane's endpoint.
	ServerURL   string
	Credentials aws.CredentialsProvider
	Region      string
	// Cluster is the one that the nodes join, made by who runs the fleet; empty is default.
	Cluster string
	// Nodes are spread over as many availability zones; 0 zones are one.
	Nodes, Zones int
	// CPU (1024 units to a core) and MemoryMiB are what a node has; 0 is 4096 and 16384.
	CPU, MemoryMiB int32
	// StartDelay is the time from when a node hears of a task until it says that it runs; StopDelay from when it hears that it
	// is to stop until it says that it has.
	StartDelay, StopDelay time.Duration
	// Joining is how many nodes register or connect at a time; 0 is 128.
	Joining int
	// OnAssigned, if set, is called when a node hears of a task for the first time, by many goroutines at a time.
	OnAssigned func(id ecs.TaskID, at time.Time)
	// OnRegistered, if set, is called once, when all nodes are registered.
	OnRegistered func()
	Log          *slog.Logger
}

// Stats count what the fleet has seen. Nodes that are cut off count as not connected; their tasks run on.
type Stats struct {
	Registered, Connected int64
	// Assigned counts the tasks that the nodes were told to run, Running those that they have said to run and have not stopped,
	// Stopped those that have.
	Assigned, Running, Stopped int64
	// Acknowledged counts the reports of tasks that the server has made durable; Sessions those that began.
	Acknowledged, Sessions int64
}

// Fleet is a number of simulated nodes. Its methods are safe for concurrent use.
type Fleet struct {
	cfg Config
	// api is for calls, sockets for sessions: those last, so that a time-out of calls is none for them.
	api, sockets *http.Client
	nodes        []*node
	// joining bounds how many nodes register or connect at a time.
	joining chan struct{}

	registered, connected, assigned, running, stopped, acknowledged, sessions atomic.Int64
}

// New makes a fleet; Run has it join.
func New(cfg Config) (*Fleet, error) {
	if cfg.ServerURL == "" || cfg.Credentials == nil || cfg.Region == "" || cfg.Nodes < 1 {
		return nil, errors.New("fleet: a server, credentials, a region and at least one node are needed")
	}
	cfg.Cluster = or(cfg.Cluster, "default")
	cfg.Zones = or(cfg.Zones, 1)
	cfg.CPU, cfg.MemoryMiB = or(cfg.CPU, 4096), or(cfg.MemoryMiB, 16384)
	cfg.Joining = or(cfg.Joining, 128)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = cfg.Joining, cfg.Joining
	f := &Fleet{cfg: cfg, api: &http.Client{Transport: transport, Timeout: callTimeout}, sockets: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}, joining: make(chan struct{}, cfg.Joining)}
	for i := range cfg.Nodes {
		f.nodes = append(f.nodes, newNode(f, i))
	}
	return f, nil
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Run keeps the nodes registered and connected until ctx ends, and returns nil then; or why a node can never join.
func (f *Fleet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, n := range f.nodes {
		all.Go(func() {
			if err := n.run(ctx); err != nil {
				cancel(fmt.Errorf("node %d: %w", n.index, err))
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Stats gives the counts as they are now.
func (f *Fleet) Stats() Stats {
	return Stats{
		Registered: f.registered.Load(), Connected: f.connected.Load(), Assigned: f.assigned.Load(), Running: f.running.Load(),
		Stopped: f.stopped.Load(), Acknowledged: f.acknowledged.Load(), Sessions: f.sessions.Load(),
	}
}

// Zone is the name of the n-th availability zone.
func Zone(region string, n int) string { return region + string(rune('a'+n%26)) }
