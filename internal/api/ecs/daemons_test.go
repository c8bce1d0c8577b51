package ecsapi_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// daemonFixture has two instances of the capacity provider "machines" and a definition for their daemons.
func daemonFixture(t *testing.T, change ...func(*ecsapi.Config)) *fixture {
	t.Helper()
	f := newFixture(t, change...)
	f.cluster()
	for _, name := range []string{"machines", "others", "elsewhere"} {
		f.provider(name)
	}
	must(f.PutClusterCapacityProviders(f.ctx, &sdk.PutClusterCapacityProvidersInput{
		Cluster: aws.String("default"), CapacityProviders: []string{"machines", "others"}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}))
	f.registerDaemon()
	f.update(func(tx *state.Tx) {
		for n := range byte(2) {
			tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{1, n}, Cluster: "default", Status: ecs.InstanceActive, CapacityProvider: "machines", Registered: ecs.Resources{CPU: 1000, MemoryMiB: 1000}})
		}
	})
	return f
}

func daemonInput(name string, change ...func(*sdk.CreateDaemonInput)) *sdk.CreateDaemonInput {
	in := &sdk.CreateDaemonInput{DaemonName: &name, DaemonTaskDefinitionArn: aws.String("collector:1"), CapacityProviderArns: []string{place.CapacityProviderARN("machines")}}
	for _, c := range change {
		c(in)
	}
	return in
}

// runDaemon makes a task of a daemon's current revision that runs on an instance, as its controller and an agent do.
func (f *fixture) runDaemon(name string, instance ecs.InstanceID) {
	f.t.Helper()
	f.update(func(tx *state.Tx) {
		d := tx.Daemons.Get("default/" + name)
		r := lifecycle.CurrentRevision(&tx.Tables, d)
		task := *lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: tx.Definitions.Get(r.Definition), Group: ecs.DaemonGroup(name), StartedBy: r.StartedBy(),
			Instance: instance, CapacityProvider: "machines"})
		task.LastStatus = ecs.TaskRunning
		tx.Tasks.Put(&task)
	})
}

// TestDaemonOverTheWire makes, updates and deletes a daemon with the SDK.
func TestDaemonOverTheWire(t *testing.T) {
	f := daemonFixture(t)
	c := newClient(t, f)
	made := must(c.CreateDaemon(f.ctx, daemonInput("agent", func(in *sdk.CreateDaemonInput) {
		in.Critical, in.PropagateTags, in.Tags = aws.Bool(false), "DAEMON", []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
		in.DeploymentConfiguration = &types.DaemonDeploymentConfiguration{DrainPercent: aws.Float64(12.5), BakeTimeInMinutes: 3}
	})))
	if *made.DaemonArn != "arn:aws:ecs:us-east-1:000000000000:daemon/default/agent" || made.Status != "ACTIVE" || !made.CreatedAt.Equal(f.now) {
		t.Errorf("%+v", made)
	}
	f.runDaemon("agent", ecs.InstanceID{1, 1})
	d := must(c.DescribeDaemon(f.ctx, &sdk.DescribeDaemonInput{DaemonArn: made.DaemonArn})).Daemon
	if len(d.CurrentRevisions) != 1 || *d.DeploymentArn != *made.DeploymentArn || !strings.HasSuffix(*d.ClusterArn, "cluster/default") {
		t.Fatalf("%+v", d)
	}
	if r := d.CurrentRevisions[0]; r.TotalRunningCount != 1 || r.TotalWithoutDaemonCount != 1 || len(r.CapacityProviders) != 1 || r.CapacityProviders[0].RunningCount != 1 ||
		*r.CapacityProviders[0].Arn != place.CapacityProviderARN("machines") {
		t.Errorf("%+v", r)
	}
	const gone = "arn:aws:ecs:us-east-1:000000000000:daemon-revision/default/agent/1"
	revisions := must(c.DescribeDaemonRevisions(f.ctx, &sdk.DescribeDaemonRevisionsInput{DaemonRevisionArns: []string{*d.CurrentRevisions[0].Arn, gone}}))
	if len(revisions.Failures) != 1 || *revisions.Failures[0].Reason != "MISSING" || len(revisions.DaemonRevisions) != 1 {
		t.Fatalf("%+v", revisions)
	}
	if r := revisions.DaemonRevisions[0]; *r.Critical || r.PropagateTags != "DAEMON" || !strings.HasSuffix(*r.DaemonTaskDefinitionArn, "daemon-task-definition/collector:1") ||
		*r.ContainerImages[0].Image != "busybox" || *r.DaemonArn != *made.DaemonArn {
		t.Errorf("%+v", r)
	}
	deployments := must(c.DescribeDaemonDeployments(f.ctx, &sdk.DescribeDaemonDeploymentsInput{DaemonDeploymentArns: []string{*made.DeploymentArn, *made.DeploymentArn + "x"}}))
	if len(deployments.Failures) != 1 || len(deployments.DaemonDeployments) != 1 {
		t.Fatalf("%+v", deployments)
	}
	if x := deployments.DaemonDeployments[0]; x.Status != "PENDING" || *x.DeploymentConfiguration.DrainPercent != 12.5 || x.DeploymentConfiguration.BakeTimeInMinutes != 3 ||
		*x.TargetDaemonRevision.TotalRunningInstanceCount != 1 || *x.TargetDaemonRevision.TotalWithoutDaemonInstanceCount != 1 || len(x.SourceDaemonRevisions) != 0 ||
		x.CircuitBreaker.Status != "MONITORING" || x.CircuitBreaker.Threshold != 3 || x.Alarms.Status != "DISABLED" {
		t.Errorf("%+v", x)
	}
	f.now = f.now.Add(time.Minute)
	updated := must(c.UpdateDaemon(f.ctx, &sdk.UpdateDaemonInput{DaemonArn: made.DaemonArn, DaemonTaskDefinitionArn: aws.String("collector"), CapacityProviderArns: []string{"machines", "others"}}))
	if *updated.DeploymentArn == *made.DeploymentArn || !updated.UpdatedAt.Equal(f.now) || !updated.CreatedAt.Equal(*made.CreatedAt) {
		t.Errorf("%+v", updated)
	}
	deployments = must(c.DescribeDaemonDeployments(f.ctx, &sdk.DescribeDaemonDeploymentsInput{DaemonDeploymentArns: []string{*made.DeploymentArn, *updated.DeploymentArn}}))
	old, now := deployments.DaemonDeployments[0], deployments.DaemonDeployments[1]
	if old.Status != "STOPPED" || old.StoppedAt == nil || len(now.SourceDaemonRevisions) != 1 || *now.SourceDaemonRevisions[0].TotalRunningInstanceCount != 1 ||
		*now.DeploymentConfiguration.DrainPercent != 25 || len(now.TargetDaemonRevision.CapacityProviders) != 2 || *now.TargetDaemonRevision.TotalRunningInstanceCount != 0 {
		t.Errorf("%+v, %+v", old, now)
	}
	// What an update does not say is the default, so it is critical again.
	d = must(c.DescribeDaemon(f.ctx, &sdk.DescribeDaemonInput{DaemonArn: made.DaemonArn})).Daemon
	if r := must(c.DescribeDaemonRevisions(f.ctx, &sdk.DescribeDaemonRevisionsInput{DaemonRevisionArns: []string{*d.CurrentRevisions[0].Arn}})).DaemonRevisions[0]; !*r.Critical || r.PropagateTags != "NONE" {
		t.Errorf("%+v", r)
	}
	tasks := must(c.ListTasks(f.ctx, &sdk.ListTasksInput{DaemonName: aws.String("agent")}))
	if len(tasks.TaskArns) != 1 {
		t.Errorf("tasks: %v", tasks.TaskArns)
	}
	must(c.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: made.DaemonArn, Tags: []types.Tag{{Key: aws.String("k2"), Value: aws.String("v")}}}))
	if got := must(c.ListTagsForResource(f.ctx, &sdk.ListTagsForResourceInput{ResourceArn: made.DaemonArn})).Tags; len(got) != 2 {
		t.Errorf("tags: %+v", got)
	}
	deleted := must(c.DeleteDaemon(f.ctx, &sdk.DeleteDaemonInput{DaemonArn: made.DaemonArn}))
	if deleted.Status != "DELETE_IN_PROGRESS" || *deleted.DeploymentArn == *updated.DeploymentArn {
		t.Errorf("%+v", deleted)
	}
	_, err := c.UpdateDaemon(f.ctx, &sdk.UpdateDaemonInput{DaemonArn: made.DaemonArn, DaemonTaskDefinitionArn: aws.String("collector"), CapacityProviderArns: []string{"machines"}})
	expect[*types.DaemonNotActiveException](t, err)
	_, err = c.DeleteDaemon(f.ctx, &sdk.DeleteDaemonInput{DaemonArn: made.DaemonArn})
	expect[*types.InvalidParameterException](t, err)
	_, err = c.DescribeDaemon(f.ctx, &sdk.DescribeDaemonInput{DaemonArn: aws.String(*made.DaemonArn + "x")})
	expect[*types.DaemonNotFoundException](t, err)
}

func TestDaemonsAreListed(t *testing.T) {
	f := daemonFixture(t)
	for _, name := range []string{"b", "a", "c"} {
		must(f.CreateDaemon(f.ctx, daemonInput(name, func(in *sdk.CreateDaemonInput) {
			if name == "c" {
				in.CapacityProviderArns = []string{"others"}
			}
		})))
	}
	list := func(providers ...string) (out []string) {
		in := &sdk.ListDaemonsInput{MaxResults: aws.Int32(2), CapacityProviderArns: providers}
		for {
			page := must(f.ListDaemons(f.ctx, in))
			for _, d := range page.DaemonSummariesList {
				out = append(out, must(ecs.ParseARN(*d.DaemonArn)).Resource)
			}
			if in.NextToken = page.NextToken; in.NextToken == nil {
				return out
			}
		}
	}
	if got := list(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("all: %v", got)
	}
	if got := list(place.CapacityProviderARN("others")); !slices.Equal(got, []string{"c"}) {
		t.Errorf("of others: %v", got)
	}
	// The deployments of one, the newest first.
	arn := place.DaemonARN("default", "a")
	for range 3 {
		f.now = f.now.Add(time.Minute)
		must(f.UpdateDaemon(f.ctx, &sdk.UpdateDaemonInput{DaemonArn: &arn, DaemonTaskDefinitionArn: aws.String("collector"), CapacityProviderArns: []string{"machines"}}))
	}
	deployments := func(in sdk.ListDaemonDeploymentsInput) (out []time.Duration) {
		in.DaemonArn, in.MaxResults = &arn, aws.Int32(2)
		for {
			page := must(f.ListDaemonDeployments(f.ctx, &in))
			for _, d := range page.DaemonDeployments {
				out = append(out, f.now.Sub(*d.CreatedAt))
			}
			if in.NextToken = page.NextToken; in.NextToken == nil {
				return out
			}
		}
	}
	if got := deployments(sdk.ListDaemonDeploymentsInput{}); !slices.Equal(got, []time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute}) {
		t.Errorf("all: %v", got)
	}
	if got := deployments(sdk.ListDaemonDeploymentsInput{Status: []types.DaemonDeploymentStatus{"PENDING"}}); !slices.Equal(got, []time.Duration{0}) {
		t.Errorf("pending: %v", got)
	}
	if got := deployments(sdk.ListDaemonDeploymentsInput{CreatedAt: &types.CreatedAt{Before: aws.Time(f.now.Add(-90 * time.Second))}}); len(got) != 2 {
		t.Errorf("before: %v", got)
	}
}

// TestDaemonToken answers a repetition with what the first call made.
func TestDaemonToken(t *testing.T) {
	f := daemonFixture(t)
	token := func(in *sdk.CreateDaemonInput) { in.ClientToken = aws.String("t") }
	first := must(f.CreateDaemon(f.ctx, daemonInput("a", token)))
	f.now = f.now.Add(time.Minute)
	if again := must(f.CreateDaemon(f.ctx, daemonInput("a", token))); *again.DeploymentArn != *first.DeploymentArn || !again.CreatedAt.Equal(*first.CreatedAt) {
		t.Errorf("%+v, %+v", first, again)
	}
	if f.store.View().DaemonDeployments.Len() != 1 {
		t.Error("the repetition made a deployment")
	}
}

// TestDaemonAlarms takes alarms where there are some.
func TestDaemonAlarms(t *testing.T) {
	f := daemonFixture(t, func(c *ecsapi.Config) {
		c.Alarm = func(name string) (ecs.AlarmState, bool) { return ecs.AlarmOK, name == "there" }
	})
	alarms := func(name string) func(in *sdk.CreateDaemonInput) {
		return func(in *sdk.CreateDaemonInput) {
			in.DeploymentConfiguration = &types.DaemonDeploymentConfiguration{Alarms: &types.DaemonAlarmConfiguration{Enable: true, AlarmNames: []string{name}}}
		}
	}
	made := must(f.CreateDaemon(f.ctx, daemonInput("a", alarms("there"))))
	d := must(f.DescribeDaemonDeployments(f.ctx, &sdk.DescribeDaemonDeploymentsInput{DaemonDeploymentArns: []string{*made.DeploymentArn}})).DaemonDeployments[0]
	if d.Alarms.Status != "MONITORING" || !slices.Equal(d.Alarms.AlarmNames, []string{"there"}) || !d.DeploymentConfiguration.Alarms.Enable {
		t.Errorf("%+v", d.Alarms)
	}
	if _, err := f.CreateDaemon(f.ctx, daemonInput("b", alarms("not"))); err == nil || err.Error() != "InvalidParameterException: The following alarms do not exist: not." {
		t.Errorf("got %v", err)
	}
}

func TestDaemonRefused(t *testing.T) {
	f := daemonFixture(t)
	f.register()
	f.registerDaemon(func(in *sdk.RegisterDaemonTaskDefinitionInput) { in.Family = aws.String("old") })
	must(f.DeleteDaemonTaskDefinition(f.ctx, &sdk.DeleteDaemonTaskDefinitionInput{DaemonTaskDefinition: aws.String("old:1")}))
	must(f.CreateDaemon(f.ctx, daemonInput("there")))
	f.service("s")
	create := func(change func(*sdk.CreateDaemonInput)) error {
		return only(f.CreateDaemon(f.ctx, daemonInput("new", change)))
	}
	configured := func(c types.DaemonDeploymentConfiguration) error {
		return create(func(in *sdk.CreateDaemonInput) { in.DeploymentConfiguration = &c })
	}
	arn := place.DaemonARN("default", "there")
	before := f.store.View().Revision
	for want, err := range map[string]error{
		"InvalidParameterException: DaemonName cannot be empty.":                                             create(func(in *sdk.CreateDaemonInput) { in.DaemonName = nil }),
		"InvalidParameterException: DaemonName contains invalid characters or is longer than 255.":           create(func(in *sdk.CreateDaemonInput) { in.DaemonName = aws.String("a/b") }),
		"InvalidParameterException: Creation of daemon was not idempotent.":                                  create(func(in *sdk.CreateDaemonInput) { in.DaemonName = aws.String("there") }),
		"InvalidParameterException: clientToken must be at most 36 characters long, in the range of 33-126.": create(func(in *sdk.CreateDaemonInput) { in.ClientToken = aws.String("a b") }),
		"ClusterNotFoundException: Cluster not found.":                                                       create(func(in *sdk.CreateDaemonInput) { in.ClusterArn = aws.String("none") }),
		"ClientException: Daemon task definition should not be null or empty.":                               create(func(in *sdk.CreateDaemonInput) { in.DaemonTaskDefinitionArn = nil }),
		"InvalidParameterException: Invalid identifier: " + place.DefinitionARN(ecs.DefinitionID{Family: "sleep", Revision: 1}) + " is not the ARN of a daemon-task-definition": create(func(in *sdk.CreateDaemonInput) {
			in.DaemonTaskDefinitionArn = aws.String(place.DefinitionARN(ecs.DefinitionID{Family: "sleep", Revision: 1}))
		}),
		"ClientException: The specified daemon task definition does not exist. Specify a valid account, family, revision and try again.": create(func(in *sdk.CreateDaemonInput) {
			in.DaemonTaskDefinitionArn = aws.String("sleep:1")
		}),
		"ClientException: The specified daemon task definition is in DELETE_IN_PROGRESS status. Specify one in ACTIVE status and try again.": create(func(in *sdk.CreateDaemonInput) {
			in.DaemonTaskDefinitionArn = aws.String("old:1")
		}),
		"InvalidParameterException: capacityProviderArns cannot be empty.": create(func(in *sdk.CreateDaemonInput) { in.CapacityProviderArns = nil }),
		"InvalidParameterException: The capacity provider 'FARGATE' is not supported for daemons: it has no container instances.": create(func(in *sdk.CreateDaemonInput) {
			in.CapacityProviderArns = []string{"FARGATE"}
		}),
		"InvalidParameterException: capacityProviderArns contains the capacity provider 'machines' more than once.": create(func(in *sdk.CreateDaemonInput) {
			in.CapacityProviderArns = []string{"machines", place.CapacityProviderARN("machines")}
		}),
		"InvalidParameterException: The specified capacity provider 'none' was not found. Specify a valid name or ARN and try again.": create(func(in *sdk.CreateDaemonInput) {
			in.CapacityProviderArns = []string{"none"}
		}),
		"InvalidParameterException: The capacity provider 'elsewhere' is not associated with the cluster. Associate the capacity provider with the cluster and try again.": create(
			func(in *sdk.CreateDaemonInput) { in.CapacityProviderArns = []string{"elsewhere"} }),
		`InvalidParameterException: Invalid propagateTags: "SERVICE".`:                           create(func(in *sdk.CreateDaemonInput) { in.PropagateTags = "SERVICE" }),
		"InvalidParameterException: drainPercent must be between 0.0 and 100.0.":                 configured(types.DaemonDeploymentConfiguration{DrainPercent: aws.Float64(math.NaN())}),
		"InvalidParameterException: bakeTimeInMinutes must be between 0 and 1440.":               configured(types.DaemonDeploymentConfiguration{BakeTimeInMinutes: 1441}),
		"UnsupportedFeatureException: deploymentConfiguration.alarms is not supported yet.":      configured(types.DaemonDeploymentConfiguration{Alarms: &types.DaemonAlarmConfiguration{Enable: true}}),
		"InvalidParameterException: daemonArn cannot be empty.":                                  only(f.DescribeDaemon(f.ctx, &sdk.DescribeDaemonInput{})),
		"InvalidParameterException: Invalid identifier: there":                                   only(f.DeleteDaemon(f.ctx, &sdk.DeleteDaemonInput{DaemonArn: aws.String("there")})),
		"InvalidParameterException: Daemon revision ARNs cannot be empty.":                       only(f.DescribeDaemonRevisions(f.ctx, &sdk.DescribeDaemonRevisionsInput{})),
		"InvalidParameterException: Daemon deployment ARNs cannot contain more than 20 entries.": only(f.DescribeDaemonDeployments(f.ctx, &sdk.DescribeDaemonDeploymentsInput{DaemonDeploymentArns: many(21)})),
		`InvalidParameterException: Invalid status: "X".`:                                        only(f.ListDaemonDeployments(f.ctx, &sdk.ListDaemonDeploymentsInput{DaemonArn: &arn, Status: []types.DaemonDeploymentStatus{"X"}})),
		"DaemonNotFoundException: Daemon not found.":                                             only(f.UpdateDaemon(f.ctx, &sdk.UpdateDaemonInput{DaemonArn: aws.String(arn + "x"), DaemonTaskDefinitionArn: aws.String("collector"), CapacityProviderArns: []string{"machines"}})),
		"InvalidParameterException: serviceName and daemonName cannot be specified together.":    only(f.ListTasks(f.ctx, &sdk.ListTasksInput{DaemonName: aws.String("there"), ServiceName: aws.String("s")})),
		"ResourceInUseException: The specified capacity provider is in use and cannot be removed.": only(f.PutClusterCapacityProviders(f.ctx, &sdk.PutClusterCapacityProvidersInput{
			Cluster: aws.String("default"), CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}})),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if f.store.View().Revision != before {
		t.Error("something was stored")
	}
}
