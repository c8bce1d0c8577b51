package state_test

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/kvtest"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestUnknownRecords stops the start: what is not understood must not be overlooked, then overwritten.
func TestUnknownRecords(t *testing.T) {
	for key, value := range map[string]string{
		"spaceships/1":    "\x01\xa0",
		"clusters/a":      "\x01\xa1\x64name\x61b",
		"clusters/cut":    "\x01\xa1\x64na",
		"clusters/newer":  "\x63\xa0",
		"clusters/wrong!": "\x01\x01",
	} {
		kv := memkv.New(memkv.Unlimited)
		term, _, err := kv.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := term.Commit(t.Context(), 1, []state.Op{{Key: key, Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
		if err := term.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := state.Open(t.Context(), state.Config{KV: kv}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
		// Whoever failed to open does not stay the leader.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, _, err := kv.Lead(ctx); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		cancel()
	}
}

// TestMemory tells what a task takes in memory: in the tables as they grew, and as they are after a start. The bound is what
// a million tasks may take beside etcd's own memory.
func TestMemory(t *testing.T) {
	n := 20_000
	if s := os.Getenv("ROADSTEAD_TEST_TASKS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	kv := memkv.New(memkv.Unlimited)
	before := heap()
	s, stop := kvtest.Start(t, state.Config{KV: kv})
	addTasks(t, s, n, 1000)
	_ = s.Update(t.Context(), func(tx *state.Tx) error { tx.Clusters.Put(&ecs.Cluster{Name: "end"}); return nil })
	stored := kv.Size()
	grown := float64(heap()-before-stored) / float64(n)
	stop()
	runtime.KeepAlive(s)
	s, _ = nil, stop

	before = heap()
	start := time.Now()
	again, _ := kvtest.Start(t, state.Config{KV: kv})
	took := time.Since(start)
	loaded := float64(heap()-before) / float64(n)
	if again.View().Tasks.Len() != n {
		t.Fatal("not all are there")
	}
	t.Logf("%d tasks of %d stored bytes: %.0f bytes of memory each as they grew, %.0f loaded, %.1f µs each to load",
		n, stored/uint64(n), grown, loaded, float64(took.Microseconds())/float64(n))
	if loaded > 2000 || grown > 2000 {
		t.Error("a million tasks would take more than 2 GB")
	}
	runtime.KeepAlive(again)
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
