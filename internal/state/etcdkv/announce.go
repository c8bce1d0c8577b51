package etcdkv

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
)

// announced is what a process says of itself as leader, and who in it hears of another leader.
type announced struct {
	url     string
	waiting func(leader string)
}

// tell says who leads by the value of the leader's key.
func (a *announced) tell(value []byte) {
	var r leaderRecord
	if a.waiting == nil {
		return
	}
	if err := json.Unmarshal(value, &r); err != nil {
		r.URL = "" // Of a version to come: not known is right.
	}
	a.waiting(r.URL)
}

// Announce says under which URL other servers reach this process while it leads, and has waiting called with that of the leader,
// "" if it has none, each time this process begins to wait for the leadership of another. It is called before Lead.
func (kv *KV) Announce(url string, waiting func(leader string)) {
	kv.announced = announced{url, waiting}
}

// Stored reads the entries of a table as they are now, whoever leads. The table is to be small.
func (kv *KV) Stored(ctx context.Context, table string) ([]state.Entry, error) {
	resp, err := kv.client.Get(ctx, kv.key(table+"/"), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, kv.explain(err))
	}
	out := make([]state.Entry, len(resp.Kvs))
	for i, e := range resp.Kvs {
		out[i] = state.Entry{Key: strings.TrimPrefix(string(e.Key), kv.cfg.Prefix), Value: e.Value}
	}
	return out, nil
}
