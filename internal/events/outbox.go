package events

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// kinds is a set of detail types of ECS's own events.
type kinds uint8

const (
	tasks kinds = 1 << iota
	instances
	services
	deployments
	daemons
	rollouts
	all = tasks | instances | services | deployments | daemons | rollouts
)

// Outbox notes what Updates have to tell the rules there are. Its method Note is state.Config.Outbox.
type Outbox struct {
	place ecs.Place
	now   func() time.Time
	// The fields below are used inside updates only, which run one at a time.

	// wanted has, for each rule as it is stored, what it may match, so that what no rule asks for costs nothing.
	wanted map[*state.EventRule]kinds
	last   uint64

	dropped atomic.Uint64
}

// maxRecords bounds what waits for a delivery that does not keep up: what is beyond it is dropped and counted.
const maxRecords = 20_000

// Dropped counts the events that found the outbox full.
func (o *Outbox) Dropped() uint64 { return o.dropped.Load() }

// NewOutbox makes an Outbox; a nil now is time.Now.
func NewOutbox(place ecs.Place, now func() time.Time) *Outbox {
	if now == nil {
		now = time.Now
	}
	return &Outbox{place: place, now: now, wanted: map[*state.EventRule]kinds{}}
}

// Note puts what a rule may want to hear of an update's changes into the outbox, as one record.
func (o *Outbox) Note(tx *state.Tx, c *state.Commit) {
	if len(c.Tasks)+len(c.Instances)+len(c.Services)+len(c.ServiceEvents)+len(c.Daemons)+len(c.DaemonDeployments) == 0 {
		return
	}
	want := o.want(tx.EventRules)
	if want == 0 {
		return
	}
	at := ecs.MillisOf(o.now())
	var out []state.EventChange
	if want&tasks != 0 {
		for _, ch := range c.Tasks {
			if t := ch.New; t != nil && (ch.Old == nil || ch.Old.Version != t.Version) {
				out = append(out, state.EventChange{Task: t})
			}
		}
	}
	if want&instances != 0 {
		out = instancesOf(out, tx, c)
	}
	if want&services != 0 {
		out = o.actions(out, c.ServiceEvents)
	}
	if want&deployments != 0 {
		out = o.deployments(out, c.Services, at)
	}
	if want&daemons != 0 {
		out = o.impaired(out, tx, c)
	}
	if want&rollouts != 0 {
		out = o.rollouts(out, c.DaemonDeployments)
	}
	o.put(tx, at, out)
}

// instancesOf adds the instances that changed, and those whose resources a task takes or gives back.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
func instancesOf(out []state.EventChange, tx *state.Tx, c *state.Commit) []state.EventChange {
	seen := map[ecs.InstanceID]bool{}
	add := func(i *ecs.Instance) {
		if i == nil || seen[i.ID] {
			return
		}
		seen[i.ID] = true
		n := tx.InstanceCounts(i.ID)
		out = append(out, state.EventChange{Instance: &state.EventInstance{Instance: *i, InUse: tx.InUse(i.ID), Running: n.Running, Pending: n.Pending}})
	}
	for _, ch := range c.Instances {
		if i := ch.New; i != nil && (ch.Old == nil || ch.Old.Version != i.Version) {
			add(i)
		}
	}
	for _, ch := range c.Tasks {
		takes := ch.Old == nil && ch.New != nil
		gives := ch.Old != nil && ch.New != nil && ch.Old.LastStatus < ecs.TaskStopped && ch.New.LastStatus >= ecs.TaskStopped
		if takes || gives {
			add(tx.Instances.Get(ch.New.Instance))
		}
	}
	return out
}

// Put notes events that are written out already, for the rules of a bus or for one rule. It is called inside an update, which
// must not note the same otherwise.
func (o *Outbox) Put(tx *state.Tx, changes []state.EventChange) {
	o.put(tx, ecs.MillisOf(o.now()), changes)
}

func (o *Outbox) put(tx *state.Tx, at ecs.Millis, changes []state.EventChange) {
	if len(changes) == 0 {
		return
	}
	if tx.EventOutbox.Len() >= maxRecords {
		o.dropped.Add(uint64(len(changes)))
		return
	}
	// By time, so that those of the leader before come first; the clock may stand still or go back.
	o.last = max(o.last+1, uint64(at)<<20)
	r := &state.EventRecord{Number: o.last, At: at, Changes: changes}
	for tx.EventOutbox.Get(tx.EventOutbox.Key(r)) != nil {
		o.last++
		r.Number = o.last
	}
	tx.EventOutbox.Put(r)
}

// want is what the rules together may match.
func (o *Outbox) want(rules *state.Records[state.EventRule]) kinds {
	var want kinds
	for r := range rules.Under(DefaultBus) {
		k, ok := o.wanted[r]
		if !ok {
			k = mayMatch(r)
			o.wanted[r] = k
		}
		want |= k
	}
	if len(o.wanted) > 2*rules.Len()+64 {
		clear(o.wanted) // Rules that were replaced.
	}
	return want
}

// mayMatch looks at the pattern's source and detail-type alone: it says too much where they are not plain values.
func mayMatch(r *state.EventRule) kinds {
	if !r.Listens() {
		return 0
	}
	var p struct {
		Source     []any `json:"source"`
		DetailType []any `json:"detail-type"`
	}
	if err := json.Unmarshal([]byte(r.Pattern), &p); err != nil {
		return all // Not the plain form; the delivery looks closer.
	}
	if !mayBe(p.Source, SourceECS) {
		return 0
	}
	var k kinds
	for bit, name := range map[kinds]string{tasks: TypeTask, instances: TypeInstance, services: TypeService, deployments: TypeDeployment, daemons: TypeDaemon, rollouts: TypeRollout} {
		if mayBe(p.DetailType, name) {
			k |= bit
		}
	}
	return k
}

func mayBe(values []any, want string) bool {
	for _, v := range values {
		s, plain := v.(string)
		if !plain || s == want {
			return true
		}
	}
	return values == nil
}
