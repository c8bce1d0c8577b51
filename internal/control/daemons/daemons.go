// Package daemons keeps a task of each daemon on every ACTIVE instance of its capacity providers, rolls out daemons' revisions, and removes
// daemons that are deleted. It alone makes and stops their tasks, and it alone writes how their deployments go on; the API writes what is
// desired (lifecycle.DeployDaemon), and package lifecycle counts failed launches where it ends their tasks.
//
// As in package deploy, what is to be done follows from the state and the time alone, so that any leader goes on where another was.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-daemons.html
package daemons

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the controller needs. Store must be set.
type Config struct {
	Store *state.Store
	// Connected tells whether an instance's agent is there; nil means that all are. It is called inside updates.
	Connected func(ecs.InstanceID) bool
	// Bell is rung with the id of an instance whose agent has connected, and with loop.AlarmBell and the name of an alarm whose state has
	// changed; nil if all agents are there always, and there are no alarms.
	Bell *loop.Bell
	// Alarm gives the state of an alarm, and whether there is one of that name; nil is none. It is called inside updates.
	Alarm func(name string) (ecs.AlarmState, bool)
	// MaxTasks is how many tasks one update makes or stops; 0 is 50, which fits in an etcd transaction of default limits.
	MaxTasks int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Run keeps daemons until ctx ends.
func Run(ctx context.Context, c Config) error {
	if c.MaxTasks == 0 {
		c.MaxTasks = 50
	}
	return loop.RunKeyed(ctx, loop.Keyed{
		Name: "daemons", Store: c.Store, Now: c.Now, Log: c.Log, All: keys, Touched: touched, Plan: c.plan, Bell: c.Bell, Rung: rung,
		// A change is a whole update's worth.
		Batch: 1,
	})
}

func keys(t *state.Tables) iter.Seq[string] { return keysOf(t.Daemons.All()) }

func keysOf(all iter.Seq[*ecs.Daemon]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for d := range all {
			if !yield(d.Key()) {
				return
			}
		}
	}
}

// touched gives the daemons that a commit is about: those that changed, those whose tasks did, and those of a cluster whose instances
// changed or where a task has stopped that room was waited for, or the end of.
func touched(c *state.Commit) iter.Seq[string] {
	if c.View.Daemons.Len() == 0 {
		return func(func(string) bool) {}
	}
	found, clusters := map[string]bool{}, map[string]bool{}
	for _, ch := range c.Daemons {
		if ch.New != nil {
			found[ch.New.Key()] = true
		}
	}
	for _, ch := range c.DaemonDeployments {
		if ch.New != nil {
			found[ch.New.Cluster+"/"+ch.New.Daemon] = true
		}
	}
	for _, ch := range c.Tasks {
		if ch.New == nil {
			continue
		}
		if name, ok := ecs.DaemonOfGroup(ch.New.Group); ok {
			found[ch.New.Cluster+"/"+name] = true
		}
		if ch.New.LastStatus >= ecs.TaskStopped {
			clusters[ch.New.Cluster] = true
		}
	}
	for _, ch := range c.Instances {
		if i := ch.New; i != nil && (ch.Old == nil || ch.Old.Status != i.Status || ch.Old.CapacityProvider != i.CapacityProvider || ch.Old.Version != i.Version) {
			clusters[i.Cluster] = true
		}
	}
	for cluster := range clusters {
		for d := range c.View.Daemons.Under(cluster) {
			found[d.Key()] = true
		}
	}
	return func(yield func(string) bool) {
		for key := range found {
			if !yield(key) {
				return
			}
		}
	}
}

// rung gives the daemons that an agent that connects, or an alarm, is something to.
func rung(t *state.Tables, name string) iter.Seq[string] {
	if alarm, ok := strings.CutPrefix(name, loop.AlarmBell); ok {
		return keysOf(func(yield func(*ecs.Daemon) bool) {
			for d := range t.Daemons.All() {
				if dep := t.DaemonDeployments.Get(d.Key() + "/" + d.Deployment); dep != nil && slices.Contains(dep.Configuration.AlarmNames, alarm) && !yield(d) {
					return
				}
			}
		})
	}
	id, err := ecs.ParseInstanceID(name)
	if i := t.Instances.Get(id); err == nil && i != nil {
		return keysOf(t.Daemons.Under(i.Cluster))
	}
	return func(func(string) bool) {}
}

// plan looks whether there is something to do for a daemon. What exactly is decided again in the update, on what is true by then.
func (c *Config) plan(now ecs.Millis, t *state.Tables, key string) ([]loop.Change, ecs.Millis) {
	d := t.Daemons.Get(key)
	if d == nil {
		return nil, 0
	}
	todo := c.decide(now, t, d, lifecycle.CurrentDaemonDeployment(t, d))
	if todo.nothing() {
		return nil, todo.wake
	}
	return []loop.Change{func(tx *state.Tx) error { return c.carryOut(tx, now, key) }}, todo.wake
}
