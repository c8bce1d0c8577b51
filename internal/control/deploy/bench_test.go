package deploy

import (
	"context"
	"fmt"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// BenchmarkCreate has a service of 10,000 tasks come up on 1,000 and 5,000 instances whose agents do nothing: from the service's
// commit to that of its last task. idle is the number of other services, at rest.
func BenchmarkCreate(b *testing.B) {
	for _, c := range []struct {
		store string
		nodes int
		idle  int
	}{{"memory", 1000, 0}, {"memory", 5000, 0}, {"memory", 1000, 10_000}, {"etcd", 1000, 0}, {"etcd", 5000, 0}} {
		b.Run(fmt.Sprintf("%s/%d/%d", c.store, c.nodes, c.idle), func(b *testing.B) {
			const tasks = 10_000
			for range b.N {
				b.StopTimer()
				kv := benchStore(b, c.store)
				ctx, cancel := context.WithCancel(b.Context())
				s, err := state.Open(ctx, state.Config{KV: kv})
				if err != nil {
					b.Fatal(err)
				}
				ended := make(chan error, 2)
				go func() { ended <- s.Run(ctx) }()
				go func() { ended <- Run(ctx, Config{Store: s, MaxTasks: 500}) }()
				fill(b, s, c.nodes, c.idle)
				b.StartTimer()
				begin := time.Now()
				put(b, s, func(tx *state.Tx) {
					tx.Services.Put(&ecs.Service{
						Cluster: "c", Name: "s", Status: ecs.ServiceActive, DesiredCount: tasks, DeploymentConfiguration: ecs.DeploymentConfiguration{MinimumHealthyPercent: 100, MaximumPercent: 200},
						Deployments: []ecs.Deployment{deployment("first", "web", 1)},
					})
				})
				feed := s.Watch()
				for v := feed.View(); v.DeploymentCounts("c", "ecs-svc/first").Wanted < tasks; {
					commit, err := feed.Next(ctx)
					if err != nil {
						b.Fatal(err)
					}
					v = commit.View
				}
				b.ReportMetric(tasks/time.Since(begin).Seconds(), "tasks/s")
				b.StopTimer()
				cancel()
				<-ended
				<-ended
			}
		})
	}
}

func benchStore(b *testing.B, kind string) state.KV {
	if kind == "memory" {
		return memkv.New(memkv.Unlimited)
	}
	kv, err := etcdkv.Embedded(b.Context(), etcdkv.EmbeddedConfig{Common: etcdkv.Common{Name: "bench"}, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { kv.Close() })
	return kv
}

func fill(b *testing.B, s *state.Store, nodes, idle int) {
	put(b, s, func(tx *state.Tx) {
		tx.Clusters.Put(&ecs.Cluster{Name: "c", Status: ecs.ClusterActive})
		tx.Definitions.Put(&ecs.TaskDefinition{Family: "web", Revision: 1, Status: ecs.DefinitionActive, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a", Cpu: 10}}})
	})
	for from := 0; from < nodes; from += 500 {
		put(b, s, func(tx *state.Tx) {
			for i := from; i < min(from+500, nodes); i++ {
				tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{1, byte(i >> 8), byte(i)}, Cluster: "c", Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: 4096, MemoryMiB: 8192}})
			}
		})
	}
	for from := 0; from < idle; from += 500 {
		put(b, s, func(tx *state.Tx) {
			for i := from; i < from+500; i++ {
				tx.Services.Put(&ecs.Service{
					Cluster: "c", Name: fmt.Sprint("idle", i), Status: ecs.ServiceActive, Progress: ecs.Progress{Steady: true},
					Deployments: []ecs.Deployment{{ID: fmt.Sprint("ecs-svc/", i), Status: ecs.DeploymentPrimary, RolloutState: ecs.RolloutCompleted}},
				})
			}
		})
	}
}

func put(b *testing.B, s *state.Store, f func(*state.Tx)) {
	b.Helper()
	if err := s.Update(b.Context(), func(tx *state.Tx) error { f(tx); return nil }); err != nil {
		b.Fatal(err)
	}
}
