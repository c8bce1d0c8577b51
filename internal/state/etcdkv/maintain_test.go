package etcdkv_test

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
	"roadstead.dev/roadstead/internal/state/kvtest"
)

// TestHistoryIsDropped after so many bytes: otherwise the database would grow with every write.
func TestHistoryIsDropped(t *testing.T) {
	kv := embedded(t, etcdkv.EmbeddedConfig{Common: etcdkv.Common{CompactBytes: 64 << 10}})
	s, stop := kvtest.Start(t, state.Config{KV: kv})
	first := s.View().Revision
	for range 10 {
		if err := writeTasks(s, 10, 1000); err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		_, err := kv.Client().Get(t.Context(), "x", clientv3.WithRev(first))
		if errors.Is(err, rpctypes.ErrCompacted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the history is still there")
		}
	}
	stop()
	again, _ := kvtest.Start(t, state.Config{KV: kv})
	if n := again.View().Tasks.Len(); n != 100 {
		t.Errorf("%d tasks", n)
	}
}
