package deliver

import (
	"context"
	"time"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/schedule"
	"roadstead.dev/roadstead/internal/state"
)

// take puts the oldest records' events on their ways. It gives the keys of the records and the events that are new.
func (k *courier) take() (records []string, fresh []*parcel) {
	k.sweep()
	view := k.Store.View()
	for r := range view.EventOutbox.All() {
		if len(records) >= maxRecords || len(fresh) >= maxFresh {
			break
		}
		records = append(records, view.EventOutbox.Key(r))
		list, err := events.Describe(k.Place, &view.Tables, r)
		if err != nil {
			k.Counts.Dropped.Add(uint64(len(r.Changes)))
			k.Log.Error("a record of the outbox was dropped", "number", r.Number, "error", err)
			continue
		}
		for i := range list {
			fresh = k.route(view, &list[i], fresh)
		}
	}
	return records, fresh
}

// route puts an event on the ways to all targets of the rules that match it.
func (k *courier) route(view *state.View, d *events.Described, fresh []*parcel) []*parcel {
	if d.Rule != "" {
		if rule := view.EventRules.Get(d.Rule); rule != nil && rule.State != state.RuleDisabled {
			return k.toTargets(rule, d, fresh)
		}
		return fresh
	}
	rules, err := k.patterns.Matching(view.EventRules, d.Bus, d.JSON)
	if err != nil {
		k.Counts.Dropped.Add(1)
		k.Log.Error("an event was dropped", "event", d.ID, "error", err)
	}
	for _, rule := range rules {
		fresh = k.toTargets(rule, d, fresh)
	}
	return fresh
}

func (k *courier) toTargets(rule *state.EventRule, d *events.Described, fresh []*parcel) []*parcel {
	at := ecs.MillisOf(d.At)
	for i := range rule.Targets {
		p := &parcel{EventRetry: state.EventRetry{Rule: rule.Key(), Target: rule.Targets[i].ID, EventID: d.ID, Event: d.JSON, First: at, NextAt: at}}
		if k.known[p.Key()] != nil {
			continue // A leader before kept it for a retry and did not come to delete the record.
		}
		if l := k.lane(&p.EventRetry); k.full(l) {
			k.drop(l, &p.EventRetry, "too many wait already")
			continue
		}
		k.add(p)
		fresh = append(fresh, p)
	}
	return fresh
}

// fire puts events of the schedules that are due into the outbox, and moves them on, in one update. A time that was missed, as nobody
// led, is made up for once.
func (k *courier) fire(ctx context.Context) error {
	now := k.now()
	if k.scheduleAt == 0 || k.scheduleAt > now {
		return nil
	}
	var due []*state.EventRule
	k.scheduleAt = 0
	for r := range k.Store.View().EventRules.All() {
		switch {
		case r.NextAt == 0 || r.State == state.RuleDisabled:
		case r.NextAt <= now:
			due = append(due, r)
			k.scheduleAt = -1
		case k.scheduleAt == 0 || k.scheduleAt > 0 && r.NextAt < k.scheduleAt:
			k.scheduleAt = r.NextAt
		}
	}
	if len(due) == 0 {
		return nil
	}
	return k.update(ctx, []func(*state.Tx){func(tx *state.Tx) {
		var changes []state.EventChange
		for _, r := range due {
			if cur := tx.EventRules.Get(r.Key()); cur == nil || cur.NextAt != r.NextAt || cur.State == state.RuleDisabled {
				continue
			}
			changes = k.fireRule(tx, tx.EventRules.Get(r.Key()), now, changes)
		}
		k.Outbox.Put(tx, changes)
	}})
}

func (k *courier) fireRule(tx *state.Tx, old *state.EventRule, now ecs.Millis, changes []state.EventChange) []state.EventChange {
	rule := *old
	at := old.NextAt
	s, err := schedule.Parse(old.Schedule)
	if err != nil {
		k.Log.Error("a rule is never due: its schedule cannot be read", "rule", old.Key(), "error", err)
		rule.NextAt = 0
		tx.EventRules.Put(&rule)
		return changes
	}
	at, rule.NextAt = latest(s, at, now)
	tx.EventRules.Put(&rule)
	if len(rule.Targets) == 0 {
		return changes
	}
	arn := events.RuleARN(k.Place, &rule)
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(arn+at.Time().String())).String()
	e := events.New(k.Place, id, events.SourceEvents, events.TypeScheduled, at, arn)
	e.Detail = struct{}{}
	text, err := e.JSON()
	if err != nil {
		k.Log.Error("the event of a schedule cannot be written", "rule", old.Key(), "error", err)
		return changes
	}
	return append(changes, state.EventChange{Event: text, Bus: rule.Bus, Rule: rule.Key()})
}

// latest gives the last time that is due, and the first that is not.
func latest(s *schedule.Schedule, at, now ecs.Millis) (last, next ecs.Millis) {
	const most = 10_000
	for range most {
		t := s.Next(at.Time())
		if t.IsZero() {
			return at, 0
		}
		if next = ecs.MillisOf(t); next > now {
			return at, next
		}
		at = next
	}
	t := s.Next(now.Time())
	if t.IsZero() {
		return now, 0
	}
	return now, ecs.MillisOf(t.Truncate(time.Millisecond))
}
