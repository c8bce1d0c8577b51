// Package etcdkv is a state.KV in etcd: one that runs inside this process, or one that runs elsewhere.
//
// Below the prefix, meta/leader is the key of the one that leads, held by a lease, and meta/sequence the number of the last
// commit. Every commit is one transaction that compares both: a deposed leader cannot write, and a commit that is asked for
// twice happens once. Everything else is tables: TABLE/KEY.
package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
)

const (
	defaultPrefix   = "/roadstead/"
	leaderKey       = "meta/leader"
	sequenceKey     = "meta/sequence"
	metaPrefix      = "meta/"
	defaultLeaseTTL = 5 * time.Second
	// requestTimeout bounds requests that have no deadline of their own.
	requestTimeout = 5 * time.Second
)

// Common is what both kinds of etcd are told.
type Common struct {
	// Prefix begins all keys; /roadstead/ if empty. Two control planes on one etcd need two prefixes.
	Prefix string
	// Name is for people: whose leadership the leader's key tells of.
	Name string
	// LeaseTTL is how long a dead leader stays in the way of the next, in whole seconds; 5 s if 0, and a minute for an
	// embedded etcd, whose owner does not wait for itself.
	LeaseTTL time.Duration
	// CompactBytes is after how many written bytes the history before them is dropped; 256 MiB if 0, never if negative.
	CompactBytes int64
	Log          *slog.Logger
}

func (c *Common) setDefaults() {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = defaultLeaseTTL
	}
	if c.CompactBytes == 0 {
		c.CompactBytes = 256 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// KV is a connection to an etcd, or an etcd.
type KV struct {
	cfg    Common
	client *clientv3.Client
	limits state.Limits
	// writable says why a commit of so many bytes should not even be tried; nil where nothing is known.
	writable func(bytes int) error
	// noSpace is told that etcd's quota is reached.
	noSpace func()
	// log is etcd's own; it is quiet until there is a leader.
	log *logger
	// owner is true if no other process can use this etcd: who is the leader by its key then is dead or this process itself.
	owner bool
	stop  func() error

	// turn is taken by the term of this process that leads or wants to.
	turn chan struct{}

	// ctx ends with Close; tasks counts the goroutines that end with it.
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	compactor compactor
	announced announced
}

var _ state.KV = (*KV)(nil)

func newKV(cfg Common, log *logger, client *clientv3.Client, limits state.Limits, stop func() error) *KV {
	ctx, cancel := context.WithCancel(context.Background())
	kv := &KV{
		cfg: cfg, log: log, client: client, limits: limits, stop: stop, turn: make(chan struct{}, 1), ctx: ctx, cancel: cancel,
		writable: func(int) error { return nil }, noSpace: func() {},
	}
	kv.compactor.every = cfg.CompactBytes
	return kv
}

// Limits implements state.KV.
func (kv *KV) Limits() state.Limits { return kv.limits }

// Close ends what the KV runs. The Store on it must have ended before.
func (kv *KV) Close() error {
	kv.cancel()
	kv.tasks.Wait()
	return kv.stop()
}

// limitsOf leaves room in etcd's limits for the sequence number and the frame of a request.
func limitsOf(txnOps, requestBytes int) state.Limits {
	return state.Limits{Ops: txnOps - 1, Bytes: requestBytes - 4096}
}

// Lead implements state.KV.
func (kv *KV) Lead(ctx context.Context) (state.Term, int64, error) {
	select {
	case kv.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	case <-kv.ctx.Done():
		return nil, 0, errors.New("the connection to etcd is closed")
	}
	t, err := kv.campaign(ctx)
	if err != nil {
		<-kv.turn
		return nil, 0, fmt.Errorf("etcd: %w", kv.explain(err))
	}
	kv.log.ready()
	kv.tasks.Go(func() {
		select {
		case <-t.lost:
		case <-kv.ctx.Done():
		}
		<-kv.turn
	})
	return t, t.revision, nil
}

func (kv *KV) key(k string) string { return kv.cfg.Prefix + k }

// Client is the connection itself, for backups, status and tests. Who writes with it below the prefix breaks the Store.
func (kv *KV) Client() *clientv3.Client { return kv.client }
