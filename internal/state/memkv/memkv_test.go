package memkv_test

import (
	"testing"

	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/kvtest"
	"roadstead.dev/roadstead/internal/state/memkv"
)

func TestSuite(t *testing.T) {
	for name, limits := range map[string]state.Limits{"Unlimited": memkv.Unlimited, "Tight": {Ops: 20, Bytes: 16 << 10}} {
		t.Run(name, func(t *testing.T) {
			kvtest.Run(t, kvtest.Backend{
				Open: func(*testing.T) (first, second state.KV) {
					kv := memkv.New(limits)
					return kv, kv
				},
				Depose: func(_ *testing.T, kv state.KV) { kv.(*memkv.KV).Depose() },
			})
		})
	}
}
