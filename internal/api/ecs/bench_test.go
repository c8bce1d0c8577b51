package ecsapi_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// fleet puts instances that are large enough for every task of a benchmark.
func (f *fixture) fleet(nodes int) {
	for from := 0; from < nodes; from += 1000 {
		err := f.store.Update(context.Background(), func(tx *state.Tx) error {
			for n := from; n < min(nodes, from+1000); n++ {
				i := &ecs.Instance{Cluster: "default", Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: 1 << 30, MemoryMiB: 1 << 30}}
				binary.BigEndian.PutUint64(i.ID[:], uint64(n+1)*0x9e3779b97f4a7c15)
				for a := range 50 {
					i.Attributes = append(i.Attributes, ecs.Attribute{Name: fmt.Sprintf("com.amazonaws.ecs.capability.number-%d", a)})
				}
				tx.Instances.Put(i)
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func BenchmarkRunTask(b *testing.B) {
	for _, nodes := range []int{1, 100, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			f := newFixture(b)
			f.cluster()
			f.fleet(nodes)
			f.register()
			b.SetParallelism(64)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if out, err := f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: aws.String("sleep")}); err != nil || len(out.Tasks) != 1 {
						b.Error(out, err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkDescribeTasks(b *testing.B) {
	f := newFixture(b, manyAtOnce)
	f.cluster()
	f.fleet(10)
	f.register()
	out := f.run(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(100) })
	in := &sdk.DescribeTasksInput{}
	for _, t := range out.Tasks {
		in.Tasks = append(in.Tasks, *t.TaskArn)
	}
	b.ReportAllocs()
	for b.Loop() {
		if out := must(f.DescribeTasks(f.ctx, in)); len(out.Tasks) != 100 {
			b.Fatal(out.Failures)
		}
	}
}
