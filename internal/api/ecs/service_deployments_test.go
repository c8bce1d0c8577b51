package ecsapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

const someDeployment = "arn:aws:ecs:us-east-1:000000000000:service-deployment/default/web/none"

// roll gives the service another deployment and moves the clock.
func (f *fixture) roll(name string) *types.Service {
	f.t.Helper()
	f.now = f.now.Add(time.Minute)
	return must(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: &name, ForceNewDeployment: true})).Service
}

// changeDeployment changes what a service's deployment has in the state, as its controller does.
func (f *fixture) changeService(name string, change func(*ecs.Service, *ecs.ServiceDeployment)) {
	f.t.Helper()
	if err := f.store.Update(f.ctx, func(tx *state.Tx) error {
		s := *tx.Services.Get("default/" + name)
		d := *tx.ServiceDeployments.Get(s.Key() + "/" + s.ServiceDeployment)
		change(&s, &d)
		tx.Services.Put(&s)
		tx.ServiceDeployments.Put(&d)
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}

func TestServiceDeployments(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	first := f.service("web", func(in *sdk.CreateServiceInput) {
		in.DeploymentConfiguration = &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true}}
	})
	if first.CurrentServiceDeployment == nil || len(first.CurrentServiceRevisions) != 1 || first.CurrentServiceRevisions[0].RequestedTaskCount != 2 {
		t.Fatalf("%+v", first)
	}
	one := must(f.DescribeServiceDeployments(f.ctx, &sdk.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*first.CurrentServiceDeployment, someDeployment}}))
	if len(one.Failures) != 1 || *one.Failures[0].Reason != "MISSING" || len(one.ServiceDeployments) != 1 {
		t.Fatalf("%+v", one)
	}
	d := one.ServiceDeployments[0]
	if d.Status != types.ServiceDeploymentStatusPending || d.TargetServiceRevision.RequestedTaskCount != 2 || len(d.SourceServiceRevisions) != 0 ||
		d.DeploymentCircuitBreaker.Status != "MONITORING" || d.DeploymentCircuitBreaker.Threshold != 3 || d.StartedAt != nil {
		t.Errorf("%+v", d)
	}
	r := must(f.DescribeServiceRevisions(f.ctx, &sdk.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*d.TargetServiceRevision.Arn}})).ServiceRevisions
	if len(r) != 1 || *r[0].ContainerImages[0].Image != "busybox" || !strings.HasSuffix(*r[0].TaskDefinition, "sleep:1") || r[0].LaunchType != "EC2" {
		t.Errorf("%+v", r)
	}
	second := f.roll("web")
	list := must(f.ListServiceDeployments(f.ctx, &sdk.ListServiceDeploymentsInput{Service: first.ServiceArn})).ServiceDeployments
	if len(list) != 2 || *list[0].ServiceDeploymentArn != *second.CurrentServiceDeployment || list[1].Status != "STOPPED" || list[1].FinishedAt == nil {
		t.Errorf("%+v", list)
	}
	since := list[0].CreatedAt
	for _, in := range []*sdk.ListServiceDeploymentsInput{
		{Service: aws.String("web"), CreatedAt: &types.CreatedAt{After: since}}, {Service: aws.String("web"), Status: []types.ServiceDeploymentStatus{"PENDING", "IN_PROGRESS"}},
	} {
		if out := must(f.ListServiceDeployments(f.ctx, in)).ServiceDeployments; len(out) != 1 || *out[0].ServiceDeploymentArn != *second.CurrentServiceDeployment {
			t.Errorf("%+v: %+v", in, out)
		}
	}
	page := must(f.ListServiceDeployments(f.ctx, &sdk.ListServiceDeploymentsInput{Service: aws.String("web"), MaxResults: aws.Int32(1)}))
	page = must(f.ListServiceDeployments(f.ctx, &sdk.ListServiceDeploymentsInput{Service: aws.String("web"), MaxResults: aws.Int32(1), NextToken: page.NextToken}))
	if page.NextToken != nil || len(page.ServiceDeployments) != 1 || *page.ServiceDeployments[0].ServiceDeploymentArn != *first.CurrentServiceDeployment {
		t.Errorf("the second page: %+v", page)
	}
}

func TestStopServiceDeployment(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	f.service("web")
	f.changeService("web", func(s *ecs.Service, d *ecs.ServiceDeployment) {
		s.Completed = &s.Deployments[0]
		d.Status = ecs.ServiceDeploymentSuccessful
	})
	stop := func(arn *string, how types.StopServiceDeploymentStopType) error {
		return only(f.StopServiceDeployment(f.ctx, &sdk.StopServiceDeploymentInput{ServiceDeploymentArn: arn, StopType: how}))
	}
	status := func(arn *string) types.ServiceDeploymentStatus {
		return must(f.DescribeServiceDeployments(f.ctx, &sdk.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*arn}})).ServiceDeployments[0].Status
	}
	second := f.roll("web").CurrentServiceDeployment
	for range 2 { // The second changes nothing.
		if err := stop(second, ""); err != nil || status(second) != types.ServiceDeploymentStatusRollbackRequested {
			t.Errorf("%v, %s", err, status(second))
		}
	}
	third := f.roll("web").CurrentServiceDeployment
	if err := stop(third, types.StopServiceDeploymentStopTypeAbort); err != nil || status(third) != types.ServiceDeploymentStatusStopRequested {
		t.Errorf("%v, %s", err, status(third))
	}
	if err := stop(second, ""); err == nil || err.Error() != "ConflictException: The service deployment has already ended: its status is STOPPED." {
		t.Error(err)
	}
}

func TestServiceDeploymentsRefused(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	arn := f.service("web").CurrentServiceDeployment
	list := func(change func(*sdk.ListServiceDeploymentsInput)) func(*fixture) error {
		return func(f *fixture) error {
			in := &sdk.ListServiceDeploymentsInput{Service: aws.String("web")}
			change(in)
			return only(f.ListServiceDeployments(f.ctx, in))
		}
	}
	describe := func(arns ...string) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.DescribeServiceDeployments(f.ctx, &sdk.DescribeServiceDeploymentsInput{ServiceDeploymentArns: arns}))
		}
	}
	stop := func(arn, how string) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.StopServiceDeployment(f.ctx, &sdk.StopServiceDeploymentInput{ServiceDeploymentArn: &arn, StopType: types.StopServiceDeploymentStopType(how)}))
		}
	}
	f.refuses(t, []refused{
		{"list of none", list(func(in *sdk.ListServiceDeploymentsInput) { in.Service = nil }), "InvalidParameterException: Service cannot be empty."},
		{"list of an unknown one", list(func(in *sdk.ListServiceDeploymentsInput) { in.Service = aws.String("x") }), "ServiceNotFoundException: Service not found."},
		{"list in no cluster", list(func(in *sdk.ListServiceDeploymentsInput) { in.Cluster = aws.String("x") }), "ClusterNotFoundException: Cluster not found."},
		{"status", list(func(in *sdk.ListServiceDeploymentsInput) { in.Status = []types.ServiceDeploymentStatus{"X"} }), `InvalidParameterException: Invalid status: "X".`},
		{"page", list(func(in *sdk.ListServiceDeploymentsInput) { in.MaxResults = aws.Int32(101) }), "InvalidParameterException: maxResults must be between 1 and 100."},
		{"times", list(func(in *sdk.ListServiceDeploymentsInput) {
			in.CreatedAt = &types.CreatedAt{After: aws.Time(time.Unix(20, 0)), Before: aws.Time(time.Unix(10, 0))}
		}), "InvalidParameterException: createdAt: after should not be later than before."},
		{"describe none", describe(), "InvalidParameterException: Service deployment ARNs cannot be empty."},
		{"describe many", describe(many(21)...), "InvalidParameterException: Service deployment ARNs cannot contain more than 20 entries."},
		{"describe a name", describe("web"), "InvalidParameterException: Invalid identifier: web"},
		{"describe a short ARN", describe("arn:aws:ecs:us-east-1:000000000000:service-deployment/default/x"),
			"InvalidParameterException: Invalid identifier: arn:aws:ecs:us-east-1:000000000000:service-deployment/default/x"},
		{"describe no revision", func(f *fixture) error {
			return only(f.DescribeServiceRevisions(f.ctx, &sdk.DescribeServiceRevisionsInput{}))
		}, "InvalidParameterException: Service revision ARNs cannot be empty."},
		{"stop none", stop("", ""), "InvalidParameterException: serviceDeploymentArn cannot be empty."},
		{"stop an unknown one", stop(someDeployment, ""), "ServiceDeploymentNotFoundException: Service deployment not found."},
		{"stop otherwise", stop(*arn, "X"), `InvalidParameterException: Invalid stopType: "X".`},
		{"nothing to go back to", stop(*arn, "ROLLBACK"), "ConflictException: The service deployment cannot be rolled back: no deployment of the service has completed before it."},
	})
}
