package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/agent/fleet"
)

// measureRegistrations has nodes register at once, 256 at a time.
func measureRegistrations(ctx context.Context, r *run) (err error) {
	s, err := r.server(ctx)
	if err != nil {
		return err
	}
	c := &cluster{server: s}
	defer func() { err = errors.Join(err, c.end()) }()
	nodes := r.scaled(5000)
	begin := time.Now()
	var took, joined time.Duration
	err = c.spent(nodes, "node and its session", "registration", func() error {
		return c.profiled(ctx, "register", func() error {
			err := c.join(ctx, nodes, func(cfg *fleet.Config) {
				cfg.Joining, cfg.OnRegistered = 256, func() { took = time.Since(begin) }
			})
			joined = time.Since(begin)
			return err
		})
	})
	if err != nil {
		return err
	}
	r.figure(Figure{With: number(float64(nodes)) + " nodes, 256 at a time, signed HTTP, durable", Value: float64(nodes) / took.Seconds(), Unit: "nodes/s", Goal: 20_000})
	r.figure(Figure{With: "the same, until all have their sessions", Value: joined.Seconds(), Unit: "s"})
	return nil
}

// rest is for how long what rests is looked at.
const rest = 60 * time.Second

// measureSteady fills many nodes and then only looks.
func measureSteady(ctx context.Context, r *run) error {
	nodes, tasks := r.scaled(10_000), r.scaled(200_000)
	return r.on(ctx, nodes, nil, func(c *cluster) error {
		if err := c.createServices(ctx, 0, tasks, min(tasks, 100), nil); err != nil {
			return err
		}
		if err := c.runningAll(ctx, tasks); err != nil {
			return err
		}
		if err := r.watch(ctx, 15*time.Second, "coming to rest"); err != nil {
			return err
		}
		before, err := c.processorTime()
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := r.watch(ctx, rest, "at rest"); err != nil {
			return err
		}
		after, err := c.processorTime()
		if err != nil {
			return err
		}
		with := fmt.Sprintf("%s nodes with heartbeats, %s tasks running", number(float64(nodes)), number(float64(tasks)))
		r.figure(Figure{With: with + ", of one core", Value: 100 * (after - before).Seconds() / time.Since(begin).Seconds(), Unit: "%", Goal: 15, AtMost: true})
		return c.memoryFigure(with, 1.5)
	})
}

// watch only waits, and says what for.
func (r *run) watch(ctx context.Context, d time.Duration, what string) error {
	for begin := time.Now(); time.Since(begin) < d; {
		r.say("%s for %v", what, time.Since(begin).Round(time.Second))
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// measureKill kills the server and starts it again, and looks whether anything is lost.
func measureKill(ctx context.Context, r *run) error {
	tasks := r.scaled(10_000)
	return r.on(ctx, r.scaled(100), nil, func(c *cluster) error {
		if err := c.service(ctx, "bench", tasks, nil); err != nil {
			return err
		}
		if err := c.runningAll(ctx, tasks); err != nil {
			return err
		}
		var took []float64
		for round := range r.Rounds {
			begin := time.Now()
			c.kill()
			if err := c.start(ctx); err != nil {
				return err
			}
			// Agents come back by themselves; the task is placed when the first has.
			for {
				_, err := c.runTask(ctx)
				if err == nil {
					break
				}
				if time.Since(begin) > patience {
					return fmt.Errorf("no task is placed: %w", err)
				}
				if err := sleep(ctx, 5*time.Millisecond); err != nil {
					return err
				}
			}
			took = append(took, time.Since(begin).Seconds())
			if err := c.runningAll(ctx, tasks+round+1); err != nil {
				return fmt.Errorf("after a SIGKILL: %w", err)
			}
		}
		r.figure(Figure{With: fmt.Sprintf("lone server with %s tasks on %s nodes, from SIGKILL until a RunTask is placed", number(float64(tasks)), number(float64(r.scaled(100)))), Value: median(took), Unit: "s", Goal: 1.5, AtMost: true})
		return nil
	})
}

// measureReconnect restarts the server under many agents.
func measureReconnect(ctx context.Context, r *run) error {
	nodes, tasks := r.scaled(10_000), r.scaled(50_000)
	return r.on(ctx, nodes, nil, func(c *cluster) error {
		if err := c.createServices(ctx, 0, tasks, 10, nil); err != nil {
			return err
		}
		if err := c.runningAll(ctx, tasks); err != nil {
			return err
		}
		before := c.fleet.Stats()
		c.kill()
		if err := c.until(ctx, "nodes are connected yet", 0, func() (int, error) { return int(c.fleet.Stats().Connected), nil }); err != nil {
			return err
		}
		begin := time.Now()
		if err := c.start(ctx); err != nil {
			return err
		}
		if err := c.until(ctx, "nodes are connected", nodes, func() (int, error) { return int(c.fleet.Stats().Connected), nil }); err != nil {
			return err
		}
		took := time.Since(begin)
		if err := c.runningAll(ctx, tasks); err != nil {
			return err
		}
		after := c.fleet.Stats()
		r.figure(Figure{With: number(float64(nodes)) + " agents after a SIGKILL of the server, from its new start until all are connected", Value: took.Seconds(), Unit: "s", Goal: 30, AtMost: true})
		moved := (after.Assigned - before.Assigned) + (after.Stopped - before.Stopped)
		r.figure(Figure{With: fmt.Sprintf("of its %s tasks lost or started again", number(float64(tasks))), Value: float64(moved), Unit: "tasks", AtMost: true, Goal: 0.5})
		return nil
	})
}
