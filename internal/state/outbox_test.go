package state_test

import (
	"context"
	"strings"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestOutboxThatDoesNotFit: a change whose events are too large for its transaction goes through without them, and what comes
// behind it is told of again.
func TestOutboxThatDoesNotFit(t *testing.T) {
	text, n := "", uint64(0)
	s, err := state.Open(t.Context(), state.Config{KV: memkv.New(state.Limits{Ops: 4, Bytes: 4096}), Outbox: func(tx *state.Tx, c *state.Commit) {
		if len(c.Clusters) > 0 {
			n++
			tx.EventOutbox.Put(&state.EventRecord{Number: n, Changes: []state.EventChange{{Event: text}}})
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }() // Its error is ctx's.
	defer func() { cancel(); <-done }()
	put := func(name string, records int) {
		t.Helper()
		err := s.Update(t.Context(), func(tx *state.Tx) error {
			tx.EventRules.Put(&state.EventRule{Bus: "default", Name: "r"})
			tx.Clusters.Put(&ecs.Cluster{Name: name})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if v := s.View(); v.Clusters.Get(name) == nil || v.EventOutbox.Len() != records {
			t.Errorf("%s: %d records, want %d", name, v.EventOutbox.Len(), records)
		}
	}
	put("a", 1)
	text = strings.Repeat("x", 8192)
	put("b", 1)
	text = ""
	put("c", 2)
}
