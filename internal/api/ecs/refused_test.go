package ecsapi_test

import (
	"errors"
	"fmt"
	"strings"
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

var refusedClusters = []refused{
	{"name", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("a b")}))
	}, "InvalidParameterException: ClusterName contains invalid characters or is longer than 255."},
	{"long name", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String(strings.Repeat("a", 256))}))
	}, "InvalidParameterException: ClusterName contains invalid characters or is longer than 255."},
	{"capacity providers", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("x"), CapacityProviders: []string{"FARGATE"}}))
	}, "UnsupportedFeatureException: capacityProviders is not supported yet."},
	{"insights", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("x"), Settings: []types.ClusterSetting{{Name: "containerInsights", Value: aws.String("enabled")}}}))
	}, "UnsupportedFeatureException: settings: containerInsights enabled is not supported yet."},
	{"tag", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("x"), Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}))
	}, "InvalidParameterException: Tag keys starting with 'aws:' are reserved for AWS use."},
	{"too many tags", func(f *fixture) error {
		in := &sdk.CreateClusterInput{ClusterName: aws.String("x")}
		for i := range 51 {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(fmt.Sprint(i))})
		}
		return only(f.CreateCluster(f.ctx, in))
	}, "InvalidParameterException: The maximum number of tags is 50."},
	{"include", func(f *fixture) error {
		return only(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Include: []types.ClusterField{"X"}}))
	}, `InvalidParameterException: Invalid value for include: "X".`},
	{"too many", func(f *fixture) error {
		return only(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Clusters: many(101)}))
	}, "InvalidParameterException: Clusters cannot contain more than 100 entries."},
	{"other account", func(f *fixture) error {
		return only(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Clusters: []string{otherAccount}}))
	}, "InvalidParameterException: Identifier is for 111111111111. Your accountId is 000000000000"},
	{"page size", func(f *fixture) error {
		return only(f.ListClusters(f.ctx, &sdk.ListClustersInput{MaxResults: aws.Int32(101)}))
	}, "InvalidParameterException: maxResults must be between 1 and 100."},
	{"token", func(f *fixture) error {
		return only(f.ListClusters(f.ctx, &sdk.ListClustersInput{NextToken: aws.String("nonsense")}))
	}, "InvalidParameterException: Invalid token."},
	{"delete without a name", func(f *fixture) error {
		return only(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{}))
	}, "InvalidParameterException: Cluster can not be null or empty."},
	{"delete what is not there", func(f *fixture) error {
		return only(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("none")}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"delete with instances", func(f *fixture) error {
		return only(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")}))
	}, "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while Container Instances are active or draining."},
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
	}, "ClusterNotFoundException: Cluster not found."},
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
		return only(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Filter: aws.String("attribute:a == b")}))
	}, "UnsupportedFeatureException: filter is not supported yet."},
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

var refusedRuns = []refused{
	{"count", runTask(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(11) }), "InvalidParameterException: Invalid count: it must be between 1 and 10."},
	{"no count", runTask(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(0) }), "InvalidParameterException: Invalid count: it must be between 1 and 10."},
	{"cluster", runTask(func(in *sdk.RunTaskInput) { in.Cluster = aws.String("none") }), "ClusterNotFoundException: Cluster not found."},
	{"definition", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition = aws.String("none") }), "ClientException: TaskDefinition not found."},
	{"inactive definition", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition = aws.String("old:1") }), "ClientException: TaskDefinition is inactive"},
	{"fargate", runTask(func(in *sdk.RunTaskInput) { in.LaunchType = "FARGATE" }), "UnsupportedFeatureException: launchType FARGATE is not supported yet."},
	{"launch type", runTask(func(in *sdk.RunTaskInput) { in.LaunchType = "X" }), `InvalidParameterException: Invalid launchType: "X".`},
	{"capacity providers", runTask(func(in *sdk.RunTaskInput) {
		in.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("x")}}
	}), "UnsupportedFeatureException: capacityProviderStrategy is not supported yet."},
	{"constraint", runTask(func(in *sdk.RunTaskInput) {
		in.PlacementConstraints = []types.PlacementConstraint{{Type: "distinctInstance"}}
	}), "UnsupportedFeatureException: placementConstraints is not supported yet."},
	{"strategy", runTask(func(in *sdk.RunTaskInput) { in.PlacementStrategy = []types.PlacementStrategy{{Type: "random"}} }), "UnsupportedFeatureException: placementStrategy is not supported yet."},
	{"exec", runTask(func(in *sdk.RunTaskInput) { in.EnableExecuteCommand = true }), "UnsupportedFeatureException: enableExecuteCommand is not supported yet."},
	{"platform", runTask(func(in *sdk.RunTaskInput) { in.PlatformVersion = aws.String("1.4.0") }), "InvalidParameterException: The platform version must be null when specifying an EC2 launch type."},
	{"volumes", runTask(func(in *sdk.RunTaskInput) {
		in.VolumeConfigurations = []types.TaskVolumeConfiguration{{Name: aws.String("x")}}
	}), "UnsupportedFeatureException: volumeConfigurations is not supported yet."},
	{"network", runTask(func(in *sdk.RunTaskInput) {
		in.NetworkConfiguration = &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"s"}}}
	}), "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition."},
	{"awsvpc without network", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition = aws.String("vpc") }), "InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified."},
	{"awsvpc", runTask(func(in *sdk.RunTaskInput) {
		in.TaskDefinition = aws.String("vpc")
		in.NetworkConfiguration = &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"s"}}}
	}), "UnsupportedFeatureException: networkMode awsvpc is not supported yet."},
	{"external", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition, in.LaunchType = aws.String("vpc"), "EXTERNAL" }), "InvalidParameterException: Task definition does not support launch_type EXTERNAL."},
	{"group", runTask(func(in *sdk.RunTaskInput) { in.Group = aws.String("service:x") }), "InvalidParameterException: Invalid group: the prefix service: is kept for the tasks of services."},
	{"started by", runTask(func(in *sdk.RunTaskInput) { in.StartedBy = aws.String(strings.Repeat("x", 129)) }), "InvalidParameterException: startedBy must be at most 128 characters long."},
	{"started by, text", runTask(func(in *sdk.RunTaskInput) { in.StartedBy = aws.String("a b") }), "InvalidParameterException: startedBy contains invalid characters."},
	{"token", runTask(func(in *sdk.RunTaskInput) { in.ClientToken = aws.String(strings.Repeat("x", 65)) }), "InvalidParameterException: clientToken must be at most 64 characters long."},
	{"token, text", runTask(func(in *sdk.RunTaskInput) { in.ClientToken = aws.String("a b") }), "InvalidParameterException: clientToken contains invalid characters."},
	{"propagate from service", runTask(func(in *sdk.RunTaskInput) { in.PropagateTags = "SERVICE" }), "InvalidParameterException: propagateTags SERVICE is only for the tasks of services."},
	{"override", runTask(override(types.ContainerOverride{Name: aws.String("x")})), "InvalidParameterException: Override for container named x is not a container in the TaskDefinition."},
	{"override memory", runTask(override(types.ContainerOverride{Name: aws.String("main"), Memory: aws.Int32(0)})), "InvalidParameterException: Invalid 'memory' setting for the override of container 'main'."},
	{"override size", runTask(override(types.ContainerOverride{Name: aws.String("main"), Command: []string{strings.Repeat("x", 9000)}})), "InvalidParameterException: Container Overrides length must be at most 8192"},
	{"override gpu", runTask(override(types.ContainerOverride{Name: aws.String("main"), ResourceRequirements: []types.ResourceRequirement{{Type: "GPU", Value: aws.String("1")}}})),
		"UnsupportedFeatureException: overrides.containerOverrides.resourceRequirements is not supported yet."},
	{"override cpu", runTask(func(in *sdk.RunTaskInput) { in.Overrides = &types.TaskOverride{Cpu: aws.String("x")} }), "InvalidParameterException: Invalid 'cpu' setting for task override: x."},
	{"override storage", runTask(func(in *sdk.RunTaskInput) {
		in.Overrides = &types.TaskOverride{EphemeralStorage: &types.EphemeralStorage{SizeInGiB: 30}}
	}), "InvalidParameterException: Ephemeral storage override is only supported with the FARGATE launch type."},
	{"start nowhere", func(f *fixture) error {
		return only(f.StartTask(f.ctx, &sdk.StartTaskInput{TaskDefinition: aws.String("sleep")}))
	}, "InvalidParameterException: Container instances cannot be empty."},
	{"start on too many", func(f *fixture) error {
		return only(f.StartTask(f.ctx, &sdk.StartTaskInput{TaskDefinition: aws.String("sleep"), ContainerInstances: many(11)}))
	}, "InvalidParameterException: Container instances cannot contain more than 10 entries."},
}

var refusedTasks = []refused{
	{"stop nothing", func(f *fixture) error { return only(f.StopTask(f.ctx, &sdk.StopTaskInput{})) }, "InvalidParameterException: Task can not be null or empty."},
	{"stop no id", func(f *fixture) error { return only(f.StopTask(f.ctx, &sdk.StopTaskInput{Task: aws.String("x")})) }, "InvalidParameterException: taskId length should be one of [32,36]"},
	{"stop unknown", func(f *fixture) error { return only(f.StopTask(f.ctx, &sdk.StopTaskInput{Task: aws.String(someTask)})) }, "InvalidParameterException: The referenced task was not found."},
	{"stop reason", func(f *fixture) error {
		return only(f.StopTask(f.ctx, &sdk.StopTaskInput{Task: aws.String(someTask), Reason: aws.String(strings.Repeat("x", 1025))}))
	}, "InvalidParameterException: reason must be at most 1024 characters long."},
	{"describe none", func(f *fixture) error { return only(f.DescribeTasks(f.ctx, &sdk.DescribeTasksInput{})) }, "InvalidParameterException: Tasks cannot be empty."},
	{"describe too many", func(f *fixture) error {
		return only(f.DescribeTasks(f.ctx, &sdk.DescribeTasksInput{Tasks: many(101)}))
	}, "InvalidParameterException: Tasks cannot contain more than 100 entries."},
	{"describe kind", func(f *fixture) error {
		return only(f.DescribeTasks(f.ctx, &sdk.DescribeTasksInput{Tasks: []string{"arn:aws:ecs:us-east-1:000000000000:service/x/y"}}))
	}, "InvalidParameterException: Invalid identifier: arn:aws:ecs:us-east-1:000000000000:service/x/y is not the ARN of a task"},
	{"list status", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{DesiredStatus: "X"}))
	}, `InvalidParameterException: Invalid desiredStatus: "X".`},
	{"list instance", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{ContainerInstance: aws.String(someTask)}))
	}, "InvalidParameterException: The referenced container instance was not found."},
	{"list daemon", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{DaemonName: aws.String("x")}))
	}, "UnsupportedFeatureException: daemonName is not supported yet."},
	{"submit unknown", func(f *fixture) error {
		return only(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: aws.String(someTask), Status: aws.String("RUNNING")}))
	}, "InvalidParameterException: The referenced task was not found."},
	{"submit status", func(f *fixture) error {
		return only(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: aws.String(someTask), Status: aws.String("X")}))
	}, `InvalidParameterException: Invalid status: "X".`},
	{"submit container unknown", func(f *fixture) error {
		return only(f.SubmitContainerStateChange(f.ctx, &sdk.SubmitContainerStateChangeInput{Task: aws.String(someTask)}))
	}, "InvalidParameterException: The referenced task was not found."},
	{"submit attachment", func(f *fixture) error {
		return only(f.SubmitAttachmentStateChanges(f.ctx, &sdk.SubmitAttachmentStateChangesInput{Attachments: []types.AttachmentStateChange{{}}}))
	}, "InvalidParameterException: attachments is not supported yet."},
	{"endpoint", func(f *fixture) error { return only(f.DiscoverPollEndpoint(f.ctx, &sdk.DiscoverPollEndpointInput{})) }, "UnsupportedFeatureException: This server has no endpoint for agents."},
	{"tag nothing", func(f *fixture) error { return only(f.TagResource(f.ctx, &sdk.TagResourceInput{})) }, "InvalidParameterException: resourceArn should not be null or empty."},
	{"tag no ARN", func(f *fixture) error {
		return only(f.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: aws.String("x")}))
	}, "InvalidParameterException: Invalid identifier: x"},
	{"tag unknown", func(f *fixture) error {
		return only(f.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: aws.String(place.TaskARN("default", [16]byte{1})), Tags: []types.Tag{{Key: aws.String("a")}}}))
	}, "ResourceNotFoundException: The specified resource was not found."},
	{"tag twice", func(f *fixture) error {
		return only(f.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: aws.String(place.ClusterARN("default")), Tags: []types.Tag{{Key: aws.String("a")}, {Key: aws.String("a")}}}))
	}, `InvalidParameterException: Duplicate tag keys found: "a".`},
	{"untag nothing", func(f *fixture) error {
		return only(f.UntagResource(f.ctx, &sdk.UntagResourceInput{ResourceArn: aws.String(place.ClusterARN("default"))}))
	}, "InvalidParameterException: TagKeys can not be empty."},
	{"tags of a service", func(f *fixture) error {
		return only(f.ListTagsForResource(f.ctx, &sdk.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:ecs:us-east-1:000000000000:service/x/y")}))
	}, "InvalidParameterException: Resources of the type service cannot be tagged."},
	{"setting", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{Name: "X"}))
	}, `InvalidParameterException: Invalid setting name: "X".`},
	{"setting of a principal", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{PrincipalArn: aws.String("x")}))
	}, "UnsupportedFeatureException: principalArn: settings of single principals are not supported yet."},
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
	before := f.store.View().Revision
	for group, list := range map[string][]refused{"clusters": refusedClusters, "definitions": refusedDefinitions, "instances": refusedInstances, "runs": refusedRuns, "tasks": refusedTasks} {
		for _, r := range list {
			t.Run(group+"/"+r.name, func(t *testing.T) {
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
}
