package events_test

import (
	"context"
	"sync/atomic"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// BenchmarkUpdate shows what the outbox costs an update of a task: none at all, one without rules, with a rule that asks for
// something else, and with one that asks for tasks, whose records are left where they are.
func BenchmarkUpdate(b *testing.B) {
	for _, c := range []struct{ name, pattern string }{{"no outbox", ""}, {"no rules", ""}, {"other rules", `{"source":["my.app"]}`}, {"rule of tasks", `{"source":["aws.ecs"]}`}} {
		b.Run(c.name, func(b *testing.B) {
			cfg := state.Config{KV: memkv.New(memkv.Unlimited)}
			if c.name != "no outbox" {
				cfg.Outbox = events.NewOutbox(place, nil).Note
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, err := state.Open(ctx, cfg)
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = s.Run(ctx) }() // Its error is ctx's.
			put := func(fn func(tx *state.Tx)) {
				if err := s.Update(ctx, func(tx *state.Tx) error { fn(tx); return nil }); err != nil {
					b.Error(err)
				}
			}
			if c.pattern != "" {
				put(func(tx *state.Tx) { tx.EventRules.Put(rule(c.pattern)) })
			}
			var n atomic.Int64
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					v := n.Add(1)
					put(func(tx *state.Tx) {
						tx.Tasks.Put(&ecs.Task{ID: ecs.TaskID{byte(v), byte(v >> 8)}, Cluster: "c", Version: v, LastStatus: ecs.TaskRunning})
					})
				}
			})
		})
	}
}
