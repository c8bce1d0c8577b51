package mirror_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
)

func TestCopyThereAndBack(t *testing.T) {
	in := &sdk.RegisterTaskDefinitionInput{
		Family:                  aws.String("web"),
		NetworkMode:             types.NetworkModeBridge,
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityEc2},
		EphemeralStorage:        &types.EphemeralStorage{SizeInGiB: 30},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name:         aws.String("a"),
			Cpu:          10,
			Memory:       aws.Int32(64),
			Essential:    aws.Bool(false),
			Environment:  []types.KeyValuePair{{Name: aws.String("E"), Value: aws.String("")}, {Name: aws.String("F")}},
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(0), Protocol: types.TransportProtocolTcp}},
			DockerLabels: map[string]string{"a": "b"},
			DnsServers:   []string{},
			LinuxParameters: &types.LinuxParameters{Devices: []types.Device{{
				HostPath: aws.String("/dev/x"), Permissions: []types.DeviceCgroupPermission{"read"}}}},
			LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{"a": "b"},
				SecretOptions: []types.Secret{{Name: aws.String("n"), ValueFrom: aws.String("v")}}},
		}},
		Volumes: []types.Volume{{Name: aws.String("v"), Host: &types.HostVolumeProperties{}}},
	}
	def := mirror.Of[ecs.TaskDefinition](in)
	if def.Family != "web" || def.NetworkMode != "bridge" || def.ContainerDefinitions[0].LogConfiguration.LogDriver != "awslogs" {
		t.Fatalf("copied wrongly: %+v", def)
	}
	if v := def.ContainerDefinitions[0].Environment[0].Value; v == nil || *v != "" {
		t.Errorf("an empty value must stay, got %v", v)
	}
	back := mirror.Of[sdk.RegisterTaskDefinitionInput](def)
	if d := cmp.Diff(in, &back, cmpopts.IgnoreUnexported(sdk.RegisterTaskDefinitionInput{}, types.EphemeralStorage{},
		types.ContainerDefinition{}, types.KeyValuePair{}, types.PortMapping{}, types.LinuxParameters{}, types.Device{},
		types.LogConfiguration{}, types.Secret{}, types.Volume{}, types.HostVolumeProperties{})); d != "" {
		t.Error(d)
	}
}

func TestCopyNilChangesNothing(t *testing.T) {
	c := ecs.Cluster{Name: "x"}
	mirror.Copy(&c, (*types.Cluster)(nil))
	if c.Name != "x" {
		t.Error("a nil source changed the destination")
	}
	if mirror.Slice[ecs.Tag, types.Tag](nil) != nil {
		t.Error("nil list became a list")
	}
}

// What the SDK has and the domain has not, each with its reason. A new field of AWS's fails the test until it is either
// in the domain or here (and refused by the API's table of unsupported fields).
var exceptions = map[string]string{
	"ContainerDefinitions.ResourceRequirements.SharingStrategy": "a union about how GPUs are shared; GPUs cannot be shared here, and the API refuses it",
	"ContainerOverrides.ResourceRequirements.SharingStrategy":   "as above, in an override",
	"TaskDefinitionArn": "derived from the family, the revision and the installation's place",
}

func TestEveryFieldHasAMirror(t *testing.T) {
	for _, c := range []struct{ dst, src reflect.Type }{
		{reflect.TypeFor[ecs.TaskDefinition](), reflect.TypeFor[sdk.RegisterTaskDefinitionInput]()},
		{reflect.TypeFor[ecs.TaskDefinition](), reflect.TypeFor[types.TaskDefinition]()},
		{reflect.TypeFor[ecs.TaskOverride](), reflect.TypeFor[types.TaskOverride]()},
		{reflect.TypeFor[ecs.ClusterConfiguration](), reflect.TypeFor[types.ClusterConfiguration]()},
	} {
		for _, path := range mirror.Unmatched(c.dst, c.src) {
			if exceptions[path] == "" {
				t.Errorf("%v.%s has no field in %v", c.src, path, c.dst)
			}
		}
	}
}

func TestUnmatchedNamesWhatIsMissing(t *testing.T) {
	type inner struct{ A, B string }
	type src struct {
		X  *string
		In []inner
	}
	type small struct{ A string }
	type dst struct{ In []small }
	got := mirror.Unmatched(reflect.TypeFor[dst](), reflect.TypeFor[src]())
	if !slices.Equal(got, []string{"X", "In.B"}) {
		t.Errorf("got %v", got)
	}
}

func BenchmarkCopyDefinition(b *testing.B) {
	in := &sdk.RegisterTaskDefinitionInput{Family: aws.String("web"), ContainerDefinitions: []types.ContainerDefinition{{
		Name: aws.String("a"), Image: aws.String("busybox"), Memory: aws.Int32(64),
		Environment: []types.KeyValuePair{{Name: aws.String("E"), Value: aws.String("x")}}}}}
	b.ReportAllocs()
	for b.Loop() {
		_ = mirror.Of[ecs.TaskDefinition](in)
	}
}
