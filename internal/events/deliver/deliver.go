// Package deliver brings what the outbox has to the targets of the rules that match it, on the leader.
//
// It takes records out of the outbox, matches them, sends, and then, in one update if it fits in one, deletes the records and
// keeps what is not delivered yet as retries. What was sent before a leader's end and not written down is sent again by the next:
// everything is delivered at least once. It alone writes EventRetries, takes records out of EventOutbox and moves NextAt of
// rules on.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the delivery needs. Client, Timeout, Now, Log and Counts have defaults.
type Config struct {
	Store  *state.Store
	Place  ecs.Place
	Outbox *events.Outbox
	Keeper *secrets.Keeper
	// Limits are those of one of the store's transactions.
	Limits state.Limits
	// WriteLog puts an event into a log group.
	WriteLog func(ctx context.Context, group, stream string, at time.Time, message string) error
	// RunTask starts tasks. It must do so once for each token.
	RunTask func(ctx context.Context, call TaskCall) error
	// Client sends to API destinations; nil is one that follows no redirects and calls no link-local addresses.
	Client *http.Client
	// Timeout is how long an attempt may take; 0 is the 5 s that API destinations have.
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Log    *slog.Logger
	Counts *Counts
}

// TaskCall is a RunTask that a target asks for.
type TaskCall struct {
	Cluster string
	Task    *state.EventTask
	// Input is JSON, of which containerOverrides and the like are taken.
	Input string
	// Token is the client token: the same for every attempt at an event.
	Token     string
	StartedBy string
}

// Counts are what became of events since the start.
type Counts struct {
	// Delivered are events that targets took, Failed attempts that will be made again, Dropped events that were given up.
	Delivered, Failed, Dropped atomic.Uint64
}

// Permanent is an error that another attempt would meet again.
type Permanent struct{ Err error }

func (e *Permanent) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Permanent) Unwrap() error { return e.Err }

// Bounds of one turn, and of what is under way.
const (
	maxRecords    = 256
	maxFresh      = 1000
	maxFlying     = 256
	patience      = 50 * time.Millisecond
	maxChunkOps   = 512
	maxChunkBytes = 1 << 20
)

// courier is a running delivery; all but the attempts themselves is done by one goroutine.
type courier struct {
	Config
	feed     *state.Feed
	patterns *events.Patterns
	lanes    map[string]*lane
	// known are the parcels that wait or are under way, by their keys; bytes are those of their events.
	known  map[string]*parcel
	bytes  int
	flying int
	order  uint64
	// writes are retries to be stored, or, where nil, to be deleted.
	writes map[string]*state.EventRetry
	// scheduleAt is when a rule is due next; 0 is never, -1 that it is not known.
	scheduleAt ecs.Millis
	// untold is how many events the full outbox had dropped when it was last said.
	untold   uint64
	outcomes chan outcome
	attempts sync.WaitGroup
}

type outcome struct {
	parcel *parcel
	err    error
}

// Run delivers until ctx ends, and returns its error then.
func Run(ctx context.Context, c Config) error {
	if c.Store == nil || c.Outbox == nil || c.Keeper == nil || c.WriteLog == nil || c.RunTask == nil {
		return errors.New("deliver: Store, Outbox, Keeper, WriteLog and RunTask must be set")
	}
	setDefaults(&c)
	k := &courier{
		Config: c, patterns: events.NewPatterns(c.Log), lanes: map[string]*lane{}, known: map[string]*parcel{},
		writes: map[string]*state.EventRetry{}, scheduleAt: -1, outcomes: make(chan outcome),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer k.attempts.Wait()
	defer cancel()
	return k.run(ctx)
}

func setDefaults(c *Config) {
	if c.Client == nil {
		c.Client = newClient()
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Counts == nil {
		c.Counts = &Counts{}
	}
	if c.Limits == (state.Limits{}) {
		c.Limits = state.Limits{Ops: 128, Bytes: maxChunkBytes}
	}
}

func (k *courier) now() ecs.Millis { return ecs.MillisOf(k.Now()) }

func (k *courier) run(ctx context.Context) error {
	k.feed = k.Store.Watch()
	for r := range k.feed.View().EventRetries.All() {
		k.add(&parcel{EventRetry: *r, stored: true})
	}
	for {
		if err := k.turn(ctx); err != nil {
			return err
		}
		if err := k.wait(ctx); err != nil {
			return err
		}
	}
}

// turn does all there is to do now.
func (k *courier) turn(ctx context.Context) error {
	if err := k.fire(ctx); err != nil {
		return err
	}
	records, fresh := k.take()
	k.start(ctx)
	if len(fresh) > 0 {
		k.firstAttempts(ctx, fresh)
	}
	for _, p := range fresh {
		if !p.gone {
			k.writes[p.Key()] = p.stand(k.now())
		}
	}
	if err := k.commit(ctx, records); err != nil {
		return err
	}
	for _, p := range fresh {
		p.stored = true
	}
	k.tellOfOutbox()
	return nil
}

// firstAttempts gives new events a moment, so that most of them are delivered before they would have to be stored once more.
func (k *courier) firstAttempts(ctx context.Context, fresh []*parcel) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for k.anyFlying(fresh) {
		select {
		case o := <-k.outcomes:
			k.settle(o)
			k.start(ctx)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (k *courier) anyFlying(fresh []*parcel) bool {
	for _, p := range fresh {
		if p.flying {
			return true
		}
	}
	return false
}

// commit stores what came of attempts and then takes records out of the outbox. It tries until it can.
func (k *courier) commit(ctx context.Context, records []string) error {
	ops := make([]func(*state.Tx), 0, len(k.writes)+len(records))
	sizes := make([]int, 0, cap(ops))
	for key, r := range k.writes {
		if r == nil {
			ops, sizes = append(ops, func(tx *state.Tx) { tx.EventRetries.Delete(key) }), append(sizes, len(key))
			continue
		}
		ops, sizes = append(ops, func(tx *state.Tx) { tx.EventRetries.Put(r) }), append(sizes, 2*len(r.Event)+512)
	}
	for _, key := range records {
		ops, sizes = append(ops, func(tx *state.Tx) { tx.EventOutbox.Delete(key) }), append(sizes, len(key))
	}
	clear(k.writes)
	for len(ops) > 0 {
		n, bytes := 0, 0
		for n < len(ops) && n < min(maxChunkOps, k.Limits.Ops) && (n == 0 || bytes+sizes[n] < min(maxChunkBytes, k.Limits.Bytes)) {
			bytes += sizes[n]
			n++
		}
		if err := k.update(ctx, ops[:n]); err != nil {
			return err
		}
		ops, sizes = ops[n:], sizes[n:]
	}
	return nil
}

func (k *courier) update(ctx context.Context, ops []func(*state.Tx)) error {
	for failures := 0; ; failures++ {
		err := k.Store.Update(ctx, func(tx *state.Tx) error {
			for _, op := range ops {
				op(tx)
			}
			return nil
		})
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		k.Log.Warn("what became of events could not be stored", "error", err, "failures", failures+1)
		t := time.NewTimer(min(10*time.Second, 100*time.Millisecond<<min(failures, 10)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// wait returns when there is something to do.
func (k *courier) wait(ctx context.Context) error {
	// What is not read of the feed is kept in memory.
	for k.feed.Ready() {
		if _, err := k.next(ctx); err != nil {
			return err
		}
	}
	if len(k.writes) > 0 || k.scheduleAt < 0 || k.Store.View().EventOutbox.Len() > 0 {
		return ctx.Err()
	}
	var timer <-chan time.Time
	if at := k.wake(); at != 0 {
		t := time.NewTimer(at.Time().Sub(k.Now()))
		defer t.Stop()
		timer = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer:
			return nil
		case o := <-k.outcomes:
			k.settle(o)
			return nil
		case <-k.feed.Coming():
			if calls, err := k.next(ctx); calls || err != nil {
				return err
			}
		}
	}
}

// next reads a commit, and tells whether it calls for a turn.
func (k *courier) next(ctx context.Context) (bool, error) {
	commit, err := k.feed.Next(ctx)
	if err != nil {
		return false, fmt.Errorf("deliver: %w", err)
	}
	if len(commit.EventRules) > 0 {
		k.scheduleAt = -1
	}
	return len(commit.EventRules)+len(commit.EventOutbox) > 0, nil
}

// wake is the earliest moment at which something is due; 0 is none.
func (k *courier) wake() ecs.Millis {
	at := max(0, k.scheduleAt)
	if k.flying >= maxFlying {
		return at // The next outcome makes room.
	}
	for _, l := range k.lanes {
		if t := l.due(); t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	return at
}

func (k *courier) tellOfOutbox() {
	if n := k.Outbox.Dropped(); n != k.untold {
		k.Counts.Dropped.Add(n - k.untold)
		k.Log.Error("events were dropped: the outbox is full", "events", n-k.untold)
		k.untold = n
	}
}
