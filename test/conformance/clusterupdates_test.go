package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestClusterUpdates(t *testing.T) {
	s := begin(t)
	s.newCluster()
	up := must[ecs.UpdateClusterOutput](s)(s.ecs.UpdateCluster(s.ctx, &ecs.UpdateClusterInput{Cluster: &s.name,
		Configuration: &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: types.ExecuteCommandLoggingNone}}}))
	if aws.ToString(up.Cluster.ClusterName) != s.name {
		t.Errorf("UpdateCluster: %+v", up.Cluster)
	}
	got := s.describeCluster(types.ClusterFieldConfigurations)
	if got.Configuration == nil || got.Configuration.ExecuteCommandConfiguration == nil || got.Configuration.ExecuteCommandConfiguration.Logging != types.ExecuteCommandLoggingNone {
		t.Errorf("configuration: %+v", got.Configuration)
	}
	if without := s.describeCluster(); without.Configuration != nil {
		t.Errorf("configuration without include: %+v", without.Configuration)
	}
	must[ecs.UpdateClusterSettingsOutput](s)(s.ecs.UpdateClusterSettings(s.ctx, &ecs.UpdateClusterSettingsInput{Cluster: &s.name,
		Settings: []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: aws.String("enabled")}}}))
	if got = s.describeCluster(types.ClusterFieldSettings); len(got.Settings) == 0 || aws.ToString(got.Settings[0].Value) != "enabled" {
		t.Errorf("settings: %+v", got.Settings)
	}
	_, err := s.ecs.UpdateClusterSettings(s.ctx, &ecs.UpdateClusterSettingsInput{Cluster: &s.name,
		Settings: []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: aws.String("perhaps")}}})
	refused[*types.InvalidParameterException](s, err, "")
	_, err = s.ecs.UpdateCluster(s.ctx, &ecs.UpdateClusterInput{Cluster: aws.String("missing-" + s.name)})
	refused[*types.ClusterNotFoundException](s, err, "Cluster not found.")
}
