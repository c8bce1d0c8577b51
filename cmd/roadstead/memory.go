package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// How far a control plane's heap may grow beyond what lives before the garbage collector works: by mostPercent, but by no more than
// headroom, and by leastPercent at least. A burst of writes allocates much that dies at once, and a batch that waits for the
// collector is a batch that all its callers wait for.
const (
	mostPercent, leastPercent = 400, 75
	headroom                  = 2 << 30
)

// tuneMemory sets the garbage collector for a control plane, and past a quarter of the machine's memory has it work as often as it
// takes. GOGC and GOMEMLIMIT, if set, are what counts instead. As what lives grows the collector is set anew, until ctx ends.
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
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for set := mostPercent; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(live)
		// Steps of a tenth: to set the percentage is to stop the world.
		if want := gcPercent(live[0].Value.Uint64()); want*10 < set*9 || want*10 > set*11 {
			debug.SetGCPercent(want)
			set = want
		}
	}
}

// gcPercent is the percentage for so many bytes that live.
func gcPercent(live uint64) int {
	if live == 0 {
		return mostPercent
	}
	return int(min(mostPercent, max(leastPercent, headroom*100/live)))
}
