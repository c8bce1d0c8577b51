package ecsapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// external makes a service with task sets to come.
func (f *fixture) external(name string) *types.Service {
	f.t.Helper()
	return f.service(name, func(in *sdk.CreateServiceInput) {
		in.TaskDefinition, in.DesiredCount = nil, aws.Int32(4)
		in.DeploymentController = &types.DeploymentController{Type: types.DeploymentControllerTypeExternal}
		in.PlacementStrategy = []types.PlacementStrategy{{Type: types.PlacementStrategyTypeRandom}}
	})
}

func (f *fixture) taskSet(service string, change ...func(*sdk.CreateTaskSetInput)) *types.TaskSet {
	f.t.Helper()
	in := &sdk.CreateTaskSetInput{Service: &service, TaskDefinition: aws.String("sleep"), Scale: &types.Scale{Value: 30, Unit: types.ScaleUnitPercent}}
	for _, c := range change {
		c(in)
	}
	return must(f.CreateTaskSet(f.ctx, in)).TaskSet
}

func TestTaskSets(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	s := f.external("web")
	if s.DeploymentController.Type != "EXTERNAL" || s.TaskDefinition != nil || len(s.Deployments) != 0 || s.TaskSets == nil || len(s.PlacementStrategy) != 1 {
		t.Errorf("%+v", s)
	}
	token := func(in *sdk.CreateTaskSetInput) {
		in.ClientToken, in.ExternalId = aws.String("one"), aws.String("outside")
	}
	blue, again := f.taskSet("web", token), f.taskSet("web", token)
	if *blue.Id != *again.Id || blue.ComputedDesiredCount != 2 || *blue.Status != "ACTIVE" || blue.StabilityStatus != "STABILIZING" || *blue.ExternalId != "outside" ||
		!strings.HasSuffix(*blue.TaskSetArn, "task-set/default/web/"+*blue.Id) || !strings.HasPrefix(*blue.Id, "ecs-svc/") {
		t.Errorf("%+v\n%+v", blue, again)
	}
	green := f.taskSet("web", func(in *sdk.CreateTaskSetInput) { in.Scale = nil })
	for range 2 {
		if p := must(f.UpdateServicePrimaryTaskSet(f.ctx, &sdk.UpdateServicePrimaryTaskSetInput{Cluster: aws.String("default"), Service: aws.String("web"), PrimaryTaskSet: blue.TaskSetArn})).TaskSet; *p.Status != "PRIMARY" {
			t.Errorf("%+v", p)
		}
	}
	must(f.UpdateServicePrimaryTaskSet(f.ctx, &sdk.UpdateServicePrimaryTaskSetInput{Service: aws.String("web"), PrimaryTaskSet: green.Id}))
	if p := must(f.UpdateTaskSet(f.ctx, &sdk.UpdateTaskSetInput{Service: aws.String("web"), TaskSet: green.Id, Scale: &types.Scale{Value: 100}})).TaskSet; p.ComputedDesiredCount != 4 {
		t.Errorf("%+v", p)
	}
	out := must(f.DescribeTaskSets(f.ctx, &sdk.DescribeTaskSetsInput{Service: s.ServiceArn, TaskSets: []string{*green.Id, *blue.TaskSetArn, "ecs-svc/1"}}))
	if len(out.TaskSets) != 2 || *out.TaskSets[0].Status != "PRIMARY" || *out.TaskSets[1].Status != "ACTIVE" || len(out.Failures) != 1 {
		t.Errorf("%+v", out)
	}
	described := must(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{Services: []string{"web"}})).Services[0]
	if len(described.TaskSets) != 2 || described.TaskDefinition == nil || described.LaunchType != "EC2" || len(described.PlacementStrategy) != 1 {
		t.Errorf("%+v", described)
	}
	if d := must(f.DeleteTaskSet(f.ctx, &sdk.DeleteTaskSetInput{Service: aws.String("web"), TaskSet: blue.Id, Force: aws.Bool(true)})).TaskSet; *d.Status != "DRAINING" || d.ComputedDesiredCount != 0 {
		t.Errorf("%+v", d)
	}
	must(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), DesiredCount: aws.Int32(0)}))
	if _, err := f.DeleteService(f.ctx, &sdk.DeleteServiceInput{Service: aws.String("web")}); err == nil || err.Error() != "InvalidParameterException: The service cannot be stopped while deployments are active." {
		t.Error(err)
	}
	must(f.DeleteService(f.ctx, &sdk.DeleteServiceInput{Service: aws.String("web"), Force: aws.Bool(true)}))
}

func TestTaskSetsRefused(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	f.service("plain")
	f.external("web")
	f.external("full")
	for range 5 {
		f.taskSet("full")
	}
	set := f.taskSet("web")
	must(f.UpdateServicePrimaryTaskSet(f.ctx, &sdk.UpdateServicePrimaryTaskSetInput{Service: aws.String("web"), PrimaryTaskSet: set.Id}))
	other := f.taskSet("web")
	gone := f.taskSet("web")
	must(f.DeleteTaskSet(f.ctx, &sdk.DeleteTaskSetInput{Service: aws.String("web"), TaskSet: gone.Id, Force: aws.Bool(true)}))
	create := func(change func(*sdk.CreateTaskSetInput)) func(*fixture) error {
		return func(f *fixture) error {
			in := &sdk.CreateTaskSetInput{Service: aws.String("web"), TaskDefinition: aws.String("sleep")}
			change(in)
			return only(f.CreateTaskSet(f.ctx, in))
		}
	}
	scale := func(id *string, s *types.Scale) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.UpdateTaskSet(f.ctx, &sdk.UpdateTaskSetInput{Service: aws.String("web"), TaskSet: id, Scale: s}))
		}
	}
	remove := func(id *string) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.DeleteTaskSet(f.ctx, &sdk.DeleteTaskSetInput{Service: aws.String("web"), TaskSet: id}))
		}
	}
	primary := func(id *string) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.UpdateServicePrimaryTaskSet(f.ctx, &sdk.UpdateServicePrimaryTaskSetInput{Service: aws.String("web"), PrimaryTaskSet: id}))
		}
	}
	update := func(change func(*sdk.UpdateServiceInput)) func(*fixture) error {
		return func(f *fixture) error {
			in := &sdk.UpdateServiceInput{Service: aws.String("web")}
			change(in)
			return only(f.UpdateService(f.ctx, in))
		}
	}
	const missing = "TaskSetNotFoundException: The specified task set does not exist."
	f.refuses(t, []refused{
		{"no service", create(func(in *sdk.CreateTaskSetInput) { in.Service = nil }), "InvalidParameterException: Service cannot be empty."},
		{"unknown service", create(func(in *sdk.CreateTaskSetInput) { in.Service = aws.String("x") }), "ServiceNotFoundException: Service not found."},
		{"unknown cluster", create(func(in *sdk.CreateTaskSetInput) { in.Cluster = aws.String("x") }), "ClusterNotFoundException: Cluster not found."},
		{"no definition", create(func(in *sdk.CreateTaskSetInput) { in.TaskDefinition = nil }), "InvalidParameterException: TaskDefinition should not be null or empty."},
		{"unknown definition", create(func(in *sdk.CreateTaskSetInput) { in.TaskDefinition = aws.String("x") }), "ClientException: TaskDefinition not found."},
		{"not external", create(func(in *sdk.CreateTaskSetInput) { in.Service = aws.String("plain") }),
			"InvalidParameterException: Amazon ECS only supports task set management on services configured to use external deployment controllers."},
		{"too many", create(func(in *sdk.CreateTaskSetInput) { in.Service = aws.String("full") }),
			"InvalidParameterException: 5 deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit."},
		{"token", create(func(in *sdk.CreateTaskSetInput) { in.ClientToken = aws.String(strings.Repeat("x", 37)) }), "InvalidParameterException: clientToken must be at most 36 characters long."},
		{"scale", create(func(in *sdk.CreateTaskSetInput) { in.Scale = &types.Scale{Value: 101} }), "InvalidParameterException: The scale value must be between 0.0 and 100.0."},
		{"unit", create(func(in *sdk.CreateTaskSetInput) { in.Scale = &types.Scale{Unit: "X"} }), `InvalidParameterException: Invalid scale unit: "X".`},
		{"load balancer", create(func(in *sdk.CreateTaskSetInput) { in.LoadBalancers = []types.LoadBalancer{{}} }), "UnsupportedFeatureException: loadBalancers is not supported yet."},
		{"scale nothing", scale(nil, &types.Scale{}), "InvalidParameterException: Task set cannot be empty."},
		{"scale by nothing", scale(set.Id, nil), "InvalidParameterException: Scale cannot be empty."},
		{"scale below 0", scale(set.Id, &types.Scale{Value: -1}), "InvalidParameterException: The scale value must be between 0.0 and 100.0."},
		{"scale an unknown one", scale(aws.String("ecs-svc/1"), &types.Scale{}), missing},
		{"scale one that drains", scale(gone.Id, &types.Scale{}), "InvalidParameterException: The task set is DRAINING and cannot be updated."},
		{"primary of none", primary(nil), "InvalidParameterException: Task set cannot be empty."},
		{"unknown primary", primary(aws.String("x")), missing},
		{"primary that drains", primary(gone.Id), "InvalidParameterException: The task set is DRAINING and cannot be the primary task set."},
		{"delete none", remove(nil), "InvalidParameterException: Task set cannot be empty."},
		{"delete an unknown one", remove(aws.String("x")), missing},
		{"delete the primary", remove(set.Id), "InvalidParameterException: The primary task set cannot be deleted. Use the force option, or make another one the primary task set, and try again."},
		{"delete a scaled one", remove(other.Id), "InvalidParameterException: The task set cannot be deleted while it is scaled above 0."},
		{"describe of none", func(f *fixture) error { return only(f.DescribeTaskSets(f.ctx, &sdk.DescribeTaskSetsInput{})) }, "InvalidParameterException: Service cannot be empty."},
		{"service's definition", update(func(in *sdk.UpdateServiceInput) { in.TaskDefinition = aws.String("sleep") }),
			"InvalidParameterException: Unable to update task definition on services with an EXTERNAL deployment controller."},
		{"forced", update(func(in *sdk.UpdateServiceInput) { in.ForceNewDeployment = true }), "InvalidParameterException: Cannot force a new deployment on services with an EXTERNAL deployment controller."},
		{"another controller", update(func(in *sdk.UpdateServiceInput) {
			in.DeploymentController = &types.DeploymentController{Type: "ECS"}
		}), "UnsupportedFeatureException: A change of the deploymentController is not supported yet."},
	})
}
