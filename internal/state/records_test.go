package state_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestRecords holds a table of records against a map, in the transaction, after it, and read again.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kv := memkv.New(memkv.Unlimited)
		s, stop := runStore(r, kv)
		model := map[string]string{}
		names := rapid.StringMatching(`[ab]{1,3}`)
		for range rapid.IntRange(1, 8).Draw(r, "updates") {
			err := s.Update(context.Background(), func(tx *state.Tx) error {
				for range rapid.IntRange(1, 5).Draw(r, "changes") {
					id := names.Draw(r, "id")
					if rapid.Bool().Draw(r, "delete") {
						tx.Subnets.Delete(id)
						delete(model, id)
						continue
					}
					zone := names.Draw(r, "zone")
					tx.Subnets.Put(&ecs.Subnet{ID: id, Zone: zone})
					model[id] = zone
				}
				sameRecords(r, tx.Subnets, model)
				return nil
			})
			if err != nil {
				r.Fatal(err)
			}
			sameRecords(r, s.View().Subnets, model)
		}
		stop()
		s, stop = runStore(r, kv)
		defer stop()
		sameRecords(r, s.View().Subnets, model)
	})
}

func runStore(r *rapid.T, kv state.KV) (*state.Store, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := state.Open(ctx, state.Config{KV: kv})
	if err != nil {
		r.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.Errorf("Run: %v", err)
		}
	}
}

func sameRecords(r *rapid.T, table *state.Records[ecs.Subnet], model map[string]string) {
	var got []string
	for v := range table.All() {
		got = append(got, v.ID)
		if model[v.ID] != v.Zone || table.Get(v.ID) != v {
			r.Fatalf("%s: %+v, want zone %q", v.ID, v, model[v.ID])
		}
	}
	if len(got) != len(model) || table.Len() != len(model) || !slices.IsSorted(got) {
		r.Fatalf("rows %v, want %v", got, model)
	}
	for range table.Under("a") {
		r.Fatal("a row under a path that none begins with")
	}
}

func TestRecordsUnderAPath(t *testing.T) {
	s := open(t, state.Config{KV: memkv.New(memkv.Unlimited)})
	err := s.Update(t.Context(), func(tx *state.Tx) error {
		for _, id := range []string{"a", "a/b", "a/b/c", "ab/c", "a0", "b/a"} {
			tx.Subnets.Put(&ecs.Subnet{ID: id})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var under, from []string
	for v := range s.View().Subnets.Under("a") {
		under = append(under, v.ID)
	}
	for v := range s.View().Subnets.From("a0") {
		from = append(from, v.ID)
	}
	if !slices.Equal(under, []string{"a/b", "a/b/c"}) || !slices.Equal(from, []string{"a0", "ab/c", "b/a"}) {
		t.Errorf("under %v, from %v", under, from)
	}
}
