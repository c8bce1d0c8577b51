package ecsapi_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// update changes the state as no operation does.
func (f *fixture) update(fn func(tx *state.Tx)) {
	f.t.Helper()
	err := f.store.Update(context.Background(), func(tx *state.Tx) error { fn(tx); return nil })
	if err != nil {
		f.t.Fatal(err)
	}
}

// associate gives the default cluster capacity providers and a default strategy.
func (f *fixture) associate(names []string, strategy ...ecs.CapacityProviderStrategyItem) {
	f.t.Helper()
	f.update(func(tx *state.Tx) {
		c := *tx.Clusters.Get("default")
		c.CapacityProviders, c.DefaultCapacityProviderStrategy = names, strategy
		tx.Clusters.Put(&c)
	})
}

func fargateInstance(f *fixture) string {
	in := &sdk.RegisterContainerInstanceInput{TotalResources: resources(8192, 8192)}
	for _, a := range []string{"roadstead.capability.fargate", "roadstead.capability.native", "ecs.capability.task-eni", "ecs.capability.task-cpu-mem-limit", "com.amazonaws.ecs.capability.docker-remote-api.1.18"} {
		in.Attributes = append(in.Attributes, types.Attribute{Name: &a})
	}
	in.Attributes = append(in.Attributes, types.Attribute{Name: aws.String("ecs.availability-zone"), Value: aws.String("us-east-1b")},
		types.Attribute{Name: aws.String("ecs.cpu-architecture"), Value: aws.String("x86_64")})
	return *must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance.ContainerInstanceArn
}

func zoned(c *ecsapi.Config) {
	c.Subnets = lifecycle.Subnets{Zones: []string{"us-east-1a", "us-east-1b"}}
}

// TestFargateTask: what it shows and hides, and how its network interface is shown over its life.
func TestFargateTask(t *testing.T) {
	f := newFixture(t, zoned)
	f.cluster()
	f.instance(4096, 4096)
	fargateInstance(f)
	f.register(fargate)
	out := f.run(func(in *sdk.RunTaskInput) {
		in.TaskDefinition, in.LaunchType, in.PlatformVersion = aws.String("fargate"), "FARGATE", aws.String("LATEST")
		inSubnets(in, "subnet-11111111", "subnet-22222222222222222")
		in.NetworkConfiguration.AwsvpcConfiguration.SecurityGroups = []string{"sg-11111111"}
		in.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp = "ENABLED"
	})
	if len(out.Tasks) != 1 {
		t.Fatalf("failures: %v", reasons(out.Failures))
	}
	task := out.Tasks[0]
	if task.ContainerInstanceArn != nil || *task.PlatformVersion != "1.4.0" || *task.PlatformFamily != "Linux" || *task.AvailabilityZone != "us-east-1b" ||
		task.LaunchType != "FARGATE" || task.EphemeralStorage.SizeInGiB != 20 || *task.LastStatus != "PROVISIONING" || *task.Cpu != "256" || *task.Memory != "512" {
		t.Errorf("task: %s", asJSON(t, task))
	}
	details := func(a types.Attachment) (out []string) {
		for _, d := range a.Details {
			out = append(out, *d.Name+"="+*d.Value)
		}
		return out
	}
	if a := task.Attachments[0]; *a.Type != "ElasticNetworkInterface" || *a.Status != "PRECREATED" || !slices.Equal(details(a), []string{"subnetId=subnet-22222222222222222"}) {
		t.Errorf("attachment at the start: %s", asJSON(t, a))
	}
	if n := task.Containers[0].NetworkInterfaces; n == nil || len(n) != 0 {
		t.Errorf("interfaces at the start: %v", n)
	}
	arn := *task.TaskArn
	f.submit(arn, "RUNNING")
	task = f.describe(arn)
	a, n := task.Attachments[0], task.Containers[0].NetworkInterfaces
	want := []string{"subnetId=subnet-22222222222222222", "networkInterfaceId=", "macAddress=0a:58:64:40:10:04", "privateDnsName=ip-100-64-16-4.ec2.internal", "privateIPv4Address=100.64.16.4"}
	got := details(a)
	if got[1] = got[1][:strings.Index(got[1], "=")+1]; *a.Status != "ATTACHED" || !slices.Equal(got, want) {
		t.Errorf("attachment: %v %v", *a.Status, got)
	}
	if len(n) != 1 || *n[0].AttachmentId != *a.Id || *n[0].PrivateIpv4Address != "100.64.16.4" || *task.LastStatus != "RUNNING" {
		t.Errorf("interfaces: %s", asJSON(t, n))
	}
	f.submit(arn, "STOPPED")
	if task = f.describe(arn); *task.Attachments[0].Status != "DELETED" || *task.LastStatus != "STOPPED" {
		t.Errorf("at the end: %v %v", *task.Attachments[0].Status, *task.LastStatus)
	}
}

func reasons(failures []types.Failure) (out []string) {
	for _, f := range failures {
		out = append(out, *f.Reason)
	}
	return out
}

// TestNoFargate: callers are not told of instances.
func TestNoFargate(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(4096, 4096)
	f.register(fargate)
	before := f.store.View().Subnets.Len()
	out := f.run(func(in *sdk.RunTaskInput) {
		in.TaskDefinition, in.LaunchType, in.Count = aws.String("fargate"), "FARGATE", aws.Int32(2)
		inSubnet(in)
	})
	const want = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
	if len(out.Tasks) != 0 || !slices.Equal(reasons(out.Failures), []string{want, want}) || out.Failures[0].Arn != nil {
		t.Errorf("failures: %s", asJSON(t, out.Failures))
	}
	if f.store.View().Subnets.Len() != before {
		t.Error("a subnet was adopted for no task")
	}
}

// TestStrategy: tasks are shared by base and weight, of the request's strategy or the cluster's.
func TestStrategy(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	fargateInstance(f)
	f.register(fargate)
	f.associate([]string{"FARGATE", "FARGATE_SPOT"}, ecs.CapacityProviderStrategyItem{CapacityProvider: "FARGATE_SPOT", Weight: 1})
	count := func(change func(*sdk.RunTaskInput)) map[string]int {
		got := map[string]int{}
		out := f.run(func(in *sdk.RunTaskInput) {
			in.TaskDefinition = aws.String("fargate")
			inSubnet(in)
			change(in)
		})
		for _, task := range out.Tasks {
			if task.CapacityProviderName == nil {
				got[string(task.LaunchType)]++
				continue
			}
			got[*task.CapacityProviderName]++
		}
		return got
	}
	given := func(in *sdk.RunTaskInput) {
		in.Count = aws.Int32(6)
		in.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{
			provider("arn:aws:ecs:us-east-1:000000000000:capacity-provider/FARGATE", 1, 1), provider("FARGATE_SPOT", 0, 4)}
	}
	if d := cmp.Diff(map[string]int{"FARGATE": 2, "FARGATE_SPOT": 4}, count(given)); d != "" {
		t.Errorf("given: %s", d)
	}
	if d := cmp.Diff(map[string]int{"FARGATE_SPOT": 2}, count(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(2) })); d != "" {
		t.Errorf("the cluster's: %s", d)
	}
	if d := cmp.Diff(map[string]int{"FARGATE": 1}, count(func(in *sdk.RunTaskInput) { in.LaunchType = "FARGATE" })); d != "" {
		t.Errorf("a launch type: %s", d)
	}
	f.update(func(tx *state.Tx) {
		tx.CapacityProviders.Put(&ecs.CapacityProvider{Name: "asg", Status: ecs.ProviderActive})
	})
	f.associate([]string{"FARGATE", "asg"})
	_, err := f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: aws.String("fargate"),
		CapacityProviderStrategy: []types.CapacityProviderStrategyItem{provider("FARGATE", 0, 1), provider("asg", 0, 1)}})
	if err == nil || !strings.Contains(err.Error(), "cannot contain a mix") {
		t.Errorf("a mix: %v", err)
	}
}

// TestFullSubnet: the tasks that have an address run, and the others' failures say why.
func TestFullSubnet(t *testing.T) {
	f := newFixture(t, manyAtOnce)
	f.cluster()
	fargateInstance(f)
	f.register(fargate)
	f.update(func(tx *state.Tx) { tx.Subnets.Put(&ecs.Subnet{ID: "subnet-12345678", CIDR: "10.0.0.0/29"}) })
	out := f.run(func(in *sdk.RunTaskInput) {
		in.TaskDefinition, in.LaunchType, in.Count = aws.String("fargate"), "FARGATE", aws.Int32(4)
		inSubnet(in)
	})
	if len(out.Tasks) != 3 || len(out.Failures) != 1 || !strings.HasSuffix(*out.Failures[0].Reason, "in subnet 'subnet-12345678': InsufficientFreeAddressesInSubnet") {
		t.Errorf("%d tasks, failures %v", len(out.Tasks), reasons(out.Failures))
	}
}

// TestAwsvpcNeedsAnAgentThatCan: the agent of today cannot, and is passed over by its attributes.
func TestAwsvpcNeedsAnAgentThatCan(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(4096, 4096)
	f.register(fargate)
	out := f.run(func(in *sdk.RunTaskInput) {
		in.TaskDefinition = aws.String("fargate")
		inSubnet(in)
	})
	if !slices.Equal(reasons(out.Failures), []string{"ATTRIBUTE"}) {
		t.Errorf("failures %v", reasons(out.Failures))
	}
}

func TestExecNeedsAnAgentThatCan(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	attributes := []string{"com.amazonaws.ecs.capability.task-iam-role", "com.amazonaws.ecs.capability.docker-remote-api.1.17"}
	f.instance(4096, 4096, attributes...)
	f.register(func(in *sdk.RegisterTaskDefinitionInput) {
		in.TaskRoleArn = aws.String("arn:aws:iam::000000000000:role/r")
	})
	exec := func(in *sdk.RunTaskInput) { in.EnableExecuteCommand = true }
	if out := f.run(exec); !slices.Equal(reasons(out.Failures), []string{"ATTRIBUTE"}) {
		t.Errorf("failures %v", reasons(out.Failures))
	}
	f.instance(4096, 4096, append(attributes, "ecs.capability.execute-command")...)
	out := f.run(exec)
	if len(out.Tasks) != 1 || !out.Tasks[0].EnableExecuteCommand || *out.Tasks[0].Containers[0].ManagedAgents[0].LastStatus != "PENDING" {
		t.Errorf("tasks %s", asJSON(t, out.Tasks))
	}
	if plain := f.run(); plain.Tasks[0].Containers[0].ManagedAgents != nil {
		t.Error("a task without ECS Exec has managed agents")
	}
}

// TestFargateOverTheWire: the SDK reads what a task with an interface shows.
func TestFargateOverTheWire(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	fargateInstance(f)
	f.register(fargate)
	c := newClient(t, f)
	in := &sdk.RunTaskInput{TaskDefinition: aws.String("fargate"), LaunchType: "FARGATE", Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("")}}}
	inSubnet(in)
	made := must(c.RunTask(f.ctx, in)).Tasks[0]
	f.submit(*made.TaskArn, "RUNNING")
	task := must(c.DescribeTasks(f.ctx, &sdk.DescribeTasksInput{Tasks: []string{*made.TaskArn}})).Tasks[0]
	if task.PlatformVersion == nil || task.ContainerInstanceArn != nil || len(task.Attachments) != 1 || len(task.Attachments[0].Details) != 5 ||
		task.Containers[0].NetworkInterfaces[0].PrivateIpv4Address == nil || *task.Containers[0].TaskArn != *task.TaskArn || task.Connectivity != "CONNECTED" {
		t.Errorf("task: %s", asJSON(t, task))
	}
	if len(task.Tags) != 0 || len(made.Tags) != 1 {
		t.Errorf("tags without being asked for: %v", task.Tags)
	}
	p := must(c.GetTaskProtection(f.ctx, &sdk.GetTaskProtectionInput{Cluster: aws.String("default"), Tasks: []string{*made.TaskArn}}))
	if len(p.Failures) != 1 || *p.Failures[0].Reason != "TASK_NOT_VALID" || p.ProtectedTasks == nil {
		t.Errorf("protection: %s", asJSON(t, p))
	}
}

// TestSubmitAttachments: what agents say of interfaces and managed agents is shown.
func TestSubmitAttachments(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	fargateInstance(f)
	f.register(fargate)
	task := f.run(func(in *sdk.RunTaskInput) {
		in.TaskDefinition, in.LaunchType = aws.String("fargate"), "FARGATE"
		inSubnet(in)
	}).Tasks[0]
	arn := place.AttachmentARN(*task.Attachments[0].Id)
	status := func() string { return *f.describe(*task.TaskArn).Attachments[0].Status }
	if err := submitAttachment(arn, "ATTACHING")(f); err != nil || status() != "ATTACHING" {
		t.Errorf("alone: %v, %v", err, status())
	}
	change := []types.AttachmentStateChange{{AttachmentArn: &arn, Status: aws.String("ATTACHED")}}
	must(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: task.TaskArn, Attachments: change}))
	if status() != "ATTACHED" {
		t.Errorf("with the task: %v", status())
	}
	if err := submitAttachment(arn, "CREATED")(f); err != nil || status() != "ATTACHED" {
		t.Errorf("backwards: %v, %v", err, status())
	}
	other := f.run(func(in *sdk.RunTaskInput) {
		in.TaskDefinition, in.LaunchType = aws.String("fargate"), "FARGATE"
		inSubnet(in)
	}).Tasks[0]
	if _, err := f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: other.TaskArn, Attachments: change}); err == nil {
		t.Error("a report on another task's attachment was taken")
	}
}

func TestSubmitManagedAgents(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(4096, 4096, "com.amazonaws.ecs.capability.task-iam-role", "com.amazonaws.ecs.capability.docker-remote-api.1.17", "ecs.capability.execute-command")
	f.register(func(in *sdk.RegisterTaskDefinitionInput) {
		in.TaskRoleArn = aws.String("arn:aws:iam::000000000000:role/r")
	})
	arn := f.run(func(in *sdk.RunTaskInput) { in.EnableExecuteCommand = true }).Tasks[0].TaskArn
	began := f.now
	for range 2 {
		must(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: arn, ManagedAgents: []types.ManagedAgentStateChange{
			{ContainerName: aws.String("main"), ManagedAgentName: "ExecuteCommandAgent", Status: aws.String("RUNNING")}}}))
		f.now = f.now.Add(time.Minute)
	}
	if a := f.describe(*arn).Containers[0].ManagedAgents; len(a) != 1 || *a[0].LastStatus != "RUNNING" || !a[0].LastStartedAt.Equal(began) {
		t.Errorf("managed agents: %s", asJSON(t, a))
	}
}

// TestPlacementOfRequests: constraints of the request and of the definition, and strategies, are asked of placement.
func TestPlacementOfRequests(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(4096, 4096)
	f.instance(4096, 4096, "good")
	f.register(func(in *sdk.RegisterTaskDefinitionInput) {
		in.PlacementConstraints = []types.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: aws.String("attribute:good exists")}}
	})
	distinct := f.run(func(in *sdk.RunTaskInput) {
		in.Count, in.PlacementConstraints = aws.Int32(2), []types.PlacementConstraint{{Type: "distinctInstance"}}
		in.PlacementStrategy = []types.PlacementStrategy{{Type: "spread", Field: aws.String("host")}}
	})
	if len(distinct.Tasks) != 1 || len(distinct.Failures) != 2 {
		t.Errorf("%d tasks, failures %v", len(distinct.Tasks), reasons(distinct.Failures))
	}
	if all := f.run(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(5) }); len(all.Tasks) != 5 {
		t.Errorf("%d tasks, failures %v", len(all.Tasks), reasons(all.Failures))
	}
}

func TestManagedTags(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(4096, 4096)
	f.register(func(in *sdk.RegisterTaskDefinitionInput) {
		in.Tags = []types.Tag{{Key: aws.String("of"), Value: aws.String("definition")}, {Key: aws.String("both"), Value: aws.String("definition")}}
	})
	out := f.run(func(in *sdk.RunTaskInput) {
		in.PropagateTags, in.EnableECSManagedTags, in.Tags = "TASK_DEFINITION", true, []types.Tag{{Key: aws.String("both"), Value: aws.String("task")}}
	})
	var got []string
	for _, tag := range out.Tasks[0].Tags {
		got = append(got, *tag.Key+"="+*tag.Value)
	}
	if want := []string{"of=definition", "both=task", "aws:ecs:clusterName=default"}; !slices.Equal(got, want) {
		t.Errorf("tags %v, want %v", got, want)
	}
}

func TestConnectivity(t *testing.T) {
	connected := true
	f := newFixture(t, func(c *ecsapi.Config) { c.Connected = func(ecs.InstanceID) bool { return connected } })
	f.cluster()
	f.instance(4096, 4096)
	f.register()
	arn := *f.run().Tasks[0].TaskArn
	if c := f.describe(arn).Connectivity; c != "" {
		t.Errorf("before the agent has said anything: %v", c)
	}
	f.submit(arn, "RUNNING")
	for _, want := range []types.Connectivity{"CONNECTED", "DISCONNECTED"} {
		if got := f.describe(arn).Connectivity; got != want {
			t.Errorf("%v, want %v", got, want)
		}
		connected = false
	}
}
