package ecsapi_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

var place = ecs.Place{Account: "000000000000", Region: "us-east-1"}

// fixture is an API over a store in memory, with a clock that stands still until it is moved.
type fixture struct {
	*ecsapi.API
	t     testing.TB
	ctx   context.Context
	store *state.Store
	now   time.Time
	// stop ends the store, as a test's end does too.
	stop func()
}

func newFixture(t testing.TB, change ...func(*ecsapi.Config)) *fixture {
	t.Helper()
	return openFixture(t, memkv.New(memkv.Unlimited), change...)
}

// openFixture starts on what an earlier fixture left.
func openFixture(t testing.TB, kv *memkv.KV, change ...func(*ecsapi.Config)) *fixture {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := state.Open(ctx, state.Config{KV: kv})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	f := &fixture{t: t, ctx: ctx, store: store, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(f.stop)
	cfg := ecsapi.Config{Store: store, Place: place, Now: func() time.Time { return f.now }}
	for _, c := range change {
		c(&cfg)
	}
	if f.API, err = ecsapi.New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

// must unpacks an answer that may not fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (f *fixture) cluster() {
	f.t.Helper()
	must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{}))
}

func (f *fixture) instance(cpu, memory int32, attributes ...string) string {
	f.t.Helper()
	in := &sdk.RegisterContainerInstanceInput{TotalResources: resources(cpu, memory)}
	for _, a := range attributes {
		in.Attributes = append(in.Attributes, types.Attribute{Name: aws.String(a)})
	}
	return *must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance.ContainerInstanceArn
}

func resources(cpu, memory int32) []types.Resource {
	return []types.Resource{
		{Name: aws.String("CPU"), Type: aws.String("INTEGER"), IntegerValue: cpu},
		{Name: aws.String("MEMORY"), Type: aws.String("INTEGER"), IntegerValue: memory},
		{Name: aws.String("PORTS"), Type: aws.String("STRINGSET"), StringSetValue: []string{"22"}},
		{Name: aws.String("PORTS_UDP"), Type: aws.String("STRINGSET"), StringSetValue: []string{}},
	}
}

func sleeper(change ...func(*sdk.RegisterTaskDefinitionInput)) *sdk.RegisterTaskDefinitionInput {
	in := &sdk.RegisterTaskDefinitionInput{
		Family: aws.String("sleep"),
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("busybox"), Cpu: 128, Memory: aws.Int32(64), Command: []string{"sleep", "60"},
		}},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func (f *fixture) register(change ...func(*sdk.RegisterTaskDefinitionInput)) string {
	f.t.Helper()
	return *must(f.RegisterTaskDefinition(f.ctx, sleeper(change...))).TaskDefinition.TaskDefinitionArn
}

func (f *fixture) run(change ...func(*sdk.RunTaskInput)) *sdk.RunTaskOutput {
	f.t.Helper()
	in := &sdk.RunTaskInput{TaskDefinition: aws.String("sleep")}
	for _, c := range change {
		c(in)
	}
	return must(f.RunTask(f.ctx, in))
}

func (f *fixture) submit(task, status string) {
	f.t.Helper()
	in := &sdk.SubmitTaskStateChangeInput{Task: &task, Status: &status, Containers: []types.ContainerStateChange{{
		ContainerName: aws.String("main"), Status: &status, RuntimeId: aws.String("cafe")}}}
	if status == "STOPPED" {
		in.Containers[0].ExitCode = aws.Int32(3)
	}
	must(f.SubmitTaskStateChange(f.ctx, in))
}

func (f *fixture) describe(task string) types.Task {
	f.t.Helper()
	out := must(f.DescribeTasks(f.ctx, &sdk.DescribeTasksInput{Tasks: []string{task}, Include: []types.TaskField{"TAGS"}}))
	if len(out.Tasks) != 1 {
		f.t.Fatalf("task %s: %v", task, out.Failures)
	}
	return out.Tasks[0]
}
