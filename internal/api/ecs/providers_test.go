package ecsapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"roadstead.dev/roadstead/internal/ecs"
)

func (f *fixture) providers(in sdk.DescribeCapacityProvidersInput) (names []string) {
	f.t.Helper()
	for {
		out := must(f.DescribeCapacityProviders(f.ctx, &in))
		for _, p := range out.CapacityProviders {
			names = append(names, *p.Name)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return names
		}
	}
}

var unexported = cmpopts.IgnoreUnexported(types.CapacityProvider{}, types.AutoScalingGroupProvider{}, types.ManagedScaling{}, types.Tag{}, types.CapacityProviderStrategyItem{})

// TestProviderLife: what is not said gets AWS's defaults, what an update doesn't say stays.
func TestProviderLife(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	want := types.CapacityProvider{
		Name: aws.String("group"), CapacityProviderArn: aws.String("arn:aws:ecs:us-east-1:000000000000:capacity-provider/group"),
		Status: "ACTIVE", UpdateStatus: "CREATE_COMPLETE", Type: "EC2_AUTOSCALING", Tags: []types.Tag{},
		AutoScalingGroupProvider: &types.AutoScalingGroupProvider{
			AutoScalingGroupArn: aws.String(groupOf("group")), ManagedDraining: "ENABLED", ManagedTerminationProtection: "DISABLED",
			ManagedScaling: &types.ManagedScaling{Status: "DISABLED", TargetCapacity: aws.Int32(100), MinimumScalingStepSize: aws.Int32(1),
				MaximumScalingStepSize: aws.Int32(10000), InstanceWarmupPeriod: aws.Int32(300)},
		},
	}
	if diff := cmp.Diff(want, *f.provider("group"), unexported); diff != "" {
		t.Errorf("created: %s", diff)
	}
	updated := must(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{Name: want.CapacityProviderArn, AutoScalingGroupProvider: &types.AutoScalingGroupProviderUpdate{
		ManagedDraining: "DISABLED", ManagedTerminationProtection: "ENABLED", ManagedScaling: &types.ManagedScaling{Status: "ENABLED", TargetCapacity: aws.Int32(80)}}})).CapacityProvider
	want.UpdateStatus = "UPDATE_COMPLETE"
	want.AutoScalingGroupProvider.ManagedDraining, want.AutoScalingGroupProvider.ManagedTerminationProtection = "DISABLED", "ENABLED"
	want.AutoScalingGroupProvider.ManagedScaling.Status, want.AutoScalingGroupProvider.ManagedScaling.TargetCapacity = "ENABLED", aws.Int32(80)
	if diff := cmp.Diff(want, *updated, unexported); diff != "" {
		t.Errorf("updated: %s", diff)
	}
	put := must(f.PutClusterCapacityProviders(f.ctx, &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{*want.CapacityProviderArn},
		DefaultCapacityProviderStrategy: defaultStrategy(*want.CapacityProviderArn, 2, 0)})).Cluster
	if len(put.CapacityProviders) != 1 || put.CapacityProviders[0] != "group" || *put.AttachmentsStatus != "UPDATE_COMPLETE" {
		t.Errorf("associated: %+v", put)
	}
	if diff := cmp.Diff(defaultStrategy("group", 2, 0), put.DefaultCapacityProviderStrategy, unexported); diff != "" {
		t.Error(diff)
	}
	failed := must(f.DeleteCapacityProvider(f.ctx, &sdk.DeleteCapacityProviderInput{CapacityProvider: aws.String("group")})).CapacityProvider
	if failed.Status != "ACTIVE" || failed.UpdateStatus != "DELETE_FAILED" || *failed.UpdateStatusReason !=
		"The capacity provider cannot be deleted because it is associated with cluster: default. Remove the capacity provider from the cluster and try again." {
		t.Errorf("deleted while it is associated: %+v", failed)
	}
	must(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")}))
	gone := must(f.DeleteCapacityProvider(f.ctx, &sdk.DeleteCapacityProviderInput{CapacityProvider: want.CapacityProviderArn})).CapacityProvider
	if gone.Status != "INACTIVE" || gone.UpdateStatus != "DELETE_COMPLETE" || gone.UpdateStatusReason != nil {
		t.Errorf("deleted: %+v", gone)
	}
	out := must(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{CapacityProviders: []string{"group", "FARGATE"}}))
	if len(out.CapacityProviders) != 1 || out.CapacityProviders[0].Type != "FARGATE" || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" || *out.Failures[0].Arn != *want.CapacityProviderArn {
		t.Errorf("described: %+v", out)
	}
	f.provider("group")
}

func TestDescribeProviders(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	for _, name := range numbered(12, "p") {
		f.provider(name)
	}
	all := f.providers(sdk.DescribeCapacityProvidersInput{})
	if len(all) != 14 || all[0] != "FARGATE" || all[1] != "FARGATE_SPOT" || all[13] != "p9" {
		t.Errorf("all: %v", all)
	}
	if page := must(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{})); len(page.CapacityProviders) != 10 || page.NextToken == nil {
		t.Errorf("a page has %d", len(page.CapacityProviders))
	}
	must(f.PutClusterCapacityProviders(f.ctx, &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{"p3", "FARGATE_SPOT"},
		DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}))
	if got := f.providers(sdk.DescribeCapacityProvidersInput{Cluster: aws.String("default")}); len(got) != 2 || got[0] != "FARGATE_SPOT" || got[1] != "p3" {
		t.Errorf("the cluster's: %v", got)
	}
	must(f.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: aws.String(place.CapacityProviderARN("p3")), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}))
	for _, include := range [][]types.CapacityProviderField{nil, {"TAGS"}} {
		out := must(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{CapacityProviders: []string{"p3"}, Include: include}))
		if got := out.CapacityProviders[0].Tags; len(got) != len(include) {
			t.Errorf("tags with %v: %v", include, got)
		}
	}
}

func createProvider(name string, change ...func(*types.AutoScalingGroupProvider)) func(*fixture) error {
	return func(f *fixture) error {
		g := &types.AutoScalingGroupProvider{AutoScalingGroupArn: aws.String(groupOf("new")), ManagedScaling: &types.ManagedScaling{}}
		for _, c := range change {
			c(g)
		}
		return only(f.CreateCapacityProvider(f.ctx, &sdk.CreateCapacityProviderInput{Name: &name, AutoScalingGroupProvider: g}))
	}
}

func scaling(change func(*types.ManagedScaling)) func(*fixture) error {
	return createProvider("new", func(g *types.AutoScalingGroupProvider) { change(g.ManagedScaling) })
}

const badProviderName = `ClientException: The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters (upper and lowercase), ` +
	`numbers, underscores, and hyphens. The name cannot be prefixed with "aws", "ecs", or "fargate". Specify a valid name and try again.`

const noProvider = "ClientException: The specified capacity provider does not exist. Specify a valid name or ARN and try again."

var refusedProviders = []refused{
	{"no name", createProvider(""), "InvalidParameterException: CapacityProvider name must not be blank."},
	{"name", createProvider("a b"), badProviderName},
	{"long name", createProvider(strings.Repeat("x", 256)), badProviderName},
	{"aws", createProvider("aws-x"), badProviderName},
	{"ecs", createProvider("ECSx"), badProviderName},
	{"fargate", createProvider("FARGATE"), badProviderName},
	{"taken", createProvider("group"), "ClientException: The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider."},
	{"group taken", createProvider("new", func(g *types.AutoScalingGroupProvider) { g.AutoScalingGroupArn = aws.String(groupOf("group")) }),
		"ClientException: The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again."},
	{"no group", func(f *fixture) error {
		return only(f.CreateCapacityProvider(f.ctx, &sdk.CreateCapacityProviderInput{Name: aws.String("new")}))
	}, "InvalidParameterException: Auto Scaling group provider can not be null."},
	{"group's ARN", createProvider("new", func(g *types.AutoScalingGroupProvider) { g.AutoScalingGroupArn = aws.String("arn:aws:ecs:x") }),
		"ClientException: The specified Auto Scaling group ARN is invalid. Specify a valid ARN and try again."},
	{"no group's ARN", createProvider("new", func(g *types.AutoScalingGroupProvider) { g.AutoScalingGroupArn = nil }),
		"ClientException: The specified Auto Scaling group ARN is invalid. Specify a valid ARN and try again."},
	{"managed instances", func(f *fixture) error {
		return only(f.CreateCapacityProvider(f.ctx, &sdk.CreateCapacityProviderInput{Name: aws.String("new"), ManagedInstancesProvider: &types.CreateManagedInstancesProviderConfiguration{}}))
	}, "UnsupportedFeatureException: managedInstancesProvider is not supported: there are no Amazon ECS Managed Instances here."},
	{"cluster", func(f *fixture) error {
		return only(f.CreateCapacityProvider(f.ctx, &sdk.CreateCapacityProviderInput{Name: aws.String("new"), Cluster: aws.String("default")}))
	}, "UnsupportedFeatureException: cluster is not supported: there are no Amazon ECS Managed Instances here."},
	{"tag", func(f *fixture) error {
		return only(f.CreateCapacityProvider(f.ctx, &sdk.CreateCapacityProviderInput{Name: aws.String("new"), Tags: []types.Tag{{}}}))
	}, "InvalidParameterException: Tag key cannot be null or empty."},
	{"scaling", scaling(func(s *types.ManagedScaling) { s.Status = "X" }), `InvalidParameterException: Invalid value for managedScaling.status: "X".`},
	{"target", scaling(func(s *types.ManagedScaling) { s.TargetCapacity = aws.Int32(101) }), "InvalidParameterException: managedScaling.targetCapacity must be between 1 and 100."},
	{"no target", scaling(func(s *types.ManagedScaling) { s.TargetCapacity = aws.Int32(0) }), "InvalidParameterException: managedScaling.targetCapacity must be between 1 and 100."},
	{"least step", scaling(func(s *types.ManagedScaling) { s.MinimumScalingStepSize = aws.Int32(0) }), "InvalidParameterException: managedScaling.minimumScalingStepSize must be between 1 and 10000."},
	{"largest step", scaling(func(s *types.ManagedScaling) { s.MaximumScalingStepSize = aws.Int32(10001) }), "InvalidParameterException: managedScaling.maximumScalingStepSize must be between 1 and 10000."},
	{"steps", scaling(func(s *types.ManagedScaling) {
		s.MinimumScalingStepSize, s.MaximumScalingStepSize = aws.Int32(3), aws.Int32(2)
	}),
		"InvalidParameterException: managedScaling.minimumScalingStepSize must not be greater than maximumScalingStepSize."},
	{"warm-up", scaling(func(s *types.ManagedScaling) { s.InstanceWarmupPeriod = aws.Int32(10001) }), "InvalidParameterException: managedScaling.instanceWarmupPeriod must be between 0 and 10000."},
	{"protection", createProvider("new", func(g *types.AutoScalingGroupProvider) { g.ManagedTerminationProtection = "X" }), `InvalidParameterException: Invalid value for managedTerminationProtection: "X".`},
	{"draining", createProvider("new", func(g *types.AutoScalingGroupProvider) { g.ManagedDraining = "X" }), `InvalidParameterException: Invalid value for managedDraining: "X".`},
	{"protection without scaling", createProvider("new", func(g *types.AutoScalingGroupProvider) {
		g.ManagedTerminationProtection, g.ManagedScaling.Status = "ENABLED", "DISABLED"
	}), "InvalidParameterException: The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, managed scaling must be enabled."},
	{"update nobody", func(f *fixture) error {
		return only(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{}))
	}, "InvalidParameterException: A name is required when updating a capacity provider."},
	{"update nothing", func(f *fixture) error {
		return only(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{Name: aws.String("group")}))
	}, "InvalidParameterException: Auto Scaling group provider can not be null."},
	{"update unknown", func(f *fixture) error {
		return only(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{Name: aws.String("none"), AutoScalingGroupProvider: &types.AutoScalingGroupProviderUpdate{}}))
	}, noProvider},
	{"update Fargate", func(f *fixture) error {
		return only(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{Name: aws.String("FARGATE"), AutoScalingGroupProvider: &types.AutoScalingGroupProviderUpdate{}}))
	}, "ClientException: The FARGATE capacity provider is reserved and cannot be updated."},
	{"update, range", func(f *fixture) error {
		return only(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{Name: aws.String("group"), AutoScalingGroupProvider: &types.AutoScalingGroupProviderUpdate{ManagedTerminationProtection: "ENABLED"}}))
	}, "InvalidParameterException: The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, managed scaling must be enabled."},
	{"update managed instances", func(f *fixture) error {
		return only(f.UpdateCapacityProvider(f.ctx, &sdk.UpdateCapacityProviderInput{Name: aws.String("group"), ManagedInstancesProvider: &types.UpdateManagedInstancesProviderConfiguration{}}))
	}, "UnsupportedFeatureException: managedInstancesProvider is not supported: there are no Amazon ECS Managed Instances here."},
	{"delete nobody", func(f *fixture) error {
		return only(f.DeleteCapacityProvider(f.ctx, &sdk.DeleteCapacityProviderInput{}))
	}, "InvalidParameterException: CapacityProvider name must not be blank."},
	{"delete unknown", func(f *fixture) error {
		return only(f.DeleteCapacityProvider(f.ctx, &sdk.DeleteCapacityProviderInput{CapacityProvider: aws.String("none")}))
	}, noProvider},
	{"delete Fargate", func(f *fixture) error {
		return only(f.DeleteCapacityProvider(f.ctx, &sdk.DeleteCapacityProviderInput{CapacityProvider: aws.String(place.CapacityProviderARN(ecs.ProviderFargateSpot))}))
	}, "ClientException: The FARGATE_SPOT capacity provider is reserved and cannot be deleted."},
	{"delete of a cluster", func(f *fixture) error {
		return only(f.DeleteCapacityProvider(f.ctx, &sdk.DeleteCapacityProviderInput{CapacityProvider: aws.String("group"), Cluster: aws.String("default")}))
	}, "UnsupportedFeatureException: cluster is not supported: there are no Amazon ECS Managed Instances here."},
	{"describe too many", func(f *fixture) error {
		return only(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{CapacityProviders: many(101)}))
	}, "InvalidParameterException: Capacity providers cannot contain more than 100 entries."},
	{"describe include", func(f *fixture) error {
		return only(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{Include: []types.CapacityProviderField{"X"}}))
	}, `InvalidParameterException: Invalid value for include: "X".`},
	{"describe page", func(f *fixture) error {
		return only(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{MaxResults: aws.Int32(11)}))
	}, "InvalidParameterException: maxResults must be between 1 and 10."},
	{"describe cluster", func(f *fixture) error {
		return only(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{Cluster: aws.String("none")}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"describe identifier", func(f *fixture) error {
		return only(f.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{CapacityProviders: []string{"a b"}}))
	}, `InvalidParameterException: Invalid capacity provider identifier: "a b"`},
}

func TestRefusedProviders(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.provider("group")
	f.refuses(t, refusedProviders)
}
