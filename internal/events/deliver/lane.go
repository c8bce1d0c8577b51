package deliver

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"github.com/tidwall/btree"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Bounds of what waits for targets: events beyond them are dropped and counted.
const (
	maxWaiting      = 10_000
	maxWaitingBytes = 64 << 20
)

// How many attempts a target sees at once, one that did not take the last one, and how long is waited between these.
const (
	wide         = 16
	narrow       = 2
	longestPause = ecs.Millis(5_000)
)

// AWS's retry policy where a target has none.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
const (
	defaultMaxAge     = 24 * 60 * 60
	defaultMaxRetries = 185
)

// parcel is an event on its way to one target.
type parcel struct {
	state.EventRetry
	// order keeps those that are due at the same time in theirs.
	order uint64
	// stored: there is a row for it. flying: an attempt is under way. gone: it is delivered or dropped.
	stored, flying, gone bool
}

// stand is the row for a parcel as it is: one whose attempt is under way is due at once, for the next leader.
func (p *parcel) stand(now ecs.Millis) *state.EventRetry {
	r := p.EventRetry
	if p.flying {
		r.NextAt = now
	}
	return &r
}

// lane is the way to one target.
type lane struct {
	waiting *btree.BTreeG[*parcel]
	// parcels counts those that wait and those under way, which flying counts.
	parcels, flying int
	// failures are attempts in a row that were not taken; until is when the next may be made.
	failures int
	until    ecs.Millis
	// paced is when the attempts so far would have been made at the target's rate, in milliseconds since 1970.
	paced float64
	// dropped are events given up and not told of; toldAt is when it was told.
	dropped uint64
	toldAt  ecs.Millis
}

func newLane() *lane {
	return &lane{waiting: btree.NewBTreeG(func(a, b *parcel) bool {
		return a.NextAt < b.NextAt || a.NextAt == b.NextAt && a.order < b.order
	})}
}

func (l *lane) width() int {
	if l.failures > 0 {
		return narrow
	}
	return wide
}

// due is when the lane can do something next by itself; 0 is never.
func (l *lane) due() ecs.Millis {
	first, ok := l.waiting.Min()
	if !ok || l.flying >= l.width() {
		return 0
	}
	return max(first.NextAt, l.until, ecs.Millis(l.paced)-1000)
}

func laneKey(r *state.EventRetry) string { return r.Rule + "/" + r.Target }

func (k *courier) lane(r *state.EventRetry) *lane {
	l := k.lanes[laneKey(r)]
	if l == nil {
		l = newLane()
		k.lanes[laneKey(r)] = l
	}
	return l
}

// add puts a parcel on its way.
func (k *courier) add(p *parcel) {
	k.order++
	p.order = k.order
	l := k.lane(&p.EventRetry)
	l.parcels++
	l.waiting.Set(p)
	k.known[p.Key()] = p
	k.bytes += len(p.Event)
}

// full tells whether a lane can take no more.
func (k *courier) full(l *lane) bool { return l.parcels >= maxWaiting || k.bytes >= maxWaitingBytes }

// end takes a parcel off its way.
func (k *courier) end(l *lane, p *parcel) {
	p.gone = true
	l.parcels--
	k.bytes -= len(p.Event)
	delete(k.known, p.Key())
	delete(k.writes, p.Key())
	if p.stored {
		k.writes[p.Key()] = nil
	}
}

// sweep forgets lanes that have nothing on them, once they are many: what they knew of their targets is soon known again.
func (k *courier) sweep() {
	const most = 2000
	if len(k.lanes) < most {
		return
	}
	for key, l := range k.lanes {
		if l.parcels == 0 {
			delete(k.lanes, key)
		}
	}
}

// drop gives an event up. It is told of at most every ten seconds for each target.
func (k *courier) drop(l *lane, r *state.EventRetry, why string) {
	k.Counts.Dropped.Add(1)
	l.dropped++
	if now := k.now(); now-l.toldAt >= 10_000 {
		k.Log.Warn("events were dropped", "rule", r.Rule, "target", r.Target, "events", l.dropped, "reason", why)
		l.dropped, l.toldAt = 0, now
	}
}

// start begins the attempts that are due.
func (k *courier) start(ctx context.Context) {
	now, view := k.now(), k.Store.View()
	for _, l := range k.lanes {
		for k.flying < maxFlying && l.flying < l.width() {
			if at := l.due(); at == 0 || at > now {
				break
			}
			p, _ := l.waiting.PopMin()
			rule := view.EventRules.Get(p.Rule)
			var target *state.EventTarget
			if rule != nil {
				target = rule.Target(p.Target)
			}
			switch {
			case target == nil: // It was taken away, and nobody asks for its events any more.
				k.end(l, p)
				continue
			case expired(target, p, now):
				k.drop(l, &p.EventRetry, "they are too old")
				k.end(l, p)
				continue
			}
			if perSecond := k.rateOf(view, target); perSecond > 0 {
				l.paced = max(l.paced, float64(now)) + 1000/float64(perSecond)
			}
			p.flying = true
			l.flying++
			k.flying++
			row := p.EventRetry
			k.attempts.Go(func() {
				err := k.send(ctx, view, rule, target, &row)
				select {
				case k.outcomes <- outcome{p, err}:
				case <-ctx.Done():
				}
			})
		}
	}
}

func expired(target *state.EventTarget, p *parcel, now ecs.Millis) bool {
	age := ecs.Millis(defaultMaxAge)
	if target.MaxAgeSeconds != nil {
		age = ecs.Millis(*target.MaxAgeSeconds)
	}
	return now-p.First > age*1000
}

// settle takes in how an attempt ended.
func (k *courier) settle(o outcome) {
	p, l, now := o.parcel, k.lane(&o.parcel.EventRetry), k.now()
	p.flying = false
	l.flying--
	k.flying--
	p.Attempts++
	var final *Permanent
	switch {
	case o.err == nil:
		k.Counts.Delivered.Add(1)
		l.failures, l.until = 0, 0
		k.end(l, p)
		return
	case errors.As(o.err, &final):
		k.drop(l, &p.EventRetry, o.err.Error())
		k.end(l, p)
		return
	}
	l.failures++
	l.until = now + min(longestPause, 50<<min(l.failures, 10))
	most := int32(defaultMaxRetries)
	rule := k.Store.View().EventRules.Get(p.Rule)
	if rule != nil {
		if t := rule.Target(p.Target); t != nil && t.MaxRetries != nil {
			most = *t.MaxRetries
		}
	}
	if p.Attempts > most {
		k.drop(l, &p.EventRetry, "all attempts failed, the last with: "+o.err.Error())
		k.end(l, p)
		return
	}
	k.Counts.Failed.Add(1)
	p.NextAt = now + pause(p, o.err)
	l.waiting.Set(p)
	if p.stored {
		k.writes[p.Key()] = p.stand(now)
	}
}

// pause is how long is waited after an attempt: from a second, twice as long each time, up to ten minutes, or what the target
// says; a little more or less, so that not all come back at once.
func pause(p *parcel, err error) ecs.Millis {
	const longest = 10 * 60 * 1000
	ms := ecs.Millis(min(longest, 1000<<min(p.Attempts-1, 20)))
	h := fnv.New32a()
	_, _ = h.Write([]byte(p.EventID)) // It never fails.
	ms += ms * ecs.Millis(h.Sum32()%200) / 1000
	if later := (*busyError)(nil); errors.As(err, &later) {
		ms = max(ms, ecs.Millis(min(later.after, time.Hour).Milliseconds()))
	}
	return ms
}
