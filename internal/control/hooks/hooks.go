// Package hooks calls the targets of deployments' life-cycle hooks over HTTP, where AWS calls Lambda functions, and writes what they
// answer into the service deployment; package deploy goes on from that. It alone writes the calls, failures and next calls of hooks.
//
// A call may be made twice: its outcome is known only once it is stored, and another leader makes those again that have none.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the controller needs. Store and Place must be set.
type Config struct {
	Store *state.Store
	// Place makes the ARNs that targets are told.
	Place ecs.Place
	// Client calls the targets; nil is one that follows no redirects.
	Client *http.Client
	// Timeout is how long a call may take; 0 is a Lambda function's longest, 15 minutes.
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// How often a target is called that does not answer, how long is waited between, and after an answer of IN_PROGRESS.
const (
	maxFailures             = 5
	retryDelay   ecs.Millis = 2_000
	defaultDelay ecs.Millis = 30_000
)

// caller is a running controller. under has the runs whose target is being called; it is the loop's own.
type caller struct {
	Config
	under    map[string]bool
	finished chan string
	calls    sync.WaitGroup
}

// Run calls targets until ctx ends, and returns its error then.
func Run(ctx context.Context, c Config) error {
	if c.Store == nil {
		return errors.New("hooks: no store")
	}
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &caller{Config: c, under: map[string]bool{}, finished: make(chan string)}
	ctx, cancel := context.WithCancel(ctx)
	defer k.calls.Wait()
	defer cancel()
	return k.run(ctx)
}

func (k *caller) run(ctx context.Context) error {
	feed := k.Store.Watch()
	open := map[string]bool{}
	for d := range feed.View().ServiceDeployments.All() {
		if waiting(d) {
			open[d.Key()] = true
		}
	}
	for {
		wake := k.start(ctx, open)
		var timer <-chan time.Time
		if wake != 0 {
			timer = time.After(wake.Time().Sub(k.Now()))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer:
		case id := <-k.finished:
			delete(k.under, id)
		case <-feed.Coming():
			commit, err := feed.Next(ctx)
			if err != nil {
				return err
			}
			for _, ch := range commit.ServiceDeployments {
				if ch.New != nil && waiting(ch.New) {
					open[ch.New.Key()] = true
				}
			}
		}
	}
}

// start begins the calls that are due, forgets deployments that wait for none, and tells when the next is due.
func (k *caller) start(ctx context.Context, open map[string]bool) (wake ecs.Millis) {
	now, view := ecs.MillisOf(k.Now()), k.Store.View()
	for key := range open {
		d := view.ServiceDeployments.Get(key)
		if d == nil || !waiting(d) {
			delete(open, key)
			continue
		}
		for i := range d.Hooks {
			run := &d.Hooks[i]
			switch {
			case !isCall(d, run) || k.under[run.ID]:
			case run.NextCall <= now:
				k.under[run.ID] = true
				k.calls.Go(func() { k.call(ctx, d, *run) })
			default:
				loop.Sooner(&wake, run.NextCall)
			}
		}
	}
	return wake
}

// waiting tells whether a deployment waits for a target.
func waiting(d *ecs.ServiceDeployment) bool {
	return slices.ContainsFunc(d.Hooks, func(h ecs.HookRun) bool { return isCall(d, &h) })
}

func isCall(d *ecs.ServiceDeployment, run *ecs.HookRun) bool {
	return d.Status == ecs.ServiceDeploymentInProgress && run.Stage == d.Stage && run.Status == ecs.HookInProgress && run.Hook < len(d.Configuration.Hooks) &&
		d.Configuration.Hooks[run.Hook].TargetType == ecs.HookLambda
}

// call calls a target once and stores what came of it.
func (k *caller) call(ctx context.Context, d *ecs.ServiceDeployment, run ecs.HookRun) {
	answer, err := k.post(ctx, d, &run)
	if ctx.Err() == nil {
		k.keep(ctx, d.Key(), run.ID, answer, err)
	}
	select {
	case k.finished <- run.ID:
	case <-ctx.Done():
	}
}

// keep stores the outcome of a call. If it cannot, the target is called again.
func (k *caller) keep(ctx context.Context, key, id string, answer *reply, failure error) {
	err := k.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.ServiceDeployments.Get(key)
		if old == nil {
			return nil
		}
		i := slices.IndexFunc(old.Hooks, func(h ecs.HookRun) bool { return h.ID == id })
		if i < 0 || !isCall(old, &old.Hooks[i]) {
			return nil
		}
		d := *old
		d.Hooks = slices.Clone(old.Hooks)
		now := ecs.MillisOf(k.Now())
		settle(&d.Hooks[i], now, answer, failure)
		d.UpdatedAt = now
		tx.ServiceDeployments.Put(&d)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		k.Log.Warn("the outcome of a lifecycle hook could not be stored", "deployment", key, "hook", id, "error", err)
	}
}

// settle writes an outcome into a run. A target that does not answer is called again a few times; one that answers wrongly has failed.
func settle(run *ecs.HookRun, now ecs.Millis, answer *reply, failure error) {
	run.Calls++
	fail := func(reason string) { run.Status, run.Reason, run.NextCall = ecs.HookFailed, reason, 0 }
	var wrong *wrongAnswer
	switch {
	case errors.As(failure, &wrong):
		fail(wrong.Error())
		return
	case failure != nil:
		if run.Failures++; run.Failures >= maxFailures {
			fail(fmt.Sprintf("The hook target did not answer %d times.", run.Failures))
			return
		}
		run.NextCall = now + retryDelay<<(run.Failures-1)
		return
	}
	run.Failures = 0
	switch answer.HookStatus {
	case ecs.HookSucceeded:
		run.Status, run.NextCall = ecs.HookSucceeded, 0
	case ecs.HookFailed:
		fail("The hook target answered FAILED.")
	default:
		delay := defaultDelay
		if answer.CallBackDelay > 0 {
			delay = ecs.Millis(answer.CallBackDelay * 1000)
		}
		run.NextCall = now + delay
		if len(answer.HookDetails) > 0 {
			run.Details = string(answer.HookDetails)
		}
	}
}
