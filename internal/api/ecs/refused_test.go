package ecsapi_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/fault"
)

// refused is one input that is not taken, with the exception and message that the caller gets.
type refused struct {
	name string
	call func(f *fixture) error
	want string
}

// only drops a call's answer.
func only[T any](_ T, err error) error { return err }

const (
	someTask     = "0123456789abcdef0123456789abcdef"
	otherAccount = "arn:aws:ecs:us-east-1:111111111111:cluster/default"
)

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = someTask
	}
	return out
}

func runTask(change func(*sdk.RunTaskInput)) func(*fixture) error {
	return func(f *fixture) error {
		in := &sdk.RunTaskInput{TaskDefinition: aws.String("sleep")}
		change(in)
		return only(f.RunTask(f.ctx, in))
	}
}

func override(o types.ContainerOverride) func(*sdk.RunTaskInput) {
	return func(in *sdk.RunTaskInput) {
		in.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{o}}
	}
}

var refusedDefinitions = []refused{
	{"describe nothing", func(f *fixture) error {
		return only(f.DescribeTaskDefinition(f.ctx, &sdk.DescribeTaskDefinitionInput{}))
	}, "ClientException: Task definition should not be null or empty."},
	{"describe what is not there", func(f *fixture) error {
		return only(f.DescribeTaskDefinition(f.ctx, &sdk.DescribeTaskDefinitionInput{TaskDefinition: aws.String("sleep:9")}))
	}, "ClientException: Unable to describe task definition."},
	{"revision", func(f *fixture) error {
		return only(f.DescribeTaskDefinition(f.ctx, &sdk.DescribeTaskDefinitionInput{TaskDefinition: aws.String("sleep:x")}))
	}, "InvalidParameterException: Invalid revision number. Number: x"},
	{"deregister a family", func(f *fixture) error {
		return only(f.DeregisterTaskDefinition(f.ctx, &sdk.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("sleep")}))
	}, "ClientException: Revision is missing."},
	{"deregister what is not there", func(f *fixture) error {
		return only(f.DeregisterTaskDefinition(f.ctx, &sdk.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("sleep:9")}))
	}, "ClientException: The specified task definition does not exist."},
	{"list status", func(f *fixture) error {
		return only(f.ListTaskDefinitions(f.ctx, &sdk.ListTaskDefinitionsInput{Status: "X"}))
	}, `InvalidParameterException: Invalid status: "X".`},
	{"list order", func(f *fixture) error {
		return only(f.ListTaskDefinitions(f.ctx, &sdk.ListTaskDefinitionsInput{Sort: "X"}))
	}, `InvalidParameterException: Invalid sort: "X".`},
	{"families' status", func(f *fixture) error {
		return only(f.ListTaskDefinitionFamilies(f.ctx, &sdk.ListTaskDefinitionFamiliesInput{Status: "X"}))
	}, `InvalidParameterException: Invalid status: "X".`},
	{"empty tags", func(f *fixture) error {
		return only(f.RegisterTaskDefinition(f.ctx, sleeper(func(in *sdk.RegisterTaskDefinitionInput) { in.Tags = []types.Tag{} })))
	}, "ClientException: Tags can not be empty."},
	{"sharing", func(f *fixture) error {
		return only(f.RegisterTaskDefinition(f.ctx, sleeper(func(in *sdk.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions[0].ResourceRequirements = []types.ResourceRequirement{{Type: "GPU", Value: aws.String("1"), SharingStrategy: &types.SharingStrategyMemberNvidiaMps{}}}
		})))
	}, "UnsupportedFeatureException: resourceRequirements.sharingStrategy is not supported yet."},
}

var refusedInstances = []refused{
	{"cluster", func(f *fixture) error {
		return only(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{Cluster: aws.String("none"), TotalResources: resources(1, 1)}))
	}, "ClientException: Cluster not found."},
	{"resources", func(f *fixture) error {
		return only(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{}))
	}, "InvalidParameterException: Resources must contain CPU and MEMORY."},
	{"resource", func(f *fixture) error {
		return only(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(-1, 1)}))
	}, "InvalidParameterException: Invalid resource: CPU."},
	{"identity", func(f *fixture) error {
		return only(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(1, 1), InstanceIdentityDocument: aws.String("{")}))
	}, "InvalidParameterException: Invalid instance identity document."},
	{"device", func(f *fixture) error {
		return only(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(1, 1), PlatformDevices: []types.PlatformDevice{{Type: "NEURON_DEVICE"}}}))
	}, `InvalidParameterException: platformDevices: devices of the type "NEURON_DEVICE" are not supported yet.`},
	{"again, unknown", func(f *fixture) error {
		return only(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(1, 1), ContainerInstanceArn: aws.String(someTask)}))
	}, "ClientException: The referenced container instance was not found."},
	{"describe none", func(f *fixture) error {
		return only(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{}))
	}, "InvalidParameterException: Container instances cannot be empty."},
	{"describe too many", func(f *fixture) error {
		return only(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{ContainerInstances: many(101)}))
	}, "InvalidParameterException: Container instances cannot contain more than 100 entries."},
	{"describe no id", func(f *fixture) error {
		return only(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{ContainerInstances: []string{"x"}}))
	}, "InvalidParameterException: containerInstanceId length should be one of [32,36]"},
	{"list filter", func(f *fixture) error {
		return only(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Filter: aws.String("attribute:a = b")}))
	}, "InvalidParameterException: Invalid filter expression: at offset 12: expected an operator such as == or in, found \"=\"."},
	{"list status", func(f *fixture) error {
		return only(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Status: "X"}))
	}, `InvalidParameterException: Invalid status: "X".`},
	{"deregister none", func(f *fixture) error {
		return only(f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{}))
	}, "InvalidParameterException: Container instance can not be null or empty."},
	{"deregister unknown", func(f *fixture) error {
		return only(f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: aws.String(someTask)}))
	}, "InvalidParameterException: The referenced container instance was not found."},
}

// TestRefusedInput: each is refused in the words expected, and changes nothing.
func TestRefusedInput(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(1000, 1000)
	f.register()
	old := f.register(func(in *sdk.RegisterTaskDefinitionInput) { in.Family = aws.String("old") })
	must(f.DeregisterTaskDefinition(f.ctx, &sdk.DeregisterTaskDefinitionInput{TaskDefinition: &old}))
	f.register(func(in *sdk.RegisterTaskDefinitionInput) { in.Family, in.NetworkMode = aws.String("vpc"), "awsvpc" })
	f.register(fargate)
	f.register(ebs)
	for group, list := range map[string][]refused{"definitions": refusedDefinitions, "instances": refusedInstances, "runs": refusedRuns, "tasks": refusedTasks, "protection": refusedProtection, "launches": refusedLaunches, "overrides": refusedOverrides} {
		t.Run(group, func(t *testing.T) { f.refuses(t, list) })
	}
}

// refuses makes each call and wants its refusal and no change of the state.
func (f *fixture) refuses(t *testing.T, list []refused) {
	before := f.store.View().Revision
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			err := r.call(f)
			var e *fault.Error
			if !errors.As(err, &e) || string(e.Kind)+": "+e.Message != r.want {
				t.Errorf("got  %v\nwant %s", err, r.want)
			}
			if got := f.store.View().Revision; got != before {
				t.Fatalf("the state went from revision %d to %d", before, got)
			}
		})
	}
}
