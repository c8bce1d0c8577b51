package ecs_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
)

func someStrategy(r *rapid.T) []ecs.CapacityProviderStrategyItem {
	items := make([]ecs.CapacityProviderStrategyItem, rapid.IntRange(1, 20).Draw(r, "items"))
	for i := range items {
		items[i].Weight = rapid.Int32Range(0, 1000).Draw(r, "weight")
	}
	items[0].Weight = max(items[0].Weight, 1)
	items[rapid.IntRange(0, len(items)-1).Draw(r, "based")].Base = rapid.Int32Range(0, 100).Draw(r, "base")
	return items
}

// TestDistribute: bases come first, shares are off by less than one, all tasks are given, and one more takes none away.
func TestDistribute(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		items, count := someStrategy(r), rapid.IntRange(0, 3000).Draw(r, "count")
		got, total, rest, sum := ecs.Distribute(items, count), 0, count, 0
		for i, n := range got {
			total += n
			rest -= min(int(items[i].Base), count)
			sum += int(items[i].Weight)
		}
		if total != count {
			t.Fatalf("%d of %d tasks: %v", total, count, got)
		}
		for i, n := range got {
			off := (n-min(int(items[i].Base), count))*sum - rest*int(items[i].Weight)
			if off <= -sum || off >= sum {
				t.Fatalf("item %d of %+v has %d of %d", i, items, n, count)
			}
		}
		for i, n := range ecs.Distribute(items, count+1) {
			if n < got[i] {
				t.Fatalf("one task more takes one away: %v", got)
			}
		}
	})
}

func TestDistributeExamples(t *testing.T) {
	item := func(base, weight int32) ecs.CapacityProviderStrategyItem {
		return ecs.CapacityProviderStrategyItem{Base: base, Weight: weight}
	}
	for _, c := range []struct {
		items []ecs.CapacityProviderStrategyItem
		count int
		want  []int
	}{
		{[]ecs.CapacityProviderStrategyItem{item(0, 1), item(0, 1)}, 2, []int{1, 1}},
		{[]ecs.CapacityProviderStrategyItem{item(0, 1), item(0, 4)}, 10, []int{2, 8}},
		{[]ecs.CapacityProviderStrategyItem{item(2, 1), item(0, 1)}, 1, []int{1, 0}},
		{[]ecs.CapacityProviderStrategyItem{item(1, 1), item(0, 4)}, 6, []int{2, 4}},
		{[]ecs.CapacityProviderStrategyItem{item(0, 0)}, 3, []int{3}},
		{[]ecs.CapacityProviderStrategyItem{item(0, 0), item(0, 0)}, 3, []int{0, 0}},
		{nil, 3, []int{}},
	} {
		if got := ecs.Distribute(c.items, c.count); !slices.Equal(got, c.want) {
			t.Errorf("%v of %d: got %v, want %v", c.items, c.count, got, c.want)
		}
	}
}
