package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/agent/fleet"
)

// zones is how many availability zones fleets have.
const zones = 3

// cluster is a control plane with a fleet that has joined.
type cluster struct {
	*server
	fleet  *fleet.Fleet
	cancel context.CancelFunc
	ended  chan error
}

// on starts a control plane and a fleet, defines the task "bench", measures and ends both; adjust, if not nil, changes the fleet's
// configuration.
func (r *run) on(ctx context.Context, nodes int, adjust func(*fleet.Config), measure func(*cluster) error) (err error) {
	s, err := r.server(ctx, "--stopped-task-retention", "1s")
	if err != nil {
		return err
	}
	c := &cluster{server: s}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.join(ctx, nodes, adjust); err != nil {
		return err
	}
	if err := c.define(ctx); err != nil {
		return err
	}
	return measure(c)
}

func (c *cluster) join(ctx context.Context, nodes int, adjust func(*fleet.Config)) error {
	if err := c.caller.Call(ctx, "CreateCluster", map[string]any{"clusterName": "default"}, nil); err != nil {
		return err
	}
	// Nodes have room for more tasks than any measurement asks for.
	cfg := fleet.Config{ServerURL: c.endpoint, Credentials: c.caller.Credentials, Region: c.caller.Region, Nodes: nodes, Zones: zones, CPU: 65536, MemoryMiB: 65536,
		StartDelay: time.Second, StopDelay: 10 * time.Millisecond, Log: c.r.Log}
	if adjust != nil {
		adjust(&cfg)
	}
	var err error
	if c.fleet, err = fleet.New(cfg); err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	c.cancel, c.ended = cancel, make(chan error, 1)
	go func() { c.ended <- c.fleet.Run(run) }()
	return c.until(ctx, "nodes have joined", nodes, func() (int, error) { return int(c.fleet.Stats().Connected), nil })
}

// end ends the fleet and the server.
func (c *cluster) end() error {
	var err error
	if c.cancel != nil {
		c.cancel()
		err = <-c.ended
	}
	return errors.Join(err, c.server.end())
}

// patience is how long nothing may happen before a measurement is given up.
const patience = 2 * time.Minute

// until waits until count gives what is wanted, looking every few milliseconds.
func (c *cluster) until(ctx context.Context, what string, want int, count func() (int, error)) error {
	last, since, said := -1, time.Now(), time.Time{}
	for {
		n, err := count()
		if err != nil {
			return err
		}
		if n == want {
			return nil
		}
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("%d of %d %s, and no more for %v", n, want, what, patience)
		}
		if time.Since(said) > 200*time.Millisecond {
			c.r.say("%d of %d %s", n, want, what)
			said = time.Now()
		}
		select {
		case err := <-c.ended:
			c.ended <- nil
			return fmt.Errorf("the fleet ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(4 * time.Millisecond):
		}
	}
}

// counts are a cluster's, as DescribeClusters tells them: durable ones.
type counts struct {
	Running int `json:"runningTasksCount"`
	Pending int `json:"pendingTasksCount"`
}

func (c *cluster) counts(ctx context.Context) (counts, error) {
	var out struct {
		Clusters []counts `json:"clusters"`
	}
	if err := c.caller.Call(ctx, "DescribeClusters", map[string]any{}, &out); err != nil {
		return counts{}, err
	}
	if len(out.Clusters) != 1 {
		return counts{}, fmt.Errorf("DescribeClusters gave %d clusters", len(out.Clusters))
	}
	return out.Clusters[0], nil
}

// placed waits until there are so many tasks, RUNNING or about to be.
func (c *cluster) placed(ctx context.Context, want int) error {
	return c.until(ctx, "tasks are placed", want, func() (int, error) {
		n, err := c.counts(ctx)
		return n.Running + n.Pending, err
	})
}

func (c *cluster) runningAll(ctx context.Context, want int) error {
	return c.until(ctx, "tasks are running", want, func() (int, error) {
		n, err := c.counts(ctx)
		return n.Running, err
	})
}

// define registers the task definition bench, of one small container.
func (c *cluster) define(ctx context.Context) error {
	return c.caller.Call(ctx, "RegisterTaskDefinition", map[string]any{
		"family": "bench", "networkMode": "none",
		"containerDefinitions": []any{map[string]any{
			"name": "main", "image": "registry.example.com/bench/web:1.0", "cpu": 10, "memory": 10, "essential": true,
			"environment": []any{map[string]any{"name": "STAGE", "value": "bench"}},
		}},
	}, nil)
}

// service is one that is created; more are further members of the input.
func (c *cluster) service(ctx context.Context, name string, count int, more map[string]any) error {
	in := map[string]any{"serviceName": name, "taskDefinition": "bench", "desiredCount": count}
	for k, v := range more {
		in[k] = v
	}
	return c.caller.Call(ctx, "CreateService", in, nil)
}

func (c *cluster) deleteService(ctx context.Context, name string) error {
	return c.caller.Call(ctx, "DeleteService", map[string]any{"service": name, "force": true}, nil)
}

// empty waits until no task is left.
func (c *cluster) empty(ctx context.Context) error {
	return c.until(ctx, "tasks are left", 0, func() (int, error) {
		n, err := c.counts(ctx)
		return n.Running + n.Pending, err
	})
}
