package main

import "testing"

func TestGCPercent(t *testing.T) {
	for _, c := range []struct {
		live  uint64
		rate  float64
		want  int
		rests bool
	}{
		{0, 0, 400, false},
		{8 << 20, 0, 400, true},            // a small heap may be collected seldom
		{64 << 20, 0, 100, true},           // 64 MiB of headroom
		{1 << 30, 0, 20, true},             // at rest
		{1 << 30, 50 << 20, 48, false},     // what is allocated in 10 s
		{1 << 30, 1 << 30, 200, false},     // a burst: 2 GiB
		{20 << 30, 1 << 30, 20, true},      // no less than the least
		{100 << 20, 100 << 20, 400, false}, // no more than the most
	} {
		if got, rests := gcPercent(c.live, c.rate); got != c.want || rests != c.rests {
			t.Errorf("%d live, %.0f a second: %d and %v, not %d and %v", c.live, c.rate, got, rests, c.want, c.rests)
		}
	}
}
