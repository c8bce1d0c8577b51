package netns

import (
	"sync"
	"testing"
	"time"
)

func BenchmarkSetup(b *testing.B) {
	must(b, setLoopbackUp())
	m := newManager(b, "bench")
	for b.Loop() {
		id, _ := setup(b, m, PortRequest{ContainerPort: 80})
		b.StopTimer()
		must(b, m.Teardown(ctx, id))
		b.StartTimer()
	}
}

func BenchmarkTeardown(b *testing.B) {
	must(b, setLoopbackUp())
	m := newManager(b, "bench")
	for b.Loop() {
		b.StopTimer()
		id, _ := setup(b, m, PortRequest{ContainerPort: 80})
		b.StartTimer()
		must(b, m.Teardown(ctx, id))
	}
}

// BenchmarkSetup100 and BenchmarkTeardown100 are bursts: a hundred containers at once.
func BenchmarkSetup100(b *testing.B)    { benchmarkBurst(b, true) }
func BenchmarkTeardown100(b *testing.B) { benchmarkBurst(b, false) }

func benchmarkBurst(b *testing.B, timeSetup bool) {
	must(b, setLoopbackUp())
	m := newManager(b, "bench")
	var worst time.Duration
	together := func(timed bool, f func(i int)) {
		if timed {
			b.StartTimer()
			defer b.StopTimer()
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		for i := range 100 {
			wg.Go(func() {
				start := time.Now()
				f(i)
				mu.Lock()
				defer mu.Unlock()
				if timed {
					worst = max(worst, time.Since(start))
				}
			})
		}
		wg.Wait()
	}
	ids := make([]string, 100)
	for b.Loop() {
		b.StopTimer()
		together(timeSetup, func(i int) { ids[i], _ = setup(b, m, PortRequest{ContainerPort: 80}) })
		together(!timeSetup, func(i int) { must(b, m.Teardown(ctx, ids[i])) })
		b.StartTimer()
	}
	b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
}
