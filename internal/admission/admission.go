// Package admission is the server's side of agents' joining: it makes join tokens, gives access keys for them, and withdraws both.
// All it knows is in the state, so that it is the same for every server on it.
package admission

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

const (
	// repeatable is for how long an agent that has lost the answer may ask again, also once the token has expired.
	repeatable = time.Hour
	// kept is for how long a token that has ended is listed.
	kept = 7 * 24 * time.Hour
	// MaxTTL and MaxUses bound a token.
	MaxTTL  = 30 * 24 * time.Hour
	MaxUses = 1000
	// maxTokens is how many there may be at once.
	maxTokens = 1000
	// maxForgotten bounds what one creation deletes.
	maxForgotten = 32
	// maxSucceeded bounds what one exchange writes; an agent has one instance, or had a few.
	maxSucceeded = 32
)

// Config is what a Desk needs; all of it.
type Config struct {
	Store *state.Store
	Ring  *keyring.Ring
	// Keys are whose requests are taken otherwise.
	Keys wire.KeySource
	// Pin is what tokens say of the CA.
	Pin    string
	Region string
	Log    *slog.Logger
}

// Desk admits agents. It may be used by many goroutines.
type Desk struct {
	cfg    Config
	limits *limits
}

var _ wire.KeySource = (*Desk)(nil)

// New makes a desk.
func New(cfg Config) *Desk { return &Desk{cfg: cfg, limits: newLimits()} }

// Key implements wire.KeySource: a key that was withdrawn is none.
func (d *Desk) Key(ctx context.Context, id, token string) (wire.Key, error) {
	if k := d.cfg.Store.View().AgentKeys.Get(id); k != nil && k.RevokedAt != 0 {
		return wire.Key{}, fault.New(fault.ResourceNotFound, "no such access key")
	}
	return d.cfg.Keys.Key(ctx, id, token)
}

// Create makes a token that lets uses agents join for a while.
func (d *Desk) Create(ctx context.Context, ttl time.Duration, uses int) (join.Token, *ecs.JoinToken, error) {
	if ttl < time.Second || ttl > MaxTTL {
		return join.Token{}, nil, fault.New(fault.InvalidParameter, "A token lives between a second and %v, not %v.", MaxTTL, ttl)
	}
	if uses < 1 || uses > MaxUses {
		return join.Token{}, nil, fault.New(fault.InvalidParameter, "A token has between 1 and %d uses, not %d.", MaxUses, uses)
	}
	t, now := join.NewToken(d.cfg.Pin), time.Now()
	stored := &ecs.JoinToken{ID: t.ID, SecretHash: hash(t.Secret), CreatedAt: ecs.MillisOf(now), ExpiresAt: ecs.MillisOf(now.Add(ttl)), MaxUses: uses}
	err := d.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		d.forget(tx, ecs.MillisOf(now.Add(-kept)))
		if tx.JoinTokens.Len() >= maxTokens {
			return fault.New(fault.LimitExceeded, "There are %d join tokens already: those that have expired are forgotten after %v.", maxTokens, kept)
		}
		tx.JoinTokens.Put(stored)
		return nil
	})
	return t, stored, err
}

// forget deletes some of the tokens that ended before a time, more than one creation adds and no more than one transaction holds.
func (d *Desk) forget(tx *state.Tx, before ecs.Millis) {
	var ended []string
	for old := range tx.JoinTokens.All() {
		if old.ExpiresAt < before && len(ended) < maxForgotten {
			ended = append(ended, old.ID)
		}
	}
	for _, id := range ended {
		tx.JoinTokens.Delete(id)
	}
}

// RevokeToken ends a token. Agents that have joined with it stay.
func (d *Desk) RevokeToken(ctx context.Context, id string) error {
	return d.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.JoinTokens.Get(id)
		if old == nil {
			return fault.New(fault.ResourceNotFound, "There is no join token %q.", clipped(id))
		}
		t := *old
		if t.RevokedAt == 0 {
			t.RevokedAt = ecs.MillisOf(time.Now())
			tx.JoinTokens.Put(&t)
		}
		return nil
	})
}

// RevokeKey withdraws an agent's key: its sessions end at once. The instances that it registered stay, with no agent.
func (d *Desk) RevokeKey(ctx context.Context, id string) error {
	if k, err := d.cfg.Ring.Key(ctx, id, ""); err != nil || k.Caller.Type != wire.CallerAgent {
		return fault.New(fault.ResourceNotFound, "There is no agent's access key %q.", clipped(id))
	}
	return d.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		k := ecs.AgentKey{ID: id}
		if old := tx.AgentKeys.Get(id); old != nil {
			k = *old
		}
		if k.RevokedAt == 0 {
			k.RevokedAt = ecs.MillisOf(time.Now())
			tx.AgentKeys.Put(&k)
		}
		return nil
	})
}

// errNotValid is for whoever does not have the secret: it does not tell whether there is such a token.
var errNotValid = fault.New(fault.AccessDenied, "the join token is not valid")

// Join gives an agent's key for a token. The same nonce gets the same key again for a while.
func (d *Desk) Join(ctx context.Context, r join.Request) (*join.Answer, error) {
	if err := check(d.cfg.Store.View().JoinTokens.Get(r.ID), r); err != nil {
		return nil, err // before an Update, which costs more
	}
	fresh := d.cfg.Ring.NewAgent()
	var id string
	err := d.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.JoinTokens.Get(r.ID)
		if err := check(old, r); err != nil {
			return err
		}
		var err error
		id, err = d.admit(tx, old, r, fresh.AccessKeyID)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := d.cfg.Ring.Agent(id)
	d.cfg.Log.Info("an agent has joined", "key", id, "token", r.ID)
	return &join.Answer{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, Region: d.cfg.Region}, nil
}

// check holds a request against a token, which may be nil.
func check(t *ecs.JoinToken, r join.Request) error {
	want := make([]byte, sha256.Size)
	if t != nil {
		want = t.SecretHash
	}
	if subtle.ConstantTimeCompare(hash(r.Secret), want) != 1 || t == nil {
		return errNotValid
	}
	if len(r.Nonce) < 32 || len(r.Nonce) > 128 {
		return fault.New(fault.InvalidParameter, "a nonce has 32 to 128 characters")
	}
	return nil
}

// admit gives the id of the key for a nonce: the one that it had before, or the fresh one.
func (d *Desk) admit(tx *state.Tx, old *ecs.JoinToken, r join.Request, fresh string) (string, error) {
	now := time.Now()
	at := ecs.MillisOf(now)
	if old.RevokedAt != 0 {
		return "", fault.New(fault.AccessDenied, "the join token was revoked")
	}
	for _, u := range old.Uses {
		if subtle.ConstantTimeCompare(u.NonceHash, hash(r.Nonce)) != 1 {
			continue
		}
		if k := tx.AgentKeys.Get(u.KeyID); k != nil && k.RevokedAt != 0 {
			return "", fault.New(fault.AccessDenied, "the access key that was given for the join token was withdrawn")
		}
		if u.At < ecs.MillisOf(now.Add(-repeatable)) {
			return "", fault.New(fault.AccessDenied, "the join token was used")
		}
		return u.KeyID, nil
	}
	switch {
	case at >= old.ExpiresAt:
		return "", fault.New(fault.AccessDenied, "the join token has expired")
	case len(old.Uses) >= old.MaxUses:
		return "", fault.New(fault.AccessDenied, "the join token was used")
	}
	t := *old
	t.Uses = append(slices.Clone(old.Uses), ecs.JoinTokenUse{NonceHash: hash(r.Nonce), KeyID: fresh, At: at})
	tx.JoinTokens.Put(&t)
	tx.AgentKeys.Put(&ecs.AgentKey{ID: fresh, Token: t.ID, CreatedAt: at})
	d.succeed(tx, r, fresh, at)
	return fresh, nil
}

// succeed gives what an agent's former key has registered to the one that it has got, and withdraws the former one: the machine
// stays who it was, after its key was withdrawn too. A thief of the former key lacks a token, another agent the former key. A key
// that was made by hand may be several agents' and has no successor.
func (d *Desk) succeed(tx *state.Tx, r join.Request, fresh string, at ecs.Millis) {
	before := tx.AgentKeys.Get(r.Before)
	if before == nil || before.Token == "" {
		return
	}
	want := join.Proof(d.cfg.Ring.Agent(r.Before).SecretAccessKey, r.ID, r.Nonce)
	if subtle.ConstantTimeCompare([]byte(want), []byte(r.Proof)) != 1 {
		return
	}
	if before.RevokedAt == 0 {
		k := *before
		k.RevokedAt = at
		tx.AgentKeys.Put(&k)
	}
	var own []*ecs.Instance
	for i := range tx.Instances.All() {
		if i.AgentKey == r.Before && i.Status != ecs.InstanceInactive && len(own) < maxSucceeded {
			own = append(own, i)
		}
	}
	for _, old := range own {
		i := *old
		i.AgentKey = fresh
		tx.Instances.Put(&i)
	}
}

func hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// clipped is what was asked for, as an error may repeat it.
func clipped(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%.40s...", s)
	}
	return s
}
