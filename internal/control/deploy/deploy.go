// Package deploy keeps services at their desired counts and rolls out their deployments. It alone makes and stops the tasks of
// services, and it alone writes their deployments' rollout states, their events, and DRAINING and INACTIVE's end of them; the
// API writes what is desired, and package lifecycle counts failed launches where it ends their tasks.
//
// What is to be done follows from the service, its deployments' counts and the time alone (decide); all progress is in the
// state, so any leader goes on where another was.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
package deploy

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
	// Agents is rung with the id of an instance whose agent has connected, and with loop.AlarmBell and the name of an alarm whose state has
	// changed; nil if all agents are there always, and there are no alarms.
	Agents *loop.Bell
	// Alarm gives the state of an alarm, and whether there is one of that name; nil is none. It is called inside updates.
	Alarm func(name string) (ecs.AlarmState, bool)
	// Subnets is where tasks in awsvpc get their addresses.
	Subnets lifecycle.Subnets
	// MaxTasks is how many tasks one update makes or stops; 0 is 50, which fits in an etcd transaction of default limits.
	MaxTasks int
	// Large, if set, tells when many tasks are made or stopped.
	Large *loop.Large
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Services that wait for room are woken by instances and agents that come and by tasks that stop. So that many of them cost no more
// than some thousand looks a second, each is then looked at as many milliseconds after the last time as there are beyond fewWaiting.
const fewWaiting = 100

// Run keeps services until ctx ends.
func Run(ctx context.Context, c Config) error {
	if c.MaxTasks == 0 {
		c.MaxTasks = 50
	}
	k := &controller{Config: c, unplaced: map[string]map[string]ecs.Millis{}, daemons: map[string]map[string]bool{}}
	return loop.RunKeyed(ctx, loop.Keyed{
		Name: "deploy", Store: c.Store, Now: c.Now, Log: c.Log, All: keys, Touched: k.touched, Plan: k.plan,
		Bell: c.Agents, Rung: k.joined, Large: c.Large,
		// A change is a whole update's worth.
		Batch: 1,
	})
}

// controller is a running one. unplaced has, by cluster, the services that wait for room, and when a place was last looked for: a
// hint whom to wake, which is found again after a restart.
type controller struct {
	Config
	unplaced map[string]map[string]ecs.Millis
	// daemons has, by cluster, the services with a task on each instance, which are woken by what happens to instances.
	daemons map[string]map[string]bool
}

func keys(t *state.Tables) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s := range t.Services.All() {
			if s.Status != ecs.ServiceInactive && !yield(s.Key()) {
				return
			}
		}
	}
}

// touched gives the services that a commit is about: those that changed, those whose tasks did, and where there may be room
// now, or instances drain, those of the cluster. An instance may take tasks when a daemon runs there, or is not needed any more.
func (k *controller) touched(c *state.Commit) iter.Seq[string] {
	return func(yield func(string) bool) {
		freed, opened := map[string]bool{}, map[string]bool{}
		for _, ch := range c.Services {
			if ch.New != nil && !yield(ch.New.Key()) {
				return
			}
		}
		for _, ch := range c.ServiceDeployments {
			if ch.New != nil && !yield(ch.New.Cluster+"/"+ch.New.Service) {
				return
			}
		}
		for _, ch := range c.Tasks {
			t := ch.New
			if t == nil {
				t = ch.Old
			}
			if name, ok := ecs.ServiceOfGroup(t.Group); ok && !yield(t.Cluster+"/"+name) {
				return
			}
			if t.LastStatus >= ecs.TaskStopped {
				freed[t.Cluster] = true
			}
			if _, ok := ecs.DaemonOfGroup(t.Group); ok && t.LastStatus == ecs.TaskRunning {
				opened[t.Cluster] = true
			}
		}
		for _, ch := range c.Daemons {
			if ch.Old != nil {
				opened[ch.Old.Cluster] = true
			}
		}
		for cluster := range opened {
			if !k.wakeUnplaced(cluster, yield) || !k.wakeDaemons(cluster, yield) {
				return
			}
		}
		for cluster := range freed {
			if !k.wakeUnplaced(cluster, yield) || c.View.ClusterCounts(cluster).Draining > 0 && !k.wakeDaemons(cluster, yield) {
				return
			}
		}
		for _, ch := range c.Instances {
			if !k.instanceChanged(c.View, ch, yield) {
				return
			}
		}
	}
}

func (k *controller) wakeUnplaced(cluster string, yield func(string) bool) bool {
	for key := range k.unplaced[cluster] {
		if !yield(key) {
			return false
		}
	}
	return true
}

func (k *controller) wakeDaemons(cluster string, yield func(string) bool) bool {
	for key := range k.daemons[cluster] {
		if !yield(key) {
			return false
		}
	}
	return true
}

func zoneOf(i *ecs.Instance) string {
	zone, _ := i.Attribute(ecs.AttributeZone)
	return zone
}

// sameAttributes tells that a change of an instance is nothing to placement constraints.
func sameAttributes(a, b *ecs.Instance) bool {
	return a.CapacityProvider == b.CapacityProvider && slices.Equal(a.Attributes, b.Attributes)
}

func (k *controller) instanceChanged(v *state.View, ch state.Change[ecs.Instance], yield func(string) bool) bool {
	i := ch.New
	if i == nil {
		i = ch.Old
	}
	if ch.Old != nil && ch.New != nil && ch.Old.Status == ch.New.Status && zoneOf(ch.Old) == zoneOf(ch.New) {
		return k.wakeUnplaced(i.Cluster, yield) && (sameAttributes(ch.Old, ch.New) || k.wakeDaemons(i.Cluster, yield))
	}
	for s := range v.Services.Under(i.Cluster) {
		if s.Status != ecs.ServiceInactive && !yield(s.Key()) {
			return false
		}
	}
	return true
}

// joined gives the services that an agent that connects may have room for.
func (k *controller) joined(t *state.Tables, instance string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if strings.HasPrefix(instance, loop.AlarmBell) {
			watching(t, instance, yield)
			return
		}
		id, err := ecs.ParseInstanceID(instance)
		if err != nil {
			return
		}
		if i := t.Instances.Get(id); i != nil {
			_ = k.wakeUnplaced(i.Cluster, yield) && k.wakeDaemons(i.Cluster, yield)
		}
	}
}

// plan looks whether there is something to do for a service. What exactly is decided again in the update, on what is true by then.
func (k *controller) plan(now ecs.Millis, t *state.Tables, key string) ([]loop.Change, ecs.Millis) {
	cluster, _, _ := strings.Cut(key, "/")
	s := t.Services.Get(key)
	if s == nil || s.Status == ecs.ServiceInactive {
		delete(k.unplaced[cluster], key)
		delete(k.daemons[cluster], key)
		return nil, 0
	}
	if s.SchedulingStrategy == ecs.SchedulingDaemon {
		if k.daemons[cluster] == nil {
			k.daemons[cluster] = map[string]bool{}
		}
		k.daemons[cluster][key] = true
	}
	if s.External() {
		return k.planExternal(now, t, s)
	}
	d := k.decide(now, t, s, current(t, s))
	if s.Progress.Unplaced == "" {
		delete(k.unplaced[cluster], key)
	} else if loop.Sooner(&d.wake, s.Progress.UnplacedAt+repeatUnplaced); d.start == 0 && len(d.places) == 0 {
		delete(k.unplaced[cluster], key)
	} else if wait := k.waiting(now, cluster, key); wait != 0 && d.turn == noTurn && len(d.stops) == 0 {
		loop.Sooner(&d.wake, wait)
		return nil, d.wake
	}
	if d.nothing() {
		return nil, d.wake
	}
	// What is more than an update makes goes on in the next ones, without a wait for each: they decide anew, and those that find
	// nothing to do change nothing.
	changes := make([]loop.Change, min(mostUpdates, 1+(d.start+len(d.stops))/k.MaxTasks))
	for i := range changes {
		changes[i] = func(tx *state.Tx) error { return k.carryOut(tx, now, key) }
	}
	return changes, d.wake
}

// mostUpdates is how many updates of one service are under way at a time.
const mostUpdates = 16

// waiting notes a service that waits for room, and gives the moment before which no place is looked for; 0 is now.
func (k *controller) waiting(now ecs.Millis, cluster, key string) ecs.Millis {
	of := k.unplaced[cluster]
	if of == nil {
		of = map[string]ecs.Millis{}
		k.unplaced[cluster] = of
	}
	last, known := of[key]
	if beyond := ecs.Millis(len(of) - fewWaiting); known && now < last+beyond {
		return last + beyond
	}
	of[key] = now
	return 0
}
