package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// How far a control plane's heap may grow beyond what lives before the garbage collector works: by what is allocated in
// collectEvery, since a burst of writes allocates much that dies at once, and a batch that waits for the collector is a batch that all
// its callers wait for. At rest that is little, and the memory goes back to the machine.
const (
	collectEvery = 10 * time.Second
	// mostHeadroom and leastHeadroom, in bytes, and mostPercent and leastPercent of what lives are the bounds.
	mostHeadroom, leastHeadroom = 2 << 30, 64 << 20
	mostPercent, leastPercent   = 400, 20
	// calmer is how much of a burst's rate counts a second later.
	calmer = 0.9
)

// tuneMemory sets the garbage collector for a control plane, and past a quarter of the machine's memory has it work as often as it
// takes. GOGC and GOMEMLIMIT, if set, are what counts instead. As what lives and what is allocated change the collector is set
// anew, until ctx ends.
func tuneMemory(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostPercent)
		go followHeap(ctx)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("read the machine's memory: %w", err)
	}
	debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / 4)
	return nil
}

func followHeap(ctx context.Context) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	before, at := samples[1].Value.Uint64(), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for set, highest, rate := mostPercent, mostPercent, 0.0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		allocated, now := samples[1].Value.Uint64(), time.Now()
		rate = max(rate*calmer, float64(allocated-before)/now.Sub(at).Seconds())
		before, at = allocated, now
		want, rests := gcPercent(samples[0].Value.Uint64(), rate)
		// Steps of a fifth: to set the percentage is to stop the world.
		if want*5 < set*4 || want*5 > set*6 {
			debug.SetGCPercent(want)
			set, highest = want, max(highest, want)
		}
		if rests && set*2 <= highest {
			// What a burst has left stays for as long as nothing is allocated in its place.
			runtime.GC()
			highest = set
		}
	}
}

// gcPercent is the percentage for so many bytes that live, and so many that are allocated a second. It rests where so little is
// allocated that it does not count.
func gcPercent(live uint64, rate float64) (percent int, rests bool) {
	if live == 0 {
		return mostPercent, false
	}
	least := max(leastHeadroom, leastPercent*float64(live)/100)
	headroom := min(mostHeadroom, rate*collectEvery.Seconds())
	return int(min(mostPercent, 100*max(least, headroom)/float64(live))), headroom <= least
}
