package events

import (
	"context"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestFullOutbox: what finds the outbox full is dropped and counted.
func TestFullOutbox(t *testing.T) {
	s, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }() // Its error is ctx's.
	defer func() { cancel(); <-done }()
	o := NewOutbox(ecs.Place{Account: "1", Region: "r"}, nil)
	err = s.Update(t.Context(), func(tx *state.Tx) error {
		for range maxRecords + 3 {
			o.Put(tx, []state.EventChange{{Event: "{}"}, {Event: "{}"}})
		}
		return nil
	})
	if n := s.View().EventOutbox.Len(); err != nil || n != maxRecords || o.Dropped() != 6 {
		t.Errorf("%d records, %d dropped, %v", n, o.Dropped(), err)
	}
}
