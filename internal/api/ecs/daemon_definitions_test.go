package ecsapi_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

func collector(change ...func(*sdk.RegisterDaemonTaskDefinitionInput)) *sdk.RegisterDaemonTaskDefinitionInput {
	in := &sdk.RegisterDaemonTaskDefinitionInput{
		Family:               aws.String("collector"),
		ContainerDefinitions: []types.DaemonContainerDefinition{{Name: aws.String("main"), Image: aws.String("busybox"), Cpu: 128, Memory: aws.Int32(64)}},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func (f *fixture) registerDaemon(change ...func(*sdk.RegisterDaemonTaskDefinitionInput)) string {
	f.t.Helper()
	return *must(f.RegisterDaemonTaskDefinition(f.ctx, collector(change...))).DaemonTaskDefinitionArn
}

// TestDaemonDefinitionIsKept gives back what was registered, with ECS's defaults.
func TestDaemonDefinitionIsKept(t *testing.T) {
	f := newFixture(t)
	f.register(func(in *sdk.RegisterTaskDefinitionInput) { in.Family = aws.String("collector") })
	arn := f.registerDaemon(func(in *sdk.RegisterDaemonTaskDefinitionInput) {
		in.PidMode, in.Cpu, in.Memory, in.TaskRoleArn = "shared", aws.String("256"), aws.String("128"), aws.String("role")
		in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
		in.Volumes = []types.DaemonVolume{{Name: aws.String("log"), Host: &types.HostVolumeProperties{SourcePath: aws.String("/var/log")}}, {Name: aws.String("scratch")}}
		c := &in.ContainerDefinitions[0]
		c.MountPoints = []types.MountPoint{{SourceVolume: aws.String("log"), ContainerPath: aws.String("/log")}}
		c.LinuxParameters = &types.DaemonLinuxParameters{Capabilities: &types.KernelCapabilities{Add: []string{"NET_ADMIN"}}}
		c.Privileged, c.StopTimeout = aws.Bool(true), aws.Int32(7)
	})
	if want := "arn:aws:ecs:us-east-1:000000000000:daemon-task-definition/collector:1"; arn != want {
		t.Errorf("%s, want %s", arn, want)
	}
	got := must(f.DescribeDaemonTaskDefinition(f.ctx, &sdk.DescribeDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("collector")})).DaemonTaskDefinition
	want := &types.DaemonTaskDefinition{
		DaemonTaskDefinitionArn: &arn, Family: aws.String("collector"), Revision: 1, Status: "ACTIVE", RegisteredAt: &f.now, PidMode: "shared", IpcMode: "none",
		Cpu: aws.String("256"), Memory: aws.String("128"), TaskRoleArn: aws.String("role"),
		Volumes: []types.DaemonVolume{{Name: aws.String("log"), Host: &types.HostVolumeProperties{SourcePath: aws.String("/var/log")}}, {Name: aws.String("scratch")}},
		ContainerDefinitions: []types.DaemonContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("busybox"), Cpu: 128, Memory: aws.Int32(64), Essential: aws.Bool(true), Privileged: aws.Bool(true), StopTimeout: aws.Int32(7),
			MountPoints: []types.MountPoint{{SourceVolume: aws.String("log"), ContainerPath: aws.String("/log")}}, Environment: []types.KeyValuePair{}, SystemControls: []types.SystemControl{},
			LinuxParameters: &types.DaemonLinuxParameters{Capabilities: &types.KernelCapabilities{Add: []string{"NET_ADMIN"}}},
		}},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(allWireTypes()...)); d != "" {
		t.Error(d)
	}
	if tags := must(f.ListTagsForResource(f.ctx, &sdk.ListTagsForResourceInput{ResourceArn: &arn})).Tags; len(tags) != 1 || *tags[0].Value != "v" {
		t.Errorf("tags: %+v", tags)
	}
	// Task definitions and those of daemons do not see each other.
	if out := must(f.ListTaskDefinitions(f.ctx, &sdk.ListTaskDefinitionsInput{})); len(out.TaskDefinitionArns) != 1 {
		t.Errorf("task definitions: %v", out.TaskDefinitionArns)
	}
	f.registerDaemon(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.Family = aws.String("only") })
	if out := must(f.ListTaskDefinitionFamilies(f.ctx, &sdk.ListTaskDefinitionFamiliesInput{Status: "ALL"})); !slices.Equal(out.Families, []string{"collector"}) {
		t.Errorf("families: %v", out.Families)
	}
	f.cluster()
	if _, err := f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: &arn}); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("RunTask: %v", err)
	}
}

// allWireTypes are the structs of a daemon task definition.
func allWireTypes() []any {
	return []any{types.DaemonTaskDefinition{}, types.DaemonContainerDefinition{}, types.DaemonVolume{}, types.HostVolumeProperties{}, types.MountPoint{},
		types.DaemonLinuxParameters{}, types.KernelCapabilities{}, types.KeyValuePair{}, types.SystemControl{}}
}

// TestDaemonDefinitionFields fails when AWS adds a field that a daemon's definition would lose.
func TestDaemonDefinitionFields(t *testing.T) {
	for _, path := range mirror.Unmatched(reflect.TypeFor[ecs.TaskDefinition](), reflect.TypeFor[sdk.RegisterDaemonTaskDefinitionInput]()) {
		if path != "Volumes.LogDriverVolumeConfiguration" { // It is refused.
			t.Errorf("%s has no field in ecs.TaskDefinition", path)
		}
	}
}

func TestDaemonDefinitionsAreListed(t *testing.T) {
	f := newFixture(t)
	for _, family := range []string{"b", "a", "ab", "b", "b"} {
		f.registerDaemon(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.Family = &family })
	}
	must(f.DeleteDaemonTaskDefinition(f.ctx, &sdk.DeleteDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("b:3")}))
	list := func(in sdk.ListDaemonTaskDefinitionsInput) string {
		in.MaxResults = aws.Int32(2)
		var out []string
		for {
			page := must(f.ListDaemonTaskDefinitions(f.ctx, &in))
			for _, d := range page.DaemonTaskDefinitions {
				out = append(out, must(ecs.ParseARN(*d.Arn)).Resource)
			}
			if in.NextToken = page.NextToken; in.NextToken == nil {
				return strings.Join(out, " ")
			}
		}
	}
	for _, c := range []struct {
		in   sdk.ListDaemonTaskDefinitionsInput
		want string
	}{
		{sdk.ListDaemonTaskDefinitionsInput{}, "a:1 ab:1 b:1 b:2"},
		{sdk.ListDaemonTaskDefinitionsInput{Sort: "DESC"}, "b:2 b:1 ab:1 a:1"},
		{sdk.ListDaemonTaskDefinitionsInput{Family: aws.String("a")}, "a:1"},
		{sdk.ListDaemonTaskDefinitionsInput{FamilyPrefix: aws.String("a")}, "a:1 ab:1"},
		{sdk.ListDaemonTaskDefinitionsInput{Status: "ALL"}, "a:1 ab:1 b:1 b:2 b:3"},
		{sdk.ListDaemonTaskDefinitionsInput{Status: "DELETE_IN_PROGRESS"}, "b:3"},
		{sdk.ListDaemonTaskDefinitionsInput{Status: "ALL", Revision: "LAST_REGISTERED"}, "a:1 ab:1 b:3"},
	} {
		if got := list(c.in); got != c.want {
			t.Errorf("%+v: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestDaemonDefinitionRefused(t *testing.T) {
	f := newFixture(t)
	f.registerDaemon()
	must(f.DeleteDaemonTaskDefinition(f.ctx, &sdk.DeleteDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("collector:1")}))
	register := func(change func(*sdk.RegisterDaemonTaskDefinitionInput)) error {
		_, err := f.RegisterDaemonTaskDefinition(f.ctx, collector(change))
		return err
	}
	before := f.store.View().Revision
	for want, err := range map[string]error{
		"ClientException: Family should not be null or empty.":         register(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.Family = nil }),
		"ClientException: Container list cannot be empty.":             register(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.ContainerDefinitions = nil }),
		"ClientException: Invalid 'pidMode' setting for daemon: host.": register(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.PidMode = "host" }),
		"ClientException: Invalid 'ipcMode' setting for daemon: task.": register(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.IpcMode = "task" }),
		"ClientException: Tags can not be empty.":                      register(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.Tags = []types.Tag{} }),
		"UnsupportedFeatureException: logDriverVolumeConfiguration is not supported yet.": register(func(in *sdk.RegisterDaemonTaskDefinitionInput) {
			in.Volumes = []types.DaemonVolume{{Name: aws.String("v"), LogDriverVolumeConfiguration: &types.LogDriverVolumeConfiguration{Driver: "json-file"}}}
		}),
		"ClientException: Daemon task definition should not be null or empty.": only(f.DescribeDaemonTaskDefinition(f.ctx, &sdk.DescribeDaemonTaskDefinitionInput{})),
		"ClientException: The specified daemon task definition does not exist. Specify a valid account, family, revision and try again.": only(
			f.DescribeDaemonTaskDefinition(f.ctx, &sdk.DescribeDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("collector")})),
		"ClientException: Revision is missing.": only(f.DeleteDaemonTaskDefinition(f.ctx, &sdk.DeleteDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("collector")})),
		"ClientException: The specified daemon task definition is in DELETE_IN_PROGRESS status. Only one in ACTIVE status can be deleted.": only(
			f.DeleteDaemonTaskDefinition(f.ctx, &sdk.DeleteDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("collector:1")})),
		`InvalidParameterException: Invalid status: "DELETED".`: only(f.ListDaemonTaskDefinitions(f.ctx, &sdk.ListDaemonTaskDefinitionsInput{Status: "DELETED"})),
		`InvalidParameterException: Invalid sort: "UP".`:        only(f.ListDaemonTaskDefinitions(f.ctx, &sdk.ListDaemonTaskDefinitionsInput{Sort: "UP"})),
		`InvalidParameterException: Invalid revision: "1".`:     only(f.ListDaemonTaskDefinitions(f.ctx, &sdk.ListDaemonTaskDefinitionsInput{Revision: "1"})),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if f.store.View().Revision != before {
		t.Error("something was stored")
	}
}
