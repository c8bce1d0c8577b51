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

// BenchmarkSetup100 is a burst: a hundred containers at once.
func BenchmarkSetup100(b *testing.B) {
	must(b, setLoopbackUp())
	m := newManager(b, "bench")
	var worst time.Duration
	for b.Loop() {
		ids := make([]string, 100)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for i := range ids {
			wg.Go(func() {
				start := time.Now()
				ids[i], _ = setup(b, m, PortRequest{ContainerPort: 80})
				mu.Lock()
				worst = max(worst, time.Since(start))
				mu.Unlock()
			})
		}
		wg.Wait()
		b.StopTimer()
		for _, id := range ids {
			must(b, m.Teardown(ctx, id))
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
}
