package conformance

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestBuiltInCapacityProviders(t *testing.T) {
	s := begin(t)
	out := must[ecs.DescribeCapacityProvidersOutput](s)(s.ecs.DescribeCapacityProviders(s.ctx, &ecs.DescribeCapacityProvidersInput{
		CapacityProviders: []string{"FARGATE", "FARGATE_SPOT", s.name}}))
	if len(out.CapacityProviders) != 2 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
		t.Fatalf("DescribeCapacityProviders: %+v", out)
	}
	for _, p := range out.CapacityProviders {
		if p.Status != types.CapacityProviderStatusActive || p.AutoScalingGroupProvider != nil || aws.ToString(p.CapacityProviderArn) != s.arn("capacity-provider/"+*p.Name) {
			t.Errorf("provider: %+v", p)
		}
	}
	_, err := s.ecs.DeleteCapacityProvider(s.ctx, &ecs.DeleteCapacityProviderInput{CapacityProvider: aws.String("FARGATE")})
	if code := codeOf(err); code != "InvalidParameterException" && code != "ClientException" {
		t.Errorf("delete FARGATE: %v", err)
	}
}

func TestClusterCapacityProviders(t *testing.T) {
	s := begin(t)
	s.newCluster()
	strategy := []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE"), Base: 1, Weight: 1}, {CapacityProvider: aws.String("FARGATE_SPOT"), Weight: 4}}
	out := must[ecs.PutClusterCapacityProvidersOutput](s)(s.ecs.PutClusterCapacityProviders(s.ctx, &ecs.PutClusterCapacityProvidersInput{
		Cluster: &s.name, CapacityProviders: []string{"FARGATE", "FARGATE_SPOT"}, DefaultCapacityProviderStrategy: strategy}))
	if len(out.Cluster.CapacityProviders) != 2 || len(out.Cluster.DefaultCapacityProviderStrategy) != 2 || out.Cluster.DefaultCapacityProviderStrategy[0].Base != 1 {
		t.Errorf("PutClusterCapacityProviders: %+v", out.Cluster)
	}
	_, err := s.ecs.PutClusterCapacityProviders(s.ctx, &ecs.PutClusterCapacityProvidersInput{
		Cluster: &s.name, CapacityProviders: []string{"FARGATE"}, DefaultCapacityProviderStrategy: strategy})
	refused[*types.InvalidParameterException](s, err, "")
	s.cleanup(func(ctx context.Context) error { // before the cluster's own
		_, err := s.ecs.PutClusterCapacityProviders(ctx, &ecs.PutClusterCapacityProvidersInput{
			Cluster: &s.name, CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}})
		return err
	})
	if got := s.describeCluster(); len(got.CapacityProviders) != 2 {
		t.Errorf("after what was refused: %+v", got)
	}
}
