package etcdkv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
)

// term is one time of holding the leader's key.
type term struct {
	kv *KV
	// id is random: no two terms write the same sequence values.
	id    string
	lease clientv3.LeaseID
	// revision is that of the leader's key, the fence: it is another in every term.
	revision int64

	lost chan struct{}
	end  sync.Once
	// ahead is where the page after the last one is.
	ahead ahead
}

func newTerm(kv *KV, lease clientv3.LeaseID) *term {
	return &term{kv: kv, id: rand.Text(), lease: lease, lost: make(chan struct{})}
}

func (t *term) sequence(n uint64) string { return t.id + "/" + strconv.FormatUint(n, 10) }

// Lost implements state.Term.
func (t *term) Lost() <-chan struct{} { return t.lost }

// over ends the term as far as this process goes.
func (t *term) over() { t.end.Do(func() { close(t.lost) }) }

// Commit implements state.Term.
func (t *term) Commit(ctx context.Context, n uint64, ops []state.Op) (int64, error) {
	select {
	case <-t.lost:
		return 0, state.ErrLost
	default:
	}
	t.ahead = ahead{}
	size := 0
	then := make([]clientv3.Op, 0, len(ops)+1)
	then = append(then, clientv3.OpPut(t.kv.key(sequenceKey), t.sequence(n)))
	for _, op := range ops {
		size += len(op.Key) + len(op.Value)
		if op.Value == nil {
			then = append(then, clientv3.OpDelete(t.kv.key(op.Key)))
		} else {
			put := clientv3.OpPut(t.kv.key(op.Key), "")
			put.WithValueBytes(op.Value)
			then = append(then, put)
		}
	}
	if err := t.kv.writable(size); err != nil {
		return 0, &state.RefusedError{Reason: err}
	}
	leader, sequence := t.kv.key(leaderKey), t.kv.key(sequenceKey)
	resp, err := t.kv.client.Txn(ctx).If(
		clientv3.Compare(clientv3.CreateRevision(leader), "=", t.revision),
		clientv3.Compare(clientv3.Value(sequence), "=", t.sequence(n-1)),
	).Then(then...).Else(clientv3.OpGet(leader, clientv3.WithKeysOnly()), clientv3.OpGet(sequence)).Commit()
	if err != nil {
		return 0, t.kv.outcome(err)
	}
	if resp.Succeeded {
		t.kv.wrote(size, resp.Header.Revision)
		return resp.Header.Revision, nil
	}
	return t.resolve(n, resp)
}

// resolve reads from what a failed comparison found whether an earlier attempt of the same commit has succeeded.
func (t *term) resolve(n uint64, resp *clientv3.TxnResponse) (int64, error) {
	leaders, sequences := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	if len(sequences) == 1 && string(sequences[0].Value) == t.sequence(n) {
		// Only this term writes this value, with the commit's other writes.
		return sequences[0].ModRevision, nil
	}
	t.over()
	if len(leaders) == 0 {
		return 0, fmt.Errorf("%w: the lease has expired", state.ErrLost)
	}
	if leaders[0].CreateRevision != t.revision {
		return 0, fmt.Errorf("%w: another one leads since revision %d", state.ErrLost, leaders[0].CreateRevision)
	}
	return 0, fmt.Errorf("%w: the sequence is not where this term left it", state.ErrLost)
}

// Resign implements state.Term.
func (t *term) Resign(ctx context.Context) error {
	_, err := t.kv.client.Revoke(ctx, t.lease)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return t.kv.explain(err)
	}
	t.over()
	return nil
}
