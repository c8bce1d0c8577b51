package etcdkv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
)

// leaderRecord is the value of the leader's key: for other servers, which hand requests on to the URL, and for who looks into etcd.
type leaderRecord struct {
	URL  string `json:"url,omitempty"`
	Name string `json:"name,omitempty"`
	Host string `json:"host,omitempty"`
	PID  int    `json:"pid"`
	Term string `json:"term"`
}

// campaign gets hold of the leader's key.
func (kv *KV) campaign(ctx context.Context) (*term, error) {
	asked := time.Now()
	grant, err := kv.client.Grant(ctx, int64(kv.cfg.LeaseTTL/time.Second))
	if err != nil {
		return nil, err
	}
	t := newTerm(kv, grant.ID)
	held := &lease{term: t, validUntil: asked.Add(time.Duration(grant.TTL) * time.Second)}
	kv.tasks.Go(func() { held.keep(kv.ctx) })
	if err := kv.seize(ctx, t); err != nil {
		kv.tasks.Go(func() { kv.giveBack(t) })
		return nil, err
	}
	return t, nil
}

// giveBack lets go of a lease that led to nothing. Its expiry would do it too.
func (kv *KV) giveBack(t *term) {
	// A standby that is told to end gives it back too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(kv.ctx), requestTimeout)
	defer cancel()
	t.over()
	if _, err := kv.client.Revoke(ctx, t.lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		kv.cfg.Log.Debug("an unused lease is left to expire", "error", err)
	}
}

// seize writes the leader's key once nobody else's is there.
func (kv *KV) seize(ctx context.Context, t *term) error {
	key := kv.key(leaderKey)
	host, _ := os.Hostname() // For people only.
	value, err := json.Marshal(leaderRecord{URL: kv.announced.url, Name: kv.cfg.Name, Host: host, PID: os.Getpid(), Term: t.id})
	if err != nil {
		return err
	}
	for {
		resp, err := kv.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).Then(
			clientv3.OpPut(key, string(value), clientv3.WithLease(t.lease)),
			clientv3.OpPut(kv.key(sequenceKey), t.sequence(0)),
		).Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return err
		}
		if resp.Succeeded {
			t.revision = resp.Header.Revision
			return nil
		}
		rival := resp.Responses[0].GetResponseRange().Kvs[0]
		switch {
		case string(rival.Value) == string(value):
			// An attempt whose answer was lost.
			t.revision = rival.CreateRevision
			return nil
		case kv.owner:
			err = kv.remove(ctx, rival)
		default:
			kv.cfg.Log.Info("waiting for the leadership of the control plane", "held_by", string(rival.Value))
			kv.announced.tell(rival.Value)
			err = kv.await(ctx, t, key, resp.Header.Revision+1)
		}
		if err != nil {
			return err
		}
	}
}

// remove takes the key of a dead leader away. Only the owner of an etcd knows that it is dead.
func (kv *KV) remove(ctx context.Context, rival *mvccpb.KeyValue) error {
	_, err := kv.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(string(rival.Key)), "=", rival.CreateRevision)).
		Then(clientv3.OpDelete(string(rival.Key))).Commit()
	return err
}

// await waits for the leader's key to be deleted.
func (kv *KV) await(ctx context.Context, t *term, key string, revision int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := kv.client.Watch(ctx, key, clientv3.WithRev(revision), clientv3.WithFilterPut())
	select {
	case c, ok := <-changes:
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !ok:
			return errors.New("the watch on the leader's key has ended")
		case c.Err() != nil && !errors.Is(c.Err(), rpctypes.ErrCompacted):
			return c.Err()
		}
		return nil // Deleted, or compacted away: look again.
	case <-t.lost:
		return fmt.Errorf("%w: the lease expired while waiting for the leadership", state.ErrLost)
	case <-kv.ctx.Done():
		return errors.New("the connection to etcd is closed")
	}
}

// lease keeps a term's lease alive, and ends the term when that fails for as long as the lease lasts.
type lease struct {
	term *term
	// validUntil is a moment before which etcd can't have let the lease expire: counted from when it was last asked.
	validUntil time.Time
}

func (l *lease) keep(ctx context.Context) {
	kv := l.term.kv
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticks := time.NewTicker(kv.cfg.LeaseTTL / 4)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-l.term.lost:
			return
		case <-ctx.Done():
			return
		}
		if err := l.renew(ctx); errors.Is(err, rpctypes.ErrLeaseNotFound) || time.Now().After(l.validUntil) {
			kv.cfg.Log.Error("the leader's lease is lost", "error", err)
			l.term.over()
			return
		}
	}
}

func (l *lease) renew(ctx context.Context) error {
	asked := time.Now()
	ctx, cancel := context.WithDeadline(ctx, l.validUntil)
	defer cancel()
	resp, err := l.term.kv.client.KeepAliveOnce(ctx, l.term.lease)
	if err != nil {
		return err
	}
	if until := asked.Add(time.Duration(resp.TTL) * time.Second); until.After(l.validUntil) {
		l.validUntil = until
	}
	return nil
}
