package logstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkPut stores events of 100 bytes from many callers, each with a stream of its own. ns/op is of one call.
func BenchmarkPut(b *testing.B) {
	for _, c := range []struct{ callers, batch int }{{1, 1}, {64, 1}, {512, 1}, {1, 100}, {16, 100}, {16, 1000}} {
		b.Run(fmt.Sprintf("callers=%d/batch=%d", c.callers, c.batch), func(b *testing.B) {
			ctx := context.Background()
			s, _ := open(b, Config{Dir: b.TempDir()})
			ok(b, s.CreateGroup(ctx, Group{Name: "g"}))
			for w := range c.callers {
				ok(b, s.CreateStream(ctx, "g", fmt.Sprint(w)))
			}
			message := strings.Repeat("m", 100)
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for w := range c.callers {
				wg.Go(func() {
					in := make([]Input, c.batch)
					for left.Add(-1) >= 0 {
						now := s.now()
						for i := range in {
							in[i] = Input{now, message}
						}
						if _, err := s.Put(ctx, "g", fmt.Sprint(w), in); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// fillFor stores small events in 100 streams of a group, ten million or as many as fit in the time, and one event in 100,000
// in a stream of its own.
func fillFor(b *testing.B, s *Store, long time.Duration, most int) int {
	b.Helper()
	ctx := context.Background()
	ok(b, s.CreateGroup(ctx, Group{Name: "g"}))
	const streams = 100
	for i := range streams {
		ok(b, s.CreateStream(ctx, "g", fmt.Sprint(i)))
	}
	ok(b, s.CreateStream(ctx, "g", "rare"))
	begun, base := time.Now(), s.now()-day/2
	var n atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			in := make([]Input, 1000)
			for i := w; time.Since(begun) < long && n.Load() < int64(most); i += 8 {
				for j := range in {
					in[j] = Input{base + int64(i/streams*1000+j), fmt.Sprintf("%d GET /index.html 200 request %d-%d of a usual line", base, i, j)}
				}
				if _, err := s.Put(ctx, "g", fmt.Sprint(i%streams), in); err != nil {
					b.Error(err)
				}
				if i%100 == 0 {
					if _, err := s.Put(ctx, "g", "rare", in[:1]); err != nil {
						b.Error(err)
					}
				}
				n.Add(1000)
			}
		})
	}
	wg.Wait()
	b.Logf("%d events in %v", n.Load(), time.Since(begun).Round(time.Millisecond))
	return int(n.Load())
}

// BenchmarkRead measures pages out of many events.
func BenchmarkRead(b *testing.B) {
	ctx := context.Background()
	s, _ := open(b, Config{Dir: b.TempDir()})
	n := fillFor(b, s, 20*time.Second, 10_000_000)
	all, err := s.Read(ctx, ReadQuery{Group: "g", Stream: "50", Range: Always, Tail: true})
	ok(b, err)
	middle := all[0].Pos
	for name, q := range map[string]ReadQuery{
		"head/100":    {Stream: "50", Limit: 100},
		"tail/100":    {Stream: "50", Limit: 100, Tail: true},
		"after/100":   {Stream: "50", Limit: 100, After: &middle},
		"tail/10000":  {Stream: "50", Tail: true},
		"rare/all":    {Stream: "rare"},
		"tail/1 last": {Stream: "50", Limit: 1, Tail: true},
	} {
		b.Run(name, func(b *testing.B) {
			q.Group, q.Range = "g", Always
			var took []time.Duration
			for b.Loop() {
				t := time.Now()
				events, err := s.Read(ctx, q)
				ok(b, err)
				if len(events) == 0 {
					b.Fatal("nothing read")
				}
				took = append(took, time.Since(t))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
	b.Run("filter/whole group", func(b *testing.B) {
		looked := 0
		for b.Loop() {
			q := FilterQuery{Group: "g", Range: Always, Match: func(m []byte) bool { looked++; return false }}
			for range 10 {
				page, err := s.Filter(ctx, q)
				ok(b, err)
				if q.After = page.Next; q.After == nil {
					break
				}
			}
		}
		b.ReportMetric(float64(looked)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64(n), "stored")
	})
}
