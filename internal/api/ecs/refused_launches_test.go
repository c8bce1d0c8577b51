package ecsapi_test

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// fargate makes a definition that Fargate takes, of the family fargate.
func fargate(in *sdk.RegisterTaskDefinitionInput) {
	in.Family, in.NetworkMode = aws.String("fargate"), "awsvpc"
	in.Cpu, in.Memory, in.RequiresCompatibilities = aws.String("256"), aws.String("512"), []types.Compatibility{"FARGATE"}
}

// ebs makes a definition with a volume that is configured at launch, of the family ebs.
func ebs(in *sdk.RegisterTaskDefinitionInput) {
	in.Family, in.Volumes = aws.String("ebs"), []types.Volume{{Name: aws.String("data"), ConfiguredAtLaunch: aws.Bool(true)}, {Name: aws.String("plain")}}
	in.ContainerDefinitions[0].MountPoints = []types.MountPoint{{SourceVolume: aws.String("data"), ContainerPath: aws.String("/data")}}
}

func ofFamily(family string, change func(*sdk.RunTaskInput)) func(*fixture) error {
	return runTask(func(in *sdk.RunTaskInput) {
		in.TaskDefinition = &family
		change(in)
	})
}

func inSubnet(in *sdk.RunTaskInput) { inSubnets(in, "subnet-12345678") }

func inSubnets(in *sdk.RunTaskInput, ids ...string) {
	in.NetworkConfiguration = &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: ids}}
}

func awsvpc(change func(*types.AwsVpcConfiguration)) func(*fixture) error {
	return ofFamily("vpc", func(in *sdk.RunTaskInput) {
		inSubnet(in)
		change(in.NetworkConfiguration.AwsvpcConfiguration)
	})
}

func onFargate(change func(*sdk.RunTaskInput)) func(*fixture) error {
	return ofFamily("fargate", func(in *sdk.RunTaskInput) {
		in.LaunchType = "FARGATE"
		inSubnet(in)
		change(in)
	})
}

func strategy(items ...types.CapacityProviderStrategyItem) func(*fixture) error {
	return runTask(func(in *sdk.RunTaskInput) { in.CapacityProviderStrategy = items })
}

func provider(name string, base, weight int32) types.CapacityProviderStrategyItem {
	return types.CapacityProviderStrategyItem{CapacityProvider: &name, Base: base, Weight: weight}
}

func providers(n int) (out []types.CapacityProviderStrategyItem) {
	for i := range n {
		out = append(out, provider(fmt.Sprint("p", i), 0, 1))
	}
	return out
}

func volume(family string, v types.TaskVolumeConfiguration) func(*fixture) error {
	return ofFamily(family, func(in *sdk.RunTaskInput) { in.VolumeConfigurations = []types.TaskVolumeConfiguration{v} })
}

var someEBS = &types.TaskManagedEBSVolumeConfiguration{RoleArn: aws.String("arn:aws:iam::000000000000:role/x"), SizeInGiB: aws.Int32(10)}

var refusedLaunches = []refused{
	{"two ways", runTask(func(in *sdk.RunTaskInput) {
		in.LaunchType, in.CapacityProviderStrategy = "EC2", providers(1)
	}), "InvalidParameterException: Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."},
	{"providers", strategy(providers(21)...), "InvalidParameterException: A capacity provider strategy can contain a maximum of 20 capacity providers."},
	{"provider without name", strategy(provider("", 0, 1)), "InvalidParameterException: The capacity provider name cannot be null or empty."},
	{"provider twice", strategy(provider("x", 0, 1), provider("x", 0, 1)), "InvalidParameterException: The capacity provider strategy contains the capacity provider 'x' more than once."},
	{"weight", strategy(provider("x", 0, 1001)), "InvalidParameterException: The weight of a capacity provider must be between 0 and 1000."},
	{"base", strategy(provider("x", 100001, 1)), "InvalidParameterException: The base of a capacity provider must be between 0 and 100000."},
	{"two bases", strategy(provider("x", 1, 1), provider("y", 1, 1)), "InvalidParameterException: Only one capacity provider in a capacity provider strategy can have a base defined."},
	{"no weight", strategy(provider("x", 1, 0), provider("y", 0, 0)), "InvalidParameterException: At least one capacity provider in a capacity provider strategy must have a weight greater than zero."},
	{"unknown provider", strategy(provider("x", 0, 1)), "InvalidParameterException: The specified capacity provider 'x' was not found. Specify a valid name or ARN and try again."},
	{"provider of another account", strategy(provider("arn:aws:ecs:us-east-1:111111111111:capacity-provider/x", 0, 1)), "InvalidParameterException: Identifier is for 111111111111. Your accountId is 000000000000"},
	{"provider not the cluster's", strategy(provider("FARGATE", 0, 1)),
		"InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again."},
	{"external platform", runTask(func(in *sdk.RunTaskInput) { in.LaunchType, in.PlatformVersion = "EXTERNAL", aws.String("LATEST") }),
		"InvalidParameterException: The platform version must be null when specifying an EXTERNAL launch type."},
	{"fargate platform", onFargate(func(in *sdk.RunTaskInput) { in.PlatformVersion = aws.String("1.0.0") }), "InvalidParameterException: The specified platform does not exist."},
	{"fargate without network", onFargate(func(in *sdk.RunTaskInput) { in.NetworkConfiguration = nil }),
		"InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified."},
	{"fargate constraints", onFargate(func(in *sdk.RunTaskInput) {
		in.PlacementConstraints = []types.PlacementConstraint{{Type: "distinctInstance"}}
	}),
		"InvalidParameterException: Placement constraints are not supported with FARGATE launch type."},
	{"fargate strategies", onFargate(func(in *sdk.RunTaskInput) { in.PlacementStrategy = []types.PlacementStrategy{{Type: "random"}} }),
		"InvalidParameterException: Placement strategies are not supported with FARGATE launch type."},
	{"fargate size", onFargate(func(in *sdk.RunTaskInput) { in.Overrides = &types.TaskOverride{Cpu: aws.String("300")} }),
		"InvalidParameterException: No Fargate configuration exists for given values: 300 CPU, 512 memory."},
	{"fargate storage", onFargate(func(in *sdk.RunTaskInput) {
		in.Overrides = &types.TaskOverride{EphemeralStorage: &types.EphemeralStorage{SizeInGiB: 20}}
	}), "InvalidParameterException: Ephemeral storage size must be between 21 and 200 GiB."},
	{"fargate storage of an old platform", onFargate(func(in *sdk.RunTaskInput) {
		in.PlatformVersion, in.Overrides = aws.String("1.3.0"), &types.TaskOverride{EphemeralStorage: &types.EphemeralStorage{SizeInGiB: 30}}
	}), "InvalidParameterException: Ephemeral storage requires platform version 1.4.0 or later."},
	{"subnets", awsvpc(func(c *types.AwsVpcConfiguration) { c.Subnets = nil }), "InvalidParameterException: subnets can not be empty."},
	{"many subnets", awsvpc(func(c *types.AwsVpcConfiguration) { c.Subnets = many(17) }), "InvalidParameterException: subnets can have at most 16 items."},
	{"subnet", awsvpc(func(c *types.AwsVpcConfiguration) { c.Subnets = []string{"subnet-12345678", "x"} }),
		`InvalidParameterException: Error retrieving subnet information for [subnet-12345678, x]: Invalid id: "x" (expecting "subnet-...") (ErrorCode: InvalidSubnetID.Malformed)`},
	{"many security groups", awsvpc(func(c *types.AwsVpcConfiguration) { c.SecurityGroups = many(6) }), "InvalidParameterException: securityGroups can have at most 5 items."},
	{"security group", awsvpc(func(c *types.AwsVpcConfiguration) { c.SecurityGroups = []string{"sg-1"} }),
		`InvalidParameterException: Error retrieving security group information for [sg-1]: Invalid id: "sg-1" (expecting "sg-...") (ErrorCode: InvalidGroupId.Malformed)`},
	{"public IP", awsvpc(func(c *types.AwsVpcConfiguration) { c.AssignPublicIp = "X" }), `InvalidParameterException: Invalid assignPublicIp: "X".`},
	{"public IP on EC2", awsvpc(func(c *types.AwsVpcConfiguration) { c.AssignPublicIp = "ENABLED" }), "InvalidParameterException: Assign public IP is not supported for this launch type."},
	{"start without network", func(f *fixture) error {
		return only(f.StartTask(f.ctx, &sdk.StartTaskInput{TaskDefinition: aws.String("vpc"), ContainerInstances: many(1)}))
	}, "InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified."},
	{"volume without configuration", ofFamily("ebs", func(*sdk.RunTaskInput) {}), "InvalidParameterException: The volume 'data' is configured at launch and has no volume configuration."},
	{"volumes", ofFamily("ebs", func(in *sdk.RunTaskInput) { in.VolumeConfigurations = make([]types.TaskVolumeConfiguration, 2) }),
		"InvalidParameterException: volumeConfigurations can have at most 1 item."},
	{"volume without name", volume("ebs", types.TaskVolumeConfiguration{ManagedEBSVolume: someEBS}), "InvalidParameterException: The name of a volume configuration cannot be null or empty."},
	{"volume of nothing", volume("ebs", types.TaskVolumeConfiguration{Name: aws.String("data")}), "InvalidParameterException: The volume configuration 'data' needs a managedEBSVolume."},
	{"volume without role", volume("ebs", types.TaskVolumeConfiguration{Name: aws.String("data"), ManagedEBSVolume: &types.TaskManagedEBSVolumeConfiguration{}}),
		"InvalidParameterException: The volume configuration 'data' needs a roleArn."},
	{"volume without size", volume("ebs", types.TaskVolumeConfiguration{Name: aws.String("data"), ManagedEBSVolume: &types.TaskManagedEBSVolumeConfiguration{RoleArn: aws.String("r")}}),
		"InvalidParameterException: The volume configuration 'data' needs a sizeInGiB or a snapshotId."},
	{"volume that is none", volume("sleep", types.TaskVolumeConfiguration{Name: aws.String("x"), ManagedEBSVolume: someEBS}), "InvalidParameterException: The volume 'x' is not a volume in the TaskDefinition."},
	{"volume of another kind", volume("ebs", types.TaskVolumeConfiguration{Name: aws.String("plain"), ManagedEBSVolume: someEBS}),
		"InvalidParameterException: The volume 'data' is configured at launch and has no volume configuration."},
	{"volume", volume("ebs", types.TaskVolumeConfiguration{Name: aws.String("data"), ManagedEBSVolume: someEBS}), "UnsupportedFeatureException: volumeConfigurations.managedEBSVolume is not supported yet."},
	{"tag", runTask(func(in *sdk.RunTaskInput) { in.Tags = []types.Tag{{Key: aws.String("aws:x")}} }), "InvalidParameterException: Tag keys starting with 'aws:' are reserved for AWS use."},
	{"reference", runTask(func(in *sdk.RunTaskInput) { in.ReferenceId = aws.String(strings.Repeat("x", 1025)) }), "InvalidParameterException: referenceId must be at most 1024 characters long."},
	{"long group", runTask(func(in *sdk.RunTaskInput) { in.Group = aws.String(strings.Repeat("x", 256)) }), "InvalidParameterException: group must be at most 255 characters long."},
	{"propagation", runTask(func(in *sdk.RunTaskInput) { in.PropagateTags = "X" }), `InvalidParameterException: Invalid propagateTags: "X".`},
}

func taskOverride(o types.TaskOverride) func(*fixture) error {
	return runTask(func(in *sdk.RunTaskInput) { in.Overrides = &o })
}

// badOverride is what a field of a container's override is refused with.
func badOverride(field string) string {
	return "InvalidParameterException: Invalid '" + field + "' setting for the override of container 'main'."
}

func mainOverride(o types.ContainerOverride) func(*fixture) error {
	o.Name = aws.String("main")
	return runTask(override(o))
}

var refusedOverrides = []refused{
	{"task memory", taskOverride(types.TaskOverride{Memory: aws.String("-1")}), "InvalidParameterException: Invalid 'memory' setting for task override: -1."},
	{"role", taskOverride(types.TaskOverride{TaskRoleArn: aws.String("arn:aws:s3:::x")}), "ClientException: Role is not valid"},
	//lint:ignore SA1019 what AWS has retired its clients can still send
	{"accelerator", taskOverride(types.TaskOverride{InferenceAcceleratorOverrides: []types.InferenceAcceleratorOverride{{DeviceName: aws.String("d"), DeviceType: aws.String("t")}}}),
		"InvalidParameterException: Inference accelerator override for device named d is not a device in the TaskDefinition."},
	//lint:ignore SA1019 what AWS has retired its clients can still send
	{"accelerator without type", taskOverride(types.TaskOverride{InferenceAcceleratorOverrides: []types.InferenceAcceleratorOverride{{DeviceName: aws.String("d")}}}),
		"InvalidParameterException: Inference accelerator overrides need a deviceName and a deviceType."},
	{"container twice", taskOverride(types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("main")}, {Name: aws.String("main")}}}),
		"InvalidParameterException: Override for container named main is given more than once."},
	{"cpu", mainOverride(types.ContainerOverride{Cpu: aws.Int32(-1)}), badOverride("cpu")},
	{"reservation", mainOverride(types.ContainerOverride{MemoryReservation: aws.Int32(3)}), badOverride("memoryReservation")},
	{"reservation above memory", mainOverride(types.ContainerOverride{Memory: aws.Int32(8), MemoryReservation: aws.Int32(16)}), badOverride("memoryReservation")},
	{"environment", mainOverride(types.ContainerOverride{Environment: []types.KeyValuePair{{Value: aws.String("x")}}}), badOverride("environment")},
	{"environment file's type", mainOverride(types.ContainerOverride{EnvironmentFiles: []types.EnvironmentFile{{Type: "x", Value: aws.String("arn:aws:s3:::b/f.env")}}}), badOverride("environmentFiles")},
	{"environment file", mainOverride(types.ContainerOverride{EnvironmentFiles: []types.EnvironmentFile{{Type: "s3", Value: aws.String("f.env")}}}), badOverride("environmentFiles")},
	{"gpus", mainOverride(types.ContainerOverride{ResourceRequirements: []types.ResourceRequirement{{Type: "GPU", Value: aws.String("x")}}}), badOverride("resourceRequirements")},
	{"requirement", mainOverride(types.ContainerOverride{ResourceRequirements: []types.ResourceRequirement{{Type: "X", Value: aws.String("1")}}}), badOverride("resourceRequirements")},
}
