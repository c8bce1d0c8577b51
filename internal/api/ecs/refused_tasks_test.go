package ecsapi_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

var refusedRuns = []refused{
	{"count", runTask(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(11) }), "InvalidParameterException: Invalid count: it must be between 1 and 10."},
	{"no count", runTask(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(0) }), "InvalidParameterException: Invalid count: it must be between 1 and 10."},
	{"cluster", runTask(func(in *sdk.RunTaskInput) { in.Cluster = aws.String("none") }), "ClusterNotFoundException: Cluster not found."},
	{"definition", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition = aws.String("none") }), "ClientException: TaskDefinition not found."},
	{"inactive definition", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition = aws.String("old:1") }), "ClientException: TaskDefinition is inactive"},
	{"fargate", runTask(func(in *sdk.RunTaskInput) { in.LaunchType = "FARGATE" }), "InvalidParameterException: Task definition does not support launch_type FARGATE."},
	{"managed instances", runTask(func(in *sdk.RunTaskInput) { in.LaunchType = "MANAGED_INSTANCES" }), "UnsupportedFeatureException: launchType MANAGED_INSTANCES is not supported yet."},
	{"launch type", runTask(func(in *sdk.RunTaskInput) { in.LaunchType = "X" }), `InvalidParameterException: Invalid launchType: "X".`},
	{"constraint", runTask(func(in *sdk.RunTaskInput) { in.PlacementConstraints = []types.PlacementConstraint{{Type: "x"}} }),
		"InvalidParameterException: constraint.type 'x' is not supported."},
	{"constraint's expression", runTask(func(in *sdk.RunTaskInput) { in.PlacementConstraints = []types.PlacementConstraint{{Type: "memberOf"}} }),
		"InvalidParameterException: memberOf expression must be specified."},
	{"constraints", runTask(func(in *sdk.RunTaskInput) { in.PlacementConstraints = make([]types.PlacementConstraint, 11) }),
		"InvalidParameterException: placementConstraints cannot contain more than 10 entries."},
	{"strategy", runTask(func(in *sdk.RunTaskInput) { in.PlacementStrategy = []types.PlacementStrategy{{Type: "spread"}} }),
		"InvalidParameterException: Invalid field for placement strategy spread: ''."},
	{"strategies", runTask(func(in *sdk.RunTaskInput) { in.PlacementStrategy = make([]types.PlacementStrategy, 6) }),
		"InvalidParameterException: placementStrategy cannot contain more than 5 entries."},
	{"exec without role", runTask(func(in *sdk.RunTaskInput) { in.EnableExecuteCommand = true }),
		"InvalidParameterException: The task couldn't be run because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again."},
	{"platform", runTask(func(in *sdk.RunTaskInput) { in.PlatformVersion = aws.String("1.4.0") }), "InvalidParameterException: The platform version must be null when specifying an EC2 launch type."},
	{"network", runTask(func(in *sdk.RunTaskInput) {
		in.NetworkConfiguration = &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-12345678"}}}
	}), "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition."},
	{"awsvpc without network", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition = aws.String("vpc") }), "InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified."},
	{"external", runTask(func(in *sdk.RunTaskInput) { in.TaskDefinition, in.LaunchType = aws.String("vpc"), "EXTERNAL" }), "InvalidParameterException: Task definition does not support launch_type EXTERNAL."},
	{"group", runTask(func(in *sdk.RunTaskInput) { in.Group = aws.String("service:x") }), "InvalidParameterException: Invalid namespace for group."},
	{"started by", runTask(func(in *sdk.RunTaskInput) { in.StartedBy = aws.String(strings.Repeat("x", 129)) }), "InvalidParameterException: startedBy must be at most 128 characters long."},
	{"started by, text", runTask(func(in *sdk.RunTaskInput) { in.StartedBy = aws.String("a b") }), "InvalidParameterException: startedBy contains invalid characters."},
	{"token", runTask(func(in *sdk.RunTaskInput) { in.ClientToken = aws.String(strings.Repeat("x", 65)) }), "InvalidParameterException: clientToken must be at most 64 characters long."},
	{"token, text", runTask(func(in *sdk.RunTaskInput) { in.ClientToken = aws.String("a b") }), "InvalidParameterException: clientToken contains invalid characters."},
	{"propagate from service", runTask(func(in *sdk.RunTaskInput) { in.PropagateTags = "SERVICE" }), "InvalidParameterException: propagateTags SERVICE is only for the tasks of services."},
	{"override", runTask(override(types.ContainerOverride{Name: aws.String("x")})), "InvalidParameterException: Override for container named x is not a container in the TaskDefinition."},
	{"override memory", runTask(override(types.ContainerOverride{Name: aws.String("main"), Memory: aws.Int32(0)})), "InvalidParameterException: Invalid 'memory' setting for the override of container 'main'."},
	{"override size", runTask(override(types.ContainerOverride{Name: aws.String("main"), Command: []string{strings.Repeat("x", 9000)}})), "InvalidParameterException: Container Overrides length must be at most 8192"},
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

const someAttachment = "arn:aws:ecs:us-east-1:000000000000:attachment/01234567-89ab-cdef-0123-456789abcdef"

func submitAttachment(arn, status string) func(*fixture) error {
	return func(f *fixture) error {
		return only(f.SubmitAttachmentStateChanges(f.ctx, &sdk.SubmitAttachmentStateChangesInput{
			Attachments: []types.AttachmentStateChange{{AttachmentArn: &arn, Status: &status}}}))
	}
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
	{"list launch type", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{LaunchType: "X"}))
	}, `InvalidParameterException: Invalid launchType: "X".`},
	{"list token", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{NextToken: aws.String("x")}))
	}, "InvalidParameterException: Invalid token."},
	{"list page", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{MaxResults: aws.Int32(101)}))
	}, "InvalidParameterException: maxResults must be between 1 and 100."},
	{"list startedBy and more", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{StartedBy: aws.String("x"), Family: aws.String("sleep")}))
	}, "InvalidParameterException: startedBy must be the only filter."},
	{"list daemon", func(f *fixture) error {
		return only(f.ListTasks(f.ctx, &sdk.ListTasksInput{DaemonName: aws.String("x")}))
	}, "DaemonNotFoundException: Daemon not found."},
	{"run in a daemon's group", func(f *fixture) error {
		return only(f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: aws.String("sleep"), Group: aws.String("daemon:x")}))
	}, "InvalidParameterException: Invalid namespace for group."},
	{"submit unknown", func(f *fixture) error {
		return only(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: aws.String(someTask), Status: aws.String("RUNNING")}))
	}, "InvalidParameterException: The referenced task was not found."},
	{"submit status", func(f *fixture) error {
		return only(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: aws.String(someTask), Status: aws.String("X")}))
	}, `InvalidParameterException: Invalid status: "X".`},
	{"submit container unknown", func(f *fixture) error {
		return only(f.SubmitContainerStateChange(f.ctx, &sdk.SubmitContainerStateChangeInput{Task: aws.String(someTask)}))
	}, "InvalidParameterException: The referenced task was not found."},
	{"submit no attachment", func(f *fixture) error {
		return only(f.SubmitAttachmentStateChanges(f.ctx, &sdk.SubmitAttachmentStateChangesInput{}))
	}, "InvalidParameterException: Attachments cannot be empty."},
	{"submit attachment", submitAttachment("x", "ATTACHED"), "InvalidParameterException: Invalid identifier: x"},
	{"submit attachment's status", submitAttachment(someAttachment, "X"), `InvalidParameterException: Invalid status: "X".`},
	{"submit attachment of no task", submitAttachment(someAttachment, "ATTACHED"), "InvalidParameterException: The referenced attachment was not found."},
	{"submit attachment of nothing", submitAttachment("arn:aws:ecs:us-east-1:000000000000:attachment/x", "ATTACHED"), "InvalidParameterException: The referenced attachment was not found."},
	{"submit managed agent", func(f *fixture) error {
		return only(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: aws.String(someTask), ManagedAgents: []types.ManagedAgentStateChange{{ManagedAgentName: "X"}}}))
	}, `InvalidParameterException: Invalid managedAgentName: "X".`},
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
	}, "ResourceNotFoundException: The specified resource was not found."},
}
