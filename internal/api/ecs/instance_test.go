package ecsapi_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// manyAtOnce is an installation that allows large counts.
func manyAtOnce(c *ecsapi.Config) { c.MaxRunCount = 1000 }

func attributes(pairs ...string) []types.Attribute {
	var out []types.Attribute
	for i := 0; i < len(pairs); i += 2 {
		a := types.Attribute{Name: &pairs[i]}
		if pairs[i+1] != "" {
			a.Value = &pairs[i+1]
		}
		out = append(out, a)
	}
	return out
}

func value(list []types.Attribute, name string) (string, bool) {
	for _, a := range list {
		if *a.Name == name {
			return aws.ToString(a.Value), true
		}
	}
	return "", false
}

func TestRegisterInstanceAgain(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	first := must(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{
		TotalResources: resources(1000, 2000), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("x")}},
		Attributes:               attributes("rack", "r1", "ecs.capability.old", "", "roadstead.capability.native", "", "ecs.os-type", "linux"),
		VersionInfo:              &types.VersionInfo{AgentVersion: aws.String("1.0"), AgentHash: aws.String("abc")},
		InstanceIdentityDocument: aws.String(`{"instanceId":"i-1","instanceType":"m5.large","availabilityZone":"us-east-1a","architecture":"x86_64"}`),
	})).ContainerInstance
	if v, _ := value(first.Attributes, "rack"); v != "r1" {
		t.Error("a custom attribute is not echoed")
	}
	if v, _ := value(first.Attributes, "ecs.availability-zone"); v != "us-east-1a" || *first.Ec2InstanceId != "i-1" || *first.Status != "ACTIVE" || first.Version != 1 ||
		len(first.Tags) != 1 || *first.VersionInfo.AgentVersion != "1.0" || !first.AgentConnected {
		t.Errorf("registered: %+v", first)
	}
	f.now = f.now.Add(time.Hour)
	again := must(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{
		ContainerInstanceArn: first.ContainerInstanceArn, TotalResources: resources(3000, 2000), Attributes: attributes("ecs.os-type", "linux"),
	})).ContainerInstance
	if *again.ContainerInstanceArn != *first.ContainerInstanceArn || again.Version != 2 || !again.RegisteredAt.Equal(*first.RegisteredAt) {
		t.Errorf("registered again: %+v", again)
	}
	if v, _ := value(again.Attributes, "rack"); v != "r1" {
		t.Error("a custom attribute is lost")
	}
	if _, ok := value(again.Attributes, "ecs.capability.old"); ok {
		t.Error("a capability that was withdrawn is still there")
	}
	if again.RegisteredResources[0].IntegerValue != 3000 {
		t.Error("the machine's new size is not seen")
	}
	_, err := f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{
		ContainerInstanceArn: first.ContainerInstanceArn, TotalResources: resources(1, 1), InstanceIdentityDocument: aws.String(`{"instanceType":"m5.xlarge"}`)})
	if !fault.Is(err, fault.Client) {
		t.Errorf("another instance type: %v", err)
	}
}

func TestRegisterInstanceByToken(t *testing.T) {
	token := "t1"
	f := newFixture(t, func(c *ecsapi.Config) { c.ClientToken = func(context.Context) string { return token } })
	f.cluster()
	first, again := f.instance(10, 10), f.instance(10, 10)
	token = "t2"
	if other := f.instance(10, 10); first != again || other == first {
		t.Errorf("%s, %s and %s", first, again, other)
	}
}

func TestDeregisterInstance(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	arn := f.instance(1000, 1000)
	f.register()
	task := *f.run().Tasks[0].TaskArn
	in := &sdk.DeregisterContainerInstanceInput{ContainerInstance: &arn}
	if _, err := f.DeregisterContainerInstance(f.ctx, in); err == nil || err.Error() != "InvalidParameterException: Found running tasks on the instance." {
		t.Errorf("with a task: %v", err)
	}
	in.Force = aws.Bool(true)
	if out := must(f.DeregisterContainerInstance(f.ctx, in)).ContainerInstance; *out.Status != "INACTIVE" || out.AgentConnected {
		t.Errorf("deregistered: %+v", out)
	}
	if got := f.describe(task); *got.LastStatus != "STOPPED" {
		t.Errorf("its task: %s", *got.LastStatus)
	}
	if list := must(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{})); len(list.ContainerInstanceArns) != 0 {
		t.Errorf("still listed: %v", list.ContainerInstanceArns)
	}
	if _, err := f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{ContainerInstanceArn: &arn, TotalResources: resources(1, 1)}); !fault.Is(err, fault.Client) {
		t.Errorf("registered again: %v", err)
	}
	if out := must(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")})); *out.Cluster.Status != "INACTIVE" {
		t.Errorf("cluster: %+v", out.Cluster)
	}
	if out := must(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{})); *out.Clusters[0].Status != "INACTIVE" {
		t.Errorf("described: %+v", out.Clusters[0])
	}
}

func TestStartTask(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	a, b := f.instance(1000, 1000), f.instance(10, 1000)
	f.register()
	none := place.InstanceARN("default", ecs.InstanceID{9})
	out := must(f.StartTask(f.ctx, &sdk.StartTaskInput{TaskDefinition: aws.String("sleep"), ContainerInstances: []string{a, b, none}}))
	if len(out.Tasks) != 1 || *out.Tasks[0].ContainerInstanceArn != a || len(out.Failures) != 2 ||
		*out.Failures[0].Reason != "RESOURCE:CPU" || *out.Failures[0].Arn != b || *out.Failures[1].Reason != "MISSING" || *out.Failures[1].Arn != none {
		t.Errorf("started: %+v", out)
	}
}

func TestAgentThatIsAway(t *testing.T) {
	f := newFixture(t, func(c *ecsapi.Config) { c.Connected = func(ecs.InstanceID) bool { return false } })
	f.cluster()
	arn := f.instance(1000, 1000)
	f.register()
	out := f.run()
	if len(out.Tasks) != 0 || *out.Failures[0].Reason != "AGENT" || *out.Failures[0].Arn != arn {
		t.Errorf("run: %+v", out)
	}
}

func TestListTasks(t *testing.T) {
	f := newFixture(t, manyAtOnce)
	f.cluster()
	a := f.instance(100000, 100000)
	f.register()
	f.register(func(in *sdk.RegisterTaskDefinitionInput) { in.Family = aws.String("other") })
	all := f.run(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(25) })
	mine := f.run(func(in *sdk.RunTaskInput) {
		in.StartedBy, in.TaskDefinition, in.Group = aws.String("me"), aws.String("other"), aws.String("g")
	})
	b := f.instance(200000, 200000)
	there := f.run()
	must(f.StopTask(f.ctx, &sdk.StopTaskInput{Task: all.Tasks[0].TaskArn}))
	for _, c := range []struct {
		name string
		in   sdk.ListTasksInput
		want int
	}{
		{"all", sdk.ListTasksInput{}, 26},
		{"stopped", sdk.ListTasksInput{DesiredStatus: "STOPPED"}, 1},
		{"pending", sdk.ListTasksInput{DesiredStatus: "PENDING"}, 0},
		{"family", sdk.ListTasksInput{Family: aws.String("other")}, 1},
		{"started by", sdk.ListTasksInput{StartedBy: aws.String("me")}, 1},
		{"started by and status", sdk.ListTasksInput{StartedBy: aws.String("me"), DesiredStatus: "STOPPED"}, 0},
		{"family and launch type", sdk.ListTasksInput{LaunchType: "EC2", Family: aws.String("other")}, 1},
		{"instance", sdk.ListTasksInput{ContainerInstance: &b}, 1},
		{"instance and status", sdk.ListTasksInput{ContainerInstance: &a, DesiredStatus: "STOPPED"}, 1},
		{"launch type", sdk.ListTasksInput{LaunchType: "EXTERNAL"}, 0},
	} {
		if out := must(f.ListTasks(f.ctx, &c.in)); len(out.TaskArns) != c.want || out.NextToken != nil {
			t.Errorf("%s: %d tasks, want %d", c.name, len(out.TaskArns), c.want)
		}
	}
	seen := map[string]bool{}
	in, pages := &sdk.ListTasksInput{MaxResults: aws.Int32(10)}, 0
	for {
		out := must(f.ListTasks(f.ctx, in))
		for _, arn := range out.TaskArns {
			if seen[arn] {
				t.Errorf("%s is on two pages", arn)
			}
			seen[arn] = true
		}
		if pages++; out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	if len(seen) != 26 || pages != 3 || !seen[*mine.Tasks[0].TaskArn] || !seen[*there.Tasks[0].TaskArn] {
		t.Errorf("%d tasks on %d pages", len(seen), pages)
	}
	in.Family = aws.String("other")
	if _, err := f.ListTasks(f.ctx, in); in.NextToken != nil && !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("another query's token: %v", err)
	}
}

func TestListDefinitions(t *testing.T) {
	f := newFixture(t)
	for _, family := range []string{"b", "a", "ab", "b", "b"} {
		f.register(func(in *sdk.RegisterTaskDefinitionInput) { in.Family = &family })
	}
	must(f.DeregisterTaskDefinition(f.ctx, &sdk.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("b:2")}))
	must(f.DeregisterTaskDefinition(f.ctx, &sdk.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("ab:1")}))
	list := func(in *sdk.ListTaskDefinitionsInput) (names []string) {
		in.MaxResults = aws.Int32(1)
		for {
			out := must(f.ListTaskDefinitions(f.ctx, in))
			for _, arn := range out.TaskDefinitionArns {
				names = append(names, must(ecs.ParseARN(arn)).Resource)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return names
			}
		}
	}
	for _, c := range []struct {
		in   sdk.ListTaskDefinitionsInput
		want []string
	}{
		{sdk.ListTaskDefinitionsInput{}, []string{"a:1", "b:1", "b:3"}},
		{sdk.ListTaskDefinitionsInput{Sort: "DESC"}, []string{"b:3", "b:1", "a:1"}},
		{sdk.ListTaskDefinitionsInput{FamilyPrefix: aws.String("b")}, []string{"b:1", "b:3"}},
		{sdk.ListTaskDefinitionsInput{Status: "INACTIVE"}, []string{"ab:1", "b:2"}},
	} {
		if got := list(&c.in); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.in, got, c.want)
		}
	}
	families := func(in *sdk.ListTaskDefinitionFamiliesInput) []string {
		return must(f.ListTaskDefinitionFamilies(f.ctx, in)).Families
	}
	if got := families(&sdk.ListTaskDefinitionFamiliesInput{}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("families: %v", got)
	}
	if got := families(&sdk.ListTaskDefinitionFamiliesInput{Status: "INACTIVE", FamilyPrefix: aws.String("a")}); !slices.Equal(got, []string{"ab"}) {
		t.Errorf("inactive families: %v", got)
	}
	if got := must(f.RegisterTaskDefinition(f.ctx, sleeper(func(in *sdk.RegisterTaskDefinitionInput) { in.Family = aws.String("ab") }))); got.TaskDefinition.Revision != 2 {
		t.Errorf("a number is given again: %d", got.TaskDefinition.Revision)
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	instance := f.instance(1000, 1000)
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	definition := f.register(func(in *sdk.RegisterTaskDefinitionInput) { in.Tags = []types.Tag{tag("d", "1"), tag("x", "1")} })
	task := *f.run(func(in *sdk.RunTaskInput) {
		in.Tags, in.PropagateTags, in.EnableECSManagedTags = []types.Tag{tag("x", "2")}, "TASK_DEFINITION", true
	}).Tasks[0].TaskArn
	got := map[string]string{}
	for _, x := range f.describe(task).Tags {
		got[*x.Key] = *x.Value
	}
	if len(got) != 3 || got["d"] != "1" || got["x"] != "2" || got["aws:ecs:clusterName"] != "default" {
		t.Errorf("task's tags: %v", got)
	}
	for _, arn := range []string{place.ClusterARN("default"), instance, definition, task} {
		must(f.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("new", ""), tag("x", "3")}}))
		must(f.UntagResource(f.ctx, &sdk.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"d", "absent"}}))
		has := map[string]string{}
		for _, x := range must(f.ListTagsForResource(f.ctx, &sdk.ListTagsForResourceInput{ResourceArn: &arn})).Tags {
			has[*x.Key] = *x.Value
		}
		if v, ok := has["new"]; !ok || v != "" || has["x"] != "3" || has["d"] != "" {
			t.Errorf("%s: %v", arn, has)
		}
	}
	if out := must(f.DescribeTasks(f.ctx, &sdk.DescribeTasksInput{Tasks: []string{task}})); len(out.Tasks[0].Tags) != 0 {
		t.Error("tags that were not asked for")
	}
}

func TestForcedDeregistrationOfManyTasks(t *testing.T) {
	f := newFixture(t, manyAtOnce)
	f.cluster()
	arn := f.instance(100000, 100000)
	f.register()
	f.run(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(250) })
	must(f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: &arn, Force: aws.Bool(true)}))
	for task := range f.store.View().Tasks.All() {
		if task.LastStatus != ecs.TaskStopped {
			t.Fatalf("task %s is %s", task.ID, task.LastStatus)
		}
	}
}
