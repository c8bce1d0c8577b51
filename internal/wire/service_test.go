package wire

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func panics(t *testing.T, name string, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", name)
		}
	}()
	fn()
}

func TestHandlePanics(t *testing.T) {
	type in = ecs.ListClustersInput
	type out = ecs.ListClustersOutput
	ok := func(context.Context, *in) (*out, error) { return nil, nil }
	svc := ecsService()
	Handle(svc, "ListClusters", ok)
	panics(t, "twice", func() { Handle(svc, "ListClusters", ok) })
	panics(t, "no such operation", func() { Handle(svc, "ListClutters", ok) })
	panics(t, "another's input", func() { Handle(svc, "ListServices", ok) })
	panics(t, "another's output", func() {
		Handle(svc, "ListServices", func(context.Context, *ecs.ListServicesInput) (*out, error) { return nil, nil })
	})
	panics(t, "no stream", func() {
		HandleStream(svc, "ListTasks", func(context.Context, *ecs.ListTasksInput, func(string, any) error) error { return nil })
	})
	panics(t, "another's stream", func() {
		HandleStream(logsService(), "StartLiveTail", func(context.Context, *cloudwatchlogs.GetLogObjectInput, func(string, any) error) error { return nil })
	})
	panics(t, "no operations", func() {
		NewService(ServiceConfig{Name: "x", Protocol: Query, Client: reflect.TypeFor[*types.Task]()})
	})
	panics(t, "no target", func() {
		NewService(ServiceConfig{Name: "ecs", Protocol: JSON11, Client: reflect.TypeFor[*ecs.Client]()})
	})
	if got := svc.Handled(); !slices.Equal(got, []string{"ListClusters"}) {
		t.Errorf("%v", got)
	}
	if ops := svc.Operations(); !slices.Contains(ops, "RunTask") || !slices.IsSorted(ops) || len(ops) < 60 {
		t.Errorf("%v", ops)
	}
}

// TestNames has names that the obvious rule gets wrong, as AWS's API reference has them.
func TestNames(t *testing.T) {
	p := ecsService().planner
	for _, c := range []struct {
		typ         reflect.Type
		field, want string
	}{
		{reflect.TypeFor[types.NetworkBinding](), "BindIP", "bindIP"},
		{reflect.TypeFor[types.Container](), "GpuIds", "gpuIds"},
		{reflect.TypeFor[types.ContainerDefinition](), "DnsServers", "dnsServers"},
		{reflect.TypeFor[types.EFSVolumeConfiguration](), "FileSystemId", "fileSystemId"},
		{reflect.TypeFor[types.Volume](), "EfsVolumeConfiguration", "efsVolumeConfiguration"},
		{reflect.TypeFor[types.Volume](), "FsxWindowsFileServerVolumeConfiguration", "fsxWindowsFileServerVolumeConfiguration"},
		{reflect.TypeFor[types.NetworkInterface](), "PrivateIpv4Address", "privateIpv4Address"},
		{reflect.TypeFor[types.ExecuteCommandLogConfiguration](), "S3BucketName", "s3BucketName"},
		{reflect.TypeFor[ecs.CreateServiceInput](), "EnableECSManagedTags", "enableECSManagedTags"},
	} {
		f, _ := c.typ.FieldByName(c.field)
		s := p.plan(c.typ)
		if got := s.byName[c.want]; got == nil || got.index != f.Index[0] {
			t.Errorf("%s.%s isn't %s", c.typ, c.field, c.want)
		}
	}
}

// TestEmptyAndAbsent: an empty list is given, a nil one and a nil pointer are left out, a plain number is always given.
func TestEmptyAndAbsent(t *testing.T) {
	s := ecsService().planner.plan(reflect.TypeFor[ecs.DescribeTasksOutput]())
	out := ecs.DescribeTasksOutput{Failures: []types.Failure{}, Tasks: []types.Task{{Containers: []types.Container{}}}}
	b, err := appendJSON(nil, s, reflect.ValueOf(&out).Elem())
	want := `{"failures":[],"tasks":[{"containers":[],"enableExecuteCommand":false,"version":0}]}`
	if err != nil || string(b) != want {
		t.Errorf("%s %v, want %s", b, err, want)
	}
}

// TestExtra: members that the SDK's struct lacks reach a handler that asks for them, and no other.
func TestExtra(t *testing.T) {
	var tokens []string
	svc := ecsService()
	Handle(svc, "ListClusters", func(ctx context.Context, _ *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
		tokens = append(tokens, Extra(ctx, "clientToken"))
		return &ecs.ListClustersOutput{}, nil
	})
	Handle(svc, "ListTasks", func(ctx context.Context, _ *ecs.ListTasksInput) (*ecs.ListTasksOutput, error) {
		tokens = append(tokens, Extra(ctx, "clientToken"))
		return &ecs.ListTasksOutput{}, nil
	})
	svc.KeepExtra("ListClusters")
	panics(t, "not registered", func() { svc.KeepExtra("ListServices") })
	srv := serve(t, func(c *Config) { c.Now = testClock }, svc)
	for _, r := range []struct{ op, body string }{
		{"ListClusters", `{"maxResults":3,"clientToken":"tok\u0065n"}`}, {"ListClusters", `{"clientToken":{"a":1}}`},
		{"ListClusters", `{"clientToken":null}`}, {"ListClusters", ``}, {"ListTasks", `{"clientToken":"token"}`},
	} {
		if status, body := post(t, srv.URL, r.op, []byte(r.body), nil); status != 200 {
			t.Errorf("%s %s: %d %s", r.op, r.body, status, body)
		}
	}
	if want := []string{"token", "", "", "", ""}; !slices.Equal(tokens, want) {
		t.Errorf("got %q", tokens)
	}
	if Extra(t.Context(), "clientToken") != "" {
		t.Error("outside of a request")
	}
}
