package etcdkv

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// compactor drops old versions after so many written bytes: time alone says nothing about how much history there is.
type compactor struct {
	every int64

	mu      sync.Mutex
	written int64
	// running is true while a compaction is under way.
	running bool
}

// wrote counts a commit's bytes and starts a compaction when it is time.
func (kv *KV) wrote(bytes int, revision int64) {
	c := &kv.compactor
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written += int64(bytes)
	if c.every < 0 || c.written < c.every || c.running {
		return
	}
	c.written, c.running = 0, true
	kv.tasks.Go(func() {
		if err := kv.compact(kv.ctx, revision); err != nil {
			kv.cfg.Log.Warn("etcd's old versions were not dropped; it is tried again later", "error", err)
		}
		c.mu.Lock()
		c.running = false
		c.mu.Unlock()
	})
}

func (kv *KV) compact(ctx context.Context, revision int64, opts ...clientv3.CompactOption) error {
	ctx, cancel := context.WithTimeout(ctx, 10*requestTimeout)
	defer cancel()
	_, err := kv.client.Compact(ctx, revision, opts...)
	return err
}
