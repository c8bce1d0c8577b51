package state_test

import (
	"errors"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// BenchmarkPut measures what an Update costs in memory: 256 new tasks each, beside 200,000 that are there. ns/task is of one.
func BenchmarkPut(b *testing.B) {
	s := benchStore(b)
	addTasks(b, s, 200_000, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		addTasks(b, s, 256, 256)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/task")
}

// BenchmarkStatusChange measures the commonest change: a report that changes no index.
func BenchmarkStatusChange(b *testing.B) {
	s := benchStore(b)
	addTasks(b, s, 200_000, 1000)
	var ids []ecs.TaskID
	for t := range s.View().Tasks.All() {
		ids = append(ids, t.ID)
	}
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		err := s.Update(b.Context(), func(tx *state.Tx) error {
			for range 256 {
				n += 7919
				t := *tx.Tasks.Get(ids[n%len(ids)])
				t.PullStartedAt++
				tx.Tasks.Put(&t)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/task")
}

func benchStore(b *testing.B) *state.Store {
	s, err := state.Open(b.Context(), state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		b.Fatal(err)
	}
	go s.Run(b.Context())
	return s
}

func addTasks(b testing.TB, s *state.Store, n, each int) {
	for range n / each {
		err := s.Update(b.Context(), func(tx *state.Tx) error {
			for i := range each {
				tx.Tasks.Put(benchTask(i))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

var benchInstances [1000]ecs.InstanceID

func benchTask(i int) *ecs.Task {
	in := &benchInstances[i%1000]
	if in.IsZero() {
		*in = ecs.NewInstanceID()
	}
	id := ecs.NewTaskID()
	return &ecs.Task{
		ID: id, Cluster: "default", Definition: ecs.DefinitionID{Family: "web", Revision: 3}, Instance: *in, LastStatus: ecs.TaskPending,
		DesiredStatus: ecs.TaskRunning, Group: "service:web", StartedBy: "ecs-svc/1234567890", LaunchType: ecs.LaunchEC2, Version: 1,
		CreatedAt: 1_767_225_600_000, Reserved: ecs.Resources{CPU: 256, MemoryMiB: 512},
		Containers: []ecs.Container{{Name: "app", ID: "0b1f4f6e-31c5-4b5c-9f65-2f0d2a3a0d11", LastStatus: ecs.TaskPending}},
	}
}

// BenchmarkFreeAddress looks for an address of a /16 in which every second one is taken.
func BenchmarkFreeAddress(b *testing.B) {
	s := benchStore(b)
	err := s.Update(b.Context(), func(tx *state.Tx) error {
		for n := range 1 << 15 {
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), LastStatus: ecs.TaskRunning,
				Interface: &ecs.NetworkInterface{SubnetID: "s", Address: ecs.IPv4{10, 0, byte(n >> 7), byte(n << 1)}}})
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := tx.FreeAddress("s", ecs.IPv4{10, 0, 0, 4}, ecs.IPv4{10, 0, 255, 254}); !ok {
				return errors.New("no address")
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
