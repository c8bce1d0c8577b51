package ecsapi_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

func (f *fixture) setState(status types.ContainerInstanceStatus, instances ...string) *sdk.UpdateContainerInstancesStateOutput {
	f.t.Helper()
	return must(f.UpdateContainerInstancesState(f.ctx, &sdk.UpdateContainerInstancesStateInput{ContainerInstances: instances, Status: status}))
}

func (f *fixture) describeInstance(arn string, include ...types.ContainerInstanceField) types.ContainerInstance {
	f.t.Helper()
	return must(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{ContainerInstances: []string{arn}, Include: include})).ContainerInstances[0]
}

func TestDraining(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	a, gone := f.instance(1000, 1000), f.instance(10, 10)
	must(f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: &gone}))
	f.register()
	task := *f.run().Tasks[0].TaskArn
	missing := place.InstanceARN("default", ecs.InstanceID{9})
	out := f.setState("DRAINING", a, gone, missing)
	if len(out.ContainerInstances) != 1 || *out.ContainerInstances[0].Status != "DRAINING" || out.ContainerInstances[0].Version != 2 || len(out.Failures) != 2 ||
		*out.Failures[0].Reason != "INACTIVE" || *out.Failures[0].Arn != gone || *out.Failures[1].Reason != "MISSING" {
		t.Errorf("drained: %+v", out)
	}
	if again := f.setState("DRAINING", a); again.ContainerInstances[0].Version != 2 {
		t.Error("draining twice changes the instance")
	}
	if got := f.describe(task); *got.DesiredStatus != "RUNNING" {
		t.Error("a task that belongs to no service was stopped")
	}
	if _, err := f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: aws.String("sleep")}); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("with no instance but a draining one: %v", err)
	}
	if n := f.describeCluster("default").RegisteredContainerInstancesCount; n != 1 {
		t.Errorf("%d instances", n)
	}
	if l := must(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Status: "DRAINING"})); !slices.Equal(l.ContainerInstanceArns, []string{a}) {
		t.Errorf("draining: %v", l.ContainerInstanceArns)
	}
	// A restart of the agent does not end draining.
	if i := must(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{ContainerInstanceArn: &a, TotalResources: resources(1000, 1000)})).ContainerInstance; *i.Status != "DRAINING" {
		t.Errorf("registered again: %s", *i.Status)
	}
	f.setState("ACTIVE", a)
	if got := f.run(); len(got.Tasks) != 1 {
		t.Errorf("after draining: %+v", got.Failures)
	}
}

func TestInstanceFilter(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	a, b := f.instance(1000, 1000), f.instance(1000, 1000)
	must(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: []types.Attribute{on(a, "stack", "prod")}}))
	f.register()
	must(f.StartTask(f.ctx, &sdk.StartTaskInput{TaskDefinition: aws.String("sleep"), ContainerInstances: []string{b}, Group: aws.String("db")}))
	for filter, want := range map[string][]string{
		"attribute:stack == prod":                           {a},
		"attribute:stack not_exists":                        {b},
		"task:group == db":                                  {b},
		"runningTasksCount == 0 and agentConnected == true": {a, b},
		"pendingTasksCount > 0":                             {b},
		"attribute:stack == prod and task:group == db":      nil,
	} {
		got := must(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Filter: &filter})).ContainerInstanceArns
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", filter, got, want)
		}
	}
	first := must(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Filter: aws.String("runningTasksCount < 9"), MaxResults: aws.Int32(1)}))
	if _, err := f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{Filter: aws.String("runningTasksCount < 8"), NextToken: first.NextToken}); err == nil {
		t.Error("a token goes with another filter")
	}
}

func TestInstanceOfProvider(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.provider("group")
	in := &sdk.RegisterContainerInstanceInput{TotalResources: resources(10, 10), Attributes: attributes("roadstead.capacity-provider", "group")}
	f.refuses(t, []refused{{"not associated", func(f *fixture) error { return only(f.RegisterContainerInstance(f.ctx, in)) },
		"ClientException: The capacity provider group, which the attribute roadstead.capacity-provider names, is none of the cluster's that instances can belong to."}})
	put := &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{"group", "FARGATE"}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}
	must(f.PutClusterCapacityProviders(f.ctx, put))
	i := must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance
	if aws.ToString(i.CapacityProviderName) != "group" {
		t.Errorf("registered: %+v", i)
	}
	put.CapacityProviders = []string{}
	must(f.PutClusterCapacityProviders(f.ctx, put))
	in.ContainerInstanceArn = i.ContainerInstanceArn
	if i = must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance; aws.ToString(i.CapacityProviderName) != "group" {
		t.Errorf("registered again without the provider: %+v", i)
	}
	// One that belongs to none joins one later, if the cluster has it.
	plain := f.instance(10, 10)
	in.ContainerInstanceArn = &plain
	if i = must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance; i.CapacityProviderName != nil {
		t.Errorf("joined what the cluster has not: %+v", i)
	}
	f.provider("other")
	put.CapacityProviders = []string{"group", "other"}
	must(f.PutClusterCapacityProviders(f.ctx, put))
	if i = must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance; aws.ToString(i.CapacityProviderName) != "group" {
		t.Errorf("joined later: %+v", i)
	}
	in.Attributes = attributes("roadstead.capacity-provider", "other")
	i = must(f.RegisterContainerInstance(f.ctx, in)).ContainerInstance
	at := slices.IndexFunc(i.Attributes, func(a types.Attribute) bool { return *a.Name == "roadstead.capacity-provider" })
	if aws.ToString(i.CapacityProviderName) != "group" || *i.Attributes[at].Value != "group" {
		t.Errorf("left its provider: %+v", i)
	}
	in = &sdk.RegisterContainerInstanceInput{TotalResources: resources(10, 10), Attributes: attributes("roadstead.capacity-provider", "FARGATE")}
	if _, err := f.RegisterContainerInstance(f.ctx, in); err == nil {
		t.Error("an instance of FARGATE")
	}
}

func TestInstanceHealth(t *testing.T) {
	var checks ecs.InstanceHealth
	f := newFixture(t, func(c *ecsapi.Config) { c.Health = func(ecs.InstanceID) ecs.InstanceHealth { return checks } })
	f.cluster()
	a := f.instance(10, 10)
	if h := f.describeInstance(a); h.HealthStatus != nil {
		t.Error("health that was not asked for")
	}
	const which = "CONTAINER_INSTANCE_HEALTH"
	if h := f.describeInstance(a, which).HealthStatus; h.OverallStatus != "INSUFFICIENT_DATA" || h.Details == nil || len(h.Details) != 0 {
		t.Errorf("nothing known: %+v", h)
	}
	connected := ecs.InstanceCheck{Type: ecs.CheckAgentConnectivity, Status: ecs.CheckOK}
	for status := range map[ecs.InstanceCheckStatus]bool{ecs.CheckOK: true, ecs.CheckImpaired: true, ecs.CheckInsufficientData: true, ecs.CheckInitializing: true} {
		checks = ecs.InstanceHealth{{Type: ecs.CheckContainerRuntime, Status: status, Reason: "why", Changed: 1000, Updated: 2500}, connected}
		h := f.describeInstance(a, which).HealthStatus
		if string(h.OverallStatus) != string(status) || len(h.Details) != 2 {
			t.Fatalf("%s: %+v", status, h)
		}
		if d := h.Details[0]; d.Type != "CONTAINER_RUNTIME" || string(d.Status) != string(status) || *d.StatusReason != "why" || d.LastStatusChange.Unix() != 1 || d.LastUpdated.UnixMilli() != 2500 {
			t.Errorf("%s: %+v", status, d)
		}
	}
	// The worst is the whole, in the order that the developer guide gives.
	checks = ecs.InstanceHealth{connected, {Type: ecs.CheckDaemon, Status: ecs.CheckInitializing}, {Type: ecs.CheckContainerRuntime, Status: ecs.CheckInsufficientData}}
	if h := f.describeInstance(a, which).HealthStatus; h.OverallStatus != "INSUFFICIENT_DATA" || h.Details[0].LastUpdated != nil {
		t.Errorf("%+v", h)
	}
	must(f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: &a}))
	if h := f.describeInstance(a, which).HealthStatus; h.OverallStatus != "INSUFFICIENT_DATA" || len(h.Details) != 0 {
		t.Errorf("INACTIVE: %+v", h)
	}
}

func setState(change func(*sdk.UpdateContainerInstancesStateInput)) func(*fixture) error {
	return func(f *fixture) error {
		in := &sdk.UpdateContainerInstancesStateInput{ContainerInstances: []string{someTask}, Status: "DRAINING"}
		change(in)
		return only(f.UpdateContainerInstancesState(f.ctx, in))
	}
}

func updateAgent(ref *string) func(*fixture) error {
	return func(f *fixture) error {
		return only(f.UpdateContainerAgent(f.ctx, &sdk.UpdateContainerAgentInput{ContainerInstance: ref}))
	}
}

func TestRefusedInstanceStates(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	unknown := f.instance(10, 10)
	known := *must(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(10, 10), VersionInfo: &types.VersionInfo{AgentVersion: aws.String("1.0")}})).ContainerInstance.ContainerInstanceArn
	f.refuses(t, []refused{
		{"none", setState(func(in *sdk.UpdateContainerInstancesStateInput) { in.ContainerInstances = nil }), "InvalidParameterException: Container instances cannot be empty."},
		{"many", setState(func(in *sdk.UpdateContainerInstancesStateInput) { in.ContainerInstances = many(11) }), "InvalidParameterException: instanceIds can have at most 10 items."},
		{"no status", setState(func(in *sdk.UpdateContainerInstancesStateInput) { in.Status = "" }), "InvalidParameterException: Container instances status should be one of [ACTIVE,DRAINING]"},
		{"status", setState(func(in *sdk.UpdateContainerInstancesStateInput) { in.Status = "DEREGISTERING" }), "InvalidParameterException: Container instances status should be one of [ACTIVE,DRAINING]"},
		{"cluster", setState(func(in *sdk.UpdateContainerInstancesStateInput) { in.Cluster = aws.String("none") }), "ClusterNotFoundException: Cluster not found."},
		{"no id, after one that is", setState(func(in *sdk.UpdateContainerInstancesStateInput) { in.ContainerInstances = []string{known, "x"} }), "InvalidParameterException: containerInstanceId length should be one of [32,36]"},
		{"agent of nobody", updateAgent(nil), "InvalidParameterException: Container instance can not be null or empty."},
		{"agent of what is not there", updateAgent(aws.String(someTask)), "InvalidParameterException: The referenced container instance was not found."},
		{"agent's version", updateAgent(&unknown), "MissingVersionException: Amazon ECS is unable to determine the current version of the Amazon ECS container agent on the container instance."},
		{"agent", updateAgent(&known), "NoUpdateAvailableException: There is no update available for your container agent."},
	})
}
