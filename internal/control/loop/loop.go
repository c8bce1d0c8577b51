// Package loop runs controllers. A controller is a pure decision, Plan: from a snapshot and the time it says what to
// change and when to look again. It keeps nothing between two plans, so that it starts from any state, after any restart.
package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Change is one step of a plan. It runs in an update, on newer tables than those that were planned on, and therefore looks
// again whether what it does is still right; if not, it does nothing. An error from it undoes its batch.
type Change func(tx *state.Tx) error

// Plan is a controller's decision. Wake is when to plan again if no commit asks for it sooner; 0 is no moment.
type Plan func(now ecs.Millis, t *state.Tables) (changes []Change, wake ecs.Millis)

// Sooner makes wake, which is 0 for no moment, the earlier of itself and at.
func Sooner(wake *ecs.Millis, at ecs.Millis) {
	if *wake == 0 || at < *wake {
		*wake = at
	}
}

// Config is a controller with what it needs to run.
type Config struct {
	// Name is for the log.
	Name  string
	Store *state.Store
	Plan  Plan
	// Interested tells whether a commit calls for a plan; nil is always. It must be quick.
	Interested func(*state.Commit) bool
	// Batch is the most changes in one update; 0 is 64, which fits in an etcd transaction of default limits if each change
	// writes one value.
	Batch int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Run plans and applies until ctx ends, and returns its error then. Plans are made on the newest snapshot, never
// twice on the same one without a change of time: commits that came while one was applied are taken together.
func Run(ctx context.Context, c Config) error {
	if c.Store == nil || c.Plan == nil {
		return errors.New("loop: no store or no plan")
	}
	setDefaults(&c)
	for failures := 0; ; {
		// A feed that is left to wait holds every snapshot since, so each plan has one of its own.
		feed := c.Store.Watch()
		changes, wake := c.Plan(ecs.MillisOf(c.Now()), &feed.View().Tables)
		err := c.apply(ctx, changes)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failures++
			c.Log.Warn("controller could not apply its plan", "controller", c.Name, "error", err, "failures", failures)
			if err := pause(ctx, backoff(failures)); err != nil {
				return err
			}
			continue
		case len(changes) > 0:
			failures = 0
			continue // Look at what came of it.
		}
		failures = 0
		if err := c.wait(ctx, feed, wake); err != nil {
			return err
		}
	}
}

func setDefaults(c *Config) {
	if c.Batch == 0 {
		c.Batch = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// apply has the updates on their way together: each sees those before it, and one wait is for all.
func (c *Config) apply(ctx context.Context, changes []Change) error {
	var pending []func(context.Context) error
	for batch := range slices.Chunk(changes, c.Batch) {
		pending = append(pending, c.Store.Begin(ctx, func(tx *state.Tx) error {
			for _, change := range batch {
				if err := change(tx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	var errs []error
	for _, durable := range pending {
		errs = append(errs, durable(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// wait returns nil at the time of wake or once there is a commit of interest.
func (c *Config) wait(ctx context.Context, feed *state.Feed, wake ecs.Millis) error {
	until := ctx
	if wake != 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(ctx, wake.Time().Sub(c.Now()))
		defer cancel()
	}
	for {
		commit, err := feed.Next(until)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && until.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", c.Name, err)
		case c.Interested == nil || c.Interested(commit):
			return nil
		}
	}
}

// backoff grows from 100 ms to 10 s.
func backoff(failures int) time.Duration {
	return min(10*time.Second, 50*time.Millisecond<<min(failures, 10))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
