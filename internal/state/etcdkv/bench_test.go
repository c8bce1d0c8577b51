package etcdkv_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
)

// BenchmarkUpdate measures Updates beside what etcd itself does with the same options, in turns, so that the ratios hold
// though the machine is now faster, now slower. Values are of 600 bytes.
func BenchmarkUpdate(b *testing.B) {
	m := newMeasurer(b)
	for b.Loop() {
		m.round()
	}
	m.report()
}

type measurer struct {
	b         *testing.B
	client    *clientv3.Client
	store     *state.Store
	filling   string
	took, cpu map[string]time.Duration
	values    map[string]int
	// batches are the commits that the 512 callers' Updates took.
	batches int
}

func newMeasurer(b *testing.B) *measurer {
	// Two etcds, so that neither compacts or syncs for the other's writes.
	bare, own := benchKV(b), benchKV(b)
	s, err := state.Open(b.Context(), state.Config{KV: own})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-ended })
	return &measurer{b: b, client: bare.Client(), store: s, filling: strings.Repeat("x", 540), took: map[string]time.Duration{}, cpu: map[string]time.Duration{}, values: map[string]int{}}
}

func benchKV(b *testing.B) *etcdkv.KV {
	kv, err := etcdkv.Embedded(b.Context(), etcdkv.EmbeddedConfig{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { kv.Close() })
	return kv
}

func (m *measurer) round() {
	m.measure("bare_put_1_caller", 1, 400, m.put)
	m.measure("update_1_caller", 1, 400, m.update)
	m.measure("bare_txn_of_100", 1, 10_000, m.txns(100))
	m.measure("bare_put_512_callers", 512, 512*16, m.put)
	before := m.store.View().Revision
	m.measure("update_512_callers", 512, 512*64, m.update)
	m.batches += int(m.store.View().Revision - before)
	m.measure("update_of_1000_tasks", 1, 20_000, m.updateMany(1000))
}

func (m *measurer) measure(name string, callers, values int, fn func(n int) error) {
	var wg sync.WaitGroup
	start, cpu := time.Now(), cpuTime(m.b)
	for range callers {
		wg.Go(func() {
			if err := fn(values / callers); err != nil {
				m.b.Error(err)
			}
		})
	}
	wg.Wait()
	m.took[name] += time.Since(start)
	m.cpu[name] += cpuTime(m.b) - cpu
	m.values[name] += values
}

// cpuTime is what this process has used of the processors, which a busy machine changes less than the time that passes.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (m *measurer) rate(name string) float64 { return float64(m.values[name]) / m.took[name].Seconds() }

func (m *measurer) report() {
	for name := range m.took {
		m.b.ReportMetric(m.rate(name), name+"/s")
		m.b.ReportMetric(float64(m.cpu[name].Microseconds())/float64(m.values[name]), name+"_cpu_µs")
	}
	m.b.ReportMetric(m.rate("bare_put_1_caller")/m.rate("update_1_caller"), "update/put_latency_ratio")
	m.b.ReportMetric(m.rate("update_512_callers")/m.rate("bare_put_512_callers"), "update/put_512_ratio")
	m.b.ReportMetric(m.rate("update_512_callers")/m.rate("bare_txn_of_100"), "update/txn100_ratio")
	m.b.ReportMetric(float64(m.values["update_512_callers"])/float64(m.batches), "updates/batch")
	m.b.ReportMetric(0, "ns/op")
}

func (m *measurer) put(n int) error {
	value := strings.Repeat("x", 600)
	for range n {
		if _, err := m.client.Put(m.b.Context(), "/bare/tasks/"+ecs.NewTaskID().String(), value); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurer) txns(size int) func(int) error {
	value := strings.Repeat("x", 600)
	return func(n int) error {
		for range n / size {
			ops := make([]clientv3.Op, size)
			for i := range ops {
				ops[i] = clientv3.OpPut("/bare/tasks/"+ecs.NewTaskID().String(), value)
			}
			if _, err := m.client.Txn(m.b.Context()).Then(ops...).Commit(); err != nil {
				return err
			}
		}
		return nil
	}
}

// task is one that is stored in 600 bytes.
func (m *measurer) task() *ecs.Task {
	return &ecs.Task{ID: ecs.NewTaskID(), Cluster: "default", Group: "service:web", LastStatus: ecs.TaskPending, DesiredStatus: ecs.TaskRunning, StoppedReason: m.filling}
}

func (m *measurer) update(n int) error {
	for range n {
		err := m.store.Update(m.b.Context(), func(tx *state.Tx) error { tx.Tasks.Put(m.task()); return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *measurer) updateMany(size int) func(int) error {
	return func(n int) error {
		for range n / size {
			err := m.store.Update(m.b.Context(), func(tx *state.Tx) error {
				for range size {
					tx.Tasks.Put(m.task())
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}
