package ecsapi_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestExceptionsOverTheWire: the SDK knows the exceptions of clusters and instances by their types.
func TestExceptionsOverTheWire(t *testing.T) {
	f := newFixture(t)
	c := newClient(t, f)
	f.cluster()
	a := *must(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(10, 10), VersionInfo: &types.VersionInfo{AgentVersion: aws.String("1.0")}})).ContainerInstance.ContainerInstanceArn
	f.provider("group")
	put := &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{"group"}, DefaultCapacityProviderStrategy: defaultStrategy("group", 0, 1)}
	must(c.PutClusterCapacityProviders(f.ctx, put))
	f.taskOf("group")
	put.CapacityProviders, put.DefaultCapacityProviderStrategy = []string{}, []types.CapacityProviderStrategyItem{}
	_, err := c.PutClusterCapacityProviders(f.ctx, put)
	expect[*types.ResourceInUseException](t, err)
	_, err = c.UpdateContainerAgent(f.ctx, &sdk.UpdateContainerAgentInput{ContainerInstance: &a})
	expect[*types.NoUpdateAvailableException](t, err)
	_, err = c.UpdateContainerAgent(f.ctx, &sdk.UpdateContainerAgentInput{ContainerInstance: aws.String(f.instance(10, 10))})
	expect[*types.MissingVersionException](t, err)
	_, err = c.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: []types.Attribute{{Name: aws.String("a"), TargetId: aws.String(someTask), TargetType: "container-instance"}}})
	expect[*types.TargetNotFoundException](t, err)
	_, err = c.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("default"), ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: aws.String(place.NamespaceARN("ns-x"))}})
	expect[*types.NamespaceNotFoundException](t, err)
	_, err = c.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")})
	expect[*types.ClusterContainsContainerInstancesException](t, err)
	// An empty list is sent, and means none.
	if out := must(c.DescribeCapacityProviders(f.ctx, &sdk.DescribeCapacityProvidersInput{Cluster: aws.String("default")})); len(out.CapacityProviders) != 1 {
		t.Errorf("of the cluster: %+v", out.CapacityProviders)
	}
	attributes := must(c.ListAttributes(f.ctx, &sdk.ListAttributesInput{TargetType: "container-instance"}))
	if attributes.Attributes == nil {
		t.Error("an empty list of attributes is left out")
	}
	if s := must(c.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "containerInsights", Value: aws.String("enabled")})).Setting; *s.Value != "enabled" {
		t.Errorf("setting: %+v", s)
	}
}

func expect[E error](t *testing.T, err error) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Errorf("got %v, want a %T", err, e)
	}
}
