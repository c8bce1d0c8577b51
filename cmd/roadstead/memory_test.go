package main

import "testing"

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 512 << 20: 400, 1 << 30: 200, 2 << 30: 100, 100 << 30: 75} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes live: %d, want %d", live, got, want)
		}
	}
}
