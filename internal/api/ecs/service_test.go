package ecsapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// service makes one with the fixture's definition, which must be registered.
func (f *fixture) service(name string, change ...func(*sdk.CreateServiceInput)) *types.Service {
	f.t.Helper()
	in := &sdk.CreateServiceInput{ServiceName: &name, TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(2)}
	for _, c := range change {
		c(in)
	}
	return must(f.CreateService(f.ctx, in)).Service
}

func TestService(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	s := f.service("web", func(in *sdk.CreateServiceInput) {
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
		in.PlacementStrategy = []types.PlacementStrategy{{Type: types.PlacementStrategyTypeSpread, Field: aws.String("attribute:ecs.availability-zone")}}
		in.DeploymentConfiguration = &types.DeploymentConfiguration{MaximumPercent: aws.Int32(150), DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}}
	})
	if *s.ServiceArn != "arn:aws:ecs:us-east-1:000000000000:service/default/web" || *s.Status != "ACTIVE" || s.DesiredCount != 2 || s.RunningCount != 0 ||
		s.LaunchType != types.LaunchTypeEc2 || !strings.HasSuffix(*s.TaskDefinition, "task-definition/sleep:1") || len(s.Events) != 0 || s.Events == nil || s.LoadBalancers == nil {
		t.Errorf("%+v", s)
	}
	c := s.DeploymentConfiguration
	if *c.MinimumHealthyPercent != 100 || *c.MaximumPercent != 150 || !c.DeploymentCircuitBreaker.Rollback {
		t.Errorf("%+v", c)
	}
	d := s.Deployments
	if len(d) != 1 || *d[0].Status != "PRIMARY" || d[0].DesiredCount != 2 || d[0].RolloutState != types.DeploymentRolloutStateInProgress || !strings.HasPrefix(*d[0].Id, "ecs-svc/") ||
		*d[0].RolloutStateReason != "ECS deployment "+*d[0].Id+" in progress." {
		t.Errorf("%+v", d)
	}
	out := must(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{Services: []string{"web", *s.ServiceArn, "none"}, Include: []types.ServiceField{types.ServiceFieldTags}}))
	if len(out.Services) != 2 || len(out.Services[0].Tags) != 1 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" ||
		*out.Failures[0].Arn != "arn:aws:ecs:us-east-1:000000000000:service/default/none" {
		t.Errorf("%+v", out)
	}
	if tags := must(f.ListTagsForResource(f.ctx, &sdk.ListTagsForResourceInput{ResourceArn: s.ServiceArn})); len(tags.Tags) != 1 {
		t.Errorf("%+v", tags)
	}
	if _, err := f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")}); err == nil || !strings.HasPrefix(err.Error(), "ClusterContainsServicesException") {
		t.Errorf("delete the cluster: %v", err)
	}
}

// TestUpdateService makes deployments only where the tasks change.
func TestUpdateService(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	f.register()
	first := f.service("web", func(in *sdk.CreateServiceInput) { in.TaskDefinition = aws.String("sleep:1") }).Deployments[0]
	update := func(change func(*sdk.UpdateServiceInput)) *types.Service {
		t.Helper()
		in := &sdk.UpdateServiceInput{Service: aws.String("web")}
		change(in)
		return must(f.UpdateService(f.ctx, in)).Service
	}
	if s := update(func(in *sdk.UpdateServiceInput) {
		in.DesiredCount = aws.Int32(5)
		in.TaskDefinition = aws.String("sleep:1")
	}); s.DesiredCount != 5 || len(s.Deployments) != 1 || *s.Deployments[0].Id != *first.Id {
		t.Errorf("scaled: %+v", s)
	}
	s := update(func(in *sdk.UpdateServiceInput) { in.TaskDefinition = aws.String("sleep") })
	if len(s.Deployments) != 2 || *s.Deployments[1].Status != "ACTIVE" || *s.Deployments[1].Id != *first.Id || s.Deployments[1].DesiredCount != 0 || !strings.HasSuffix(*s.TaskDefinition, "sleep:2") {
		t.Errorf("another definition: %+v", s)
	}
	if s := update(func(in *sdk.UpdateServiceInput) { in.TaskDefinition = aws.String("sleep:2") }); len(s.Deployments) != 2 {
		t.Errorf("the same definition: %d deployments", len(s.Deployments))
	}
	if s := update(func(in *sdk.UpdateServiceInput) { in.ForceNewDeployment = true }); len(s.Deployments) != 3 {
		t.Errorf("forced: %d deployments", len(s.Deployments))
	}
	strategy := []types.PlacementStrategy{{Type: types.PlacementStrategyTypeRandom}}
	if s := update(func(in *sdk.UpdateServiceInput) { in.PlacementStrategy = strategy }); len(s.Deployments) != 4 || len(s.PlacementStrategy) != 1 {
		t.Errorf("a strategy: %+v", s)
	}
	if s := update(func(in *sdk.UpdateServiceInput) { in.PlacementStrategy = []types.PlacementStrategy{} }); len(s.Deployments) != 5 || len(s.PlacementStrategy) != 0 {
		t.Errorf("no strategy: %+v", s)
	}
}

func TestServiceIdempotency(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	token := func(s string) func(*sdk.CreateServiceInput) {
		return func(in *sdk.CreateServiceInput) { in.ClientToken = &s }
	}
	a, b := f.service("web", token("one")), f.service("web", token("one"))
	if *a.Deployments[0].Id != *b.Deployments[0].Id {
		t.Error("the same token made another deployment")
	}
	_, err := f.CreateService(f.ctx, &sdk.CreateServiceInput{ServiceName: aws.String("web"), TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(1), ClientToken: aws.String("two")})
	if err == nil || err.Error() != "InvalidParameterException: Creation of service was not idempotent." {
		t.Errorf("%v", err)
	}
	if _, err := f.DeleteService(f.ctx, &sdk.DeleteServiceInput{Service: aws.String("web")}); err == nil || err.Error() != "InvalidParameterException: The service cannot be stopped while it is scaled above 0." {
		t.Errorf("%v", err)
	}
	if s := must(f.DeleteService(f.ctx, &sdk.DeleteServiceInput{Service: aws.String("web"), Force: aws.Bool(true)})).Service; *s.Status != "DRAINING" || s.DesiredCount != 0 {
		t.Errorf("%+v", s)
	}
	_, err = f.CreateService(f.ctx, &sdk.CreateServiceInput{ServiceName: aws.String("web"), TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(1)})
	if err == nil || err.Error() != "InvalidParameterException: Unable to Start a service that is still Draining." {
		t.Errorf("%v", err)
	}
	if _, err := f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web")}); err == nil || err.Error() != "ServiceNotActiveException: Service was not ACTIVE." {
		t.Errorf("%v", err)
	}
	// Its controller, which is not here, has let it end.
	if err := f.store.Update(f.ctx, func(tx *state.Tx) error {
		s := *tx.Services.Get("default/web")
		s.Status, s.Deployments, s.LastEvent = ecs.ServiceInactive, nil, 3
		tx.Services.Put(&s)
		tx.ServiceEvents.Put(&ecs.ServiceEvent{Cluster: "default", Service: "web", Number: 3})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if out := must(f.ListServices(f.ctx, &sdk.ListServicesInput{})); len(out.ServiceArns) != 0 {
		t.Errorf("%v", out.ServiceArns)
	}
	if out := must(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{Services: []string{"web"}})); *out.Services[0].Status != "INACTIVE" {
		t.Errorf("%+v", out)
	}
	if s := f.service("web"); len(s.Events) != 0 {
		t.Errorf("events of the one before: %+v", s.Events)
	}
}

func TestListServices(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	for i := range 25 {
		f.service(fmt.Sprintf("s%02d", i))
	}
	var got []string
	var token *string
	for pages := 1; ; pages++ {
		out := must(f.ListServices(f.ctx, &sdk.ListServicesInput{NextToken: token}))
		got = append(got, out.ServiceArns...)
		if token = out.NextToken; token == nil {
			if pages != 3 || len(got) != 25 || !strings.HasSuffix(got[24], "service/default/s24") {
				t.Errorf("%d pages, %v", pages, got)
			}
			break
		}
	}
	if out := must(f.ListServices(f.ctx, &sdk.ListServicesInput{LaunchType: types.LaunchTypeFargate})); len(out.ServiceArns) != 0 {
		t.Errorf("%v", out.ServiceArns)
	}
}

func TestServicesRefused(t *testing.T) {
	create := func(change func(*sdk.CreateServiceInput)) func(*fixture) error {
		return func(f *fixture) error {
			in := &sdk.CreateServiceInput{ServiceName: aws.String("new"), TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(1)}
			change(in)
			return only(f.CreateService(f.ctx, in))
		}
	}
	percent := func(low, high int32) func(*fixture) error {
		return create(func(in *sdk.CreateServiceInput) {
			in.DeploymentConfiguration = &types.DeploymentConfiguration{MinimumHealthyPercent: &low, MaximumPercent: &high}
		})
	}
	update := func(change func(*sdk.UpdateServiceInput)) func(*fixture) error {
		return func(f *fixture) error {
			in := &sdk.UpdateServiceInput{Service: aws.String("web")}
			change(in)
			return only(f.UpdateService(f.ctx, in))
		}
	}
	f := newFixture(t)
	f.cluster()
	f.register()
	f.service("web")
	f.refuses(t, []refused{
		{"no name", create(func(in *sdk.CreateServiceInput) { in.ServiceName = nil }), "InvalidParameterException: ServiceName cannot be empty."},
		{"bad name", create(func(in *sdk.CreateServiceInput) { in.ServiceName = aws.String("a b") }), "InvalidParameterException: ServiceName contains invalid characters or is longer than 255."},
		{"no definition", create(func(in *sdk.CreateServiceInput) { in.TaskDefinition = nil }), "InvalidParameterException: TaskDefinition should not be null or empty."},
		{"unknown definition", create(func(in *sdk.CreateServiceInput) { in.TaskDefinition = aws.String("none") }), "ClientException: TaskDefinition not found."},
		{"no count", create(func(in *sdk.CreateServiceInput) { in.DesiredCount = nil }), "InvalidParameterException: Desired count must be specified when using scheduling strategy REPLICA."},
		{"negative count", create(func(in *sdk.CreateServiceInput) { in.DesiredCount = aws.Int32(-1) }), "InvalidParameterException: Desired count should not be negative."},
		{"no cluster", create(func(in *sdk.CreateServiceInput) { in.Cluster = aws.String("none") }), "ClusterNotFoundException: Cluster not found."},
		{"daemon's count", create(func(in *sdk.CreateServiceInput) { in.SchedulingStrategy = "DAEMON" }),
			"InvalidParameterException: The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again"},
		{"daemon's strategy", create(func(in *sdk.CreateServiceInput) {
			in.SchedulingStrategy, in.DesiredCount, in.PlacementStrategy = "DAEMON", nil, []types.PlacementStrategy{{Type: "random"}}
		}), "InvalidParameterException: The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again"},
		{"daemon's maximum", create(func(in *sdk.CreateServiceInput) {
			in.SchedulingStrategy, in.DesiredCount, in.DeploymentConfiguration = "DAEMON", nil, &types.DeploymentConfiguration{MaximumPercent: aws.Int32(101)}
		}), "InvalidParameterException: The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment configuration. Change the maximumPercent value to 100, and try again"},
		{"scheduling strategy", create(func(in *sdk.CreateServiceInput) { in.SchedulingStrategy = "X" }), `InvalidParameterException: Invalid schedulingStrategy: "X".`},
		{"external with a definition", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentController = &types.DeploymentController{Type: "EXTERNAL"}
		}), "InvalidParameterException: A task definition cannot be specified on services with an EXTERNAL deployment controller. Specify it in a task set."},
		{"external daemon", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentController, in.SchedulingStrategy, in.DesiredCount = &types.DeploymentController{Type: "EXTERNAL"}, "DAEMON", nil
		}), "InvalidParameterException: The daemon scheduling strategy does not support the EXTERNAL deployment controller."},
		{"CodeDeploy", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentController = &types.DeploymentController{Type: "CODE_DEPLOY"}
		}), "UnsupportedFeatureException: deploymentController CODE_DEPLOY is not supported yet."},
		{"load balancer", create(func(in *sdk.CreateServiceInput) { in.LoadBalancers = []types.LoadBalancer{{}} }), "UnsupportedFeatureException: loadBalancers is not supported yet."},
		{"blue/green", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentConfiguration = &types.DeploymentConfiguration{Strategy: "BLUE_GREEN"}
		}), "UnsupportedFeatureException: deploymentConfiguration.strategy BLUE_GREEN is not supported yet."},
		{"maximum", percent(50, 99), "InvalidParameterException: maximumPercent should be greater than or equal to 100."},
		{"no room", percent(100, 100), "InvalidParameterException: maximumPercent must be greater than minimumHealthyPercent."},
		{"minimum", percent(-1, 200), "InvalidParameterException: minimumHealthyPercent should not be negative."},
		{"rollback alone", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentConfiguration = &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Rollback: true}}
		}), "InvalidParameterException: Invalid deployment circuit breaker: rollback cannot be enabled while the circuit breaker is disabled."},
		{"grace period", create(func(in *sdk.CreateServiceInput) { in.HealthCheckGracePeriodSeconds = aws.Int32(1) }), "InvalidParameterException: Health check grace period is only valid for services configured to use load balancers"},
		{"strategy", create(func(in *sdk.CreateServiceInput) { in.PlacementStrategy = []types.PlacementStrategy{{Type: "x"}} }), "InvalidParameterException: Invalid placement strategy type: 'x'."},
		{"no such service", update(func(in *sdk.UpdateServiceInput) { in.Service = aws.String("none") }), "ServiceNotFoundException: Service not found."},
		{"no service", update(func(in *sdk.UpdateServiceInput) { in.Service = nil }), "InvalidParameterException: Service cannot be empty."},
		{"update's definition", update(func(in *sdk.UpdateServiceInput) { in.TaskDefinition = aws.String("sleep:9") }), "ClientException: TaskDefinition not found."},
		{"describe none", func(f *fixture) error { return only(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{})) }, "InvalidParameterException: Services cannot be empty."},
		{"describe many", func(f *fixture) error {
			return only(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{Services: many(11)}))
		}, "InvalidParameterException: Services cannot contain more than 10 entries."},
		{"delete what is not there", func(f *fixture) error {
			return only(f.DeleteService(f.ctx, &sdk.DeleteServiceInput{Service: aws.String("none")}))
		}, "ServiceNotFoundException: Service not found."},
		{"another account", func(f *fixture) error {
			return only(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{Services: []string{"arn:aws:ecs:us-east-1:111111111111:service/default/web"}}))
		}, "InvalidParameterException: Identifier is for 111111111111. Your accountId is 000000000000"},
	})
}

// TestWhatServicesUse has a cluster count its service, a provider not go while it is used, and a strategy in ECS's own words.
func TestWhatServicesUse(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	must(f.CreateCapacityProvider(f.ctx, &sdk.CreateCapacityProviderInput{Name: aws.String("cp"), AutoScalingGroupProvider: &types.AutoScalingGroupProvider{AutoScalingGroupArn: aws.String("asg")}}))
	must(f.PutClusterCapacityProviders(f.ctx, &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{"cp"}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}))
	s := f.service("web", func(in *sdk.CreateServiceInput) {
		in.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("cp"), Weight: 1}}
		in.PlacementStrategy = []types.PlacementStrategy{{Type: "spread", Field: aws.String("host")}}
	})
	if *s.PlacementStrategy[0].Field != "instanceId" {
		t.Errorf("%+v", s.PlacementStrategy)
	}
	if c := must(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{})).Clusters[0]; c.ActiveServicesCount != 1 {
		t.Errorf("%+v", c)
	}
	remove := &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}
	if _, err := f.PutClusterCapacityProviders(f.ctx, remove); err == nil || err.Error() != "ResourceInUseException: The specified capacity provider is in use and cannot be removed." {
		t.Error(err)
	}
	if _, err := f.ListTasks(f.ctx, &sdk.ListTasksInput{ServiceName: aws.String("x")}); err == nil || err.Error() != "ServiceNotFoundException: Service not found." {
		t.Error(err)
	}
	must(f.ListTasks(f.ctx, &sdk.ListTasksInput{ServiceName: s.ServiceArn}))
}

func TestDaemonService(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	s := f.service("web", func(in *sdk.CreateServiceInput) { in.SchedulingStrategy, in.DesiredCount = "DAEMON", nil })
	if c := s.DeploymentConfiguration; s.SchedulingStrategy != "DAEMON" || *c.MinimumHealthyPercent != 0 || *c.MaximumPercent != 100 {
		t.Errorf("%+v", s)
	}
	if _, err := f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), DesiredCount: aws.Int32(1)}); err == nil ||
		err.Error() != "InvalidParameterException: The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again" {
		t.Error(err)
	}
	f.changeService("web", func(s *ecs.Service, _ *ecs.ServiceDeployment) { s.DesiredCount = 3 })
	must(f.DeleteService(f.ctx, &sdk.DeleteServiceInput{Service: aws.String("web")}))
}

func TestZoneRebalancing(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	if s := f.service("web", func(in *sdk.CreateServiceInput) { in.AvailabilityZoneRebalancing = "ENABLED" }); s.AvailabilityZoneRebalancing != "ENABLED" {
		t.Errorf("%+v", s)
	}
	create := func(change func(*sdk.CreateServiceInput)) func(*fixture) error {
		return func(f *fixture) error {
			in := &sdk.CreateServiceInput{ServiceName: aws.String("new"), TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(1), AvailabilityZoneRebalancing: "ENABLED"}
			change(in)
			return only(f.CreateService(f.ctx, in))
		}
	}
	const cannot = "InvalidParameterException: Availability Zone rebalancing cannot be enabled for services "
	f.refuses(t, []refused{
		{"daemon", create(func(in *sdk.CreateServiceInput) { in.SchedulingStrategy, in.DesiredCount = "DAEMON", nil }), cannot + "that use the DAEMON scheduling strategy."},
		{"external", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentController, in.TaskDefinition = &types.DeploymentController{Type: "EXTERNAL"}, nil
		}), cannot + "that use the EXTERNAL deployment controller."},
		{"no room", create(func(in *sdk.CreateServiceInput) {
			in.DeploymentConfiguration = &types.DeploymentConfiguration{MaximumPercent: aws.Int32(100), MinimumHealthyPercent: aws.Int32(50)}
		}), cannot + "with a maximumPercent of 100 or less."},
		{"packed", create(func(in *sdk.CreateServiceInput) { in.PlacementStrategy = []types.PlacementStrategy{{Type: "random"}} }), cannot + "whose first placement strategy is not a spread across Availability Zones."},
		{"bound to a zone", create(func(in *sdk.CreateServiceInput) {
			in.PlacementConstraints = []types.PlacementConstraint{{Type: "memberOf", Expression: aws.String("attribute:ecs.availability-zone == a")}}
		}), cannot + "with a placement constraint on Availability Zones."},
		{"update", func(f *fixture) error {
			return only(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), PlacementStrategy: []types.PlacementStrategy{{Type: "random"}}}))
		}, cannot + "whose first placement strategy is not a spread across Availability Zones."},
	})
}
