package ecsapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

func (f *fixture) describeCluster(name string, include ...types.ClusterField) types.Cluster {
	f.t.Helper()
	return must(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Clusters: []string{name}, Include: include})).Clusters[0]
}

func statisticsOf(c types.Cluster) map[string]string {
	out := map[string]string{}
	for _, s := range c.Statistics {
		out[*s.Name] = *s.Value
	}
	return out
}

// TestClusterStatistics: every count that ECS has is there, and counts tasks by where they run.
func TestClusterStatistics(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	err := f.store.Update(f.ctx, func(tx *state.Tx) error {
		for launch, n := range map[string]int{ecs.LaunchEC2: 2, ecs.LaunchFargate: 3, ecs.LaunchExternal: 1} {
			for range n {
				tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "default", LaunchType: launch, LastStatus: ecs.TaskRunning, DesiredStatus: ecs.TaskRunning})
			}
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "default", LaunchType: launch, LastStatus: ecs.TaskProvisioning, DesiredStatus: ecs.TaskRunning})
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "default", LaunchType: launch, LastStatus: ecs.TaskStopping, DesiredStatus: ecs.TaskStopped})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"runningEC2TasksCount": "2", "runningFargateTasksCount": "3", "runningExternalTasksCount": "1",
		"pendingEC2TasksCount": "1", "pendingFargateTasksCount": "1", "pendingExternalTasksCount": "1",
		"activeEC2ServiceCount": "0", "activeFargateServiceCount": "0", "activeExternalServiceCount": "0",
		"drainingEC2ServiceCount": "0", "drainingFargateServiceCount": "0", "drainingExternalServiceCount": "0",
	}
	c := f.describeCluster("default", "STATISTICS")
	if diff := cmp.Diff(want, statisticsOf(c)); diff != "" {
		t.Error(diff)
	}
	if c.RunningTasksCount != 6 || c.PendingTasksCount != 3 {
		t.Errorf("counts: %d running, %d pending", c.RunningTasksCount, c.PendingTasksCount)
	}
	if len(f.describeCluster("default").Statistics) != 0 {
		t.Error("statistics that were not asked for")
	}
	if _, err := f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")}); err == nil ||
		err.Error() != "ClusterContainsTasksException: The Cluster cannot be deleted while Tasks are active." {
		t.Errorf("deleted with tasks: %v", err)
	}
}

func TestUpdateCluster(t *testing.T) {
	f := newFixture(t)
	configuration := &types.ClusterConfiguration{
		ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: "OVERRIDE", KmsKeyId: aws.String("k"),
			LogConfiguration: &types.ExecuteCommandLogConfiguration{CloudWatchLogGroupName: aws.String("g"), CloudWatchEncryptionEnabled: true, S3BucketName: aws.String("b"), S3KeyPrefix: aws.String("p")}},
		ManagedStorageConfiguration: &types.ManagedStorageConfiguration{KmsKeyId: aws.String("arn:aws:kms:us-east-1:000000000000:key/1"), FargateEphemeralStorageKmsKeyId: aws.String("2")},
	}
	in := &sdk.CreateClusterInput{ClusterName: aws.String("web"), Settings: insights("enhanced"), Configuration: configuration,
		CapacityProviders: []string{"FARGATE", "FARGATE_SPOT"}, DefaultCapacityProviderStrategy: defaultStrategy("FARGATE", 1, 10),
		ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: aws.String("internal")}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	created := must(f.CreateCluster(f.ctx, in)).Cluster
	must(f.TagResource(f.ctx, &sdk.TagResourceInput{ResourceArn: created.ClusterArn, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("d")}}}))
	if again := must(f.CreateCluster(f.ctx, in)).Cluster; len(again.Tags) != 2 {
		t.Errorf("created again: %+v", again)
	}
	must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("web")}))
	namespace := *created.ServiceConnectDefaults.Namespace
	if !strings.HasPrefix(namespace, "arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-") || len(namespace) != len("arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-")+16 {
		t.Errorf("namespace %s", namespace)
	}
	other := must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("api"), ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: &namespace}})).Cluster
	if *other.ServiceConnectDefaults.Namespace != namespace {
		t.Errorf("by ARN: %+v", other.ServiceConnectDefaults)
	}
	all := []types.ClusterField{"ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "TAGS"}
	got := f.describeCluster("web", all...)
	if diff := cmp.Diff(asJSON(t, configuration), asJSON(t, got.Configuration)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(asJSON(t, defaultStrategy("FARGATE", 1, 10)), asJSON(t, got.DefaultCapacityProviderStrategy)); diff != "" || len(got.CapacityProviders) != 2 || *got.Settings[0].Value != "enhanced" || *got.AttachmentsStatus != "UPDATE_COMPLETE" {
		t.Errorf("described: %+v", got)
	}
	updated := must(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: created.ClusterArn, Settings: insights("disabled"),
		Configuration: &types.ClusterConfiguration{}, ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: aws.String("")}})).Cluster
	if updated.ServiceConnectDefaults != nil || updated.Configuration.ExecuteCommandConfiguration != nil || *updated.Settings[0].Value != "disabled" || len(updated.CapacityProviders) != 2 {
		t.Errorf("updated: %+v", updated)
	}
	if s := must(f.UpdateClusterSettings(f.ctx, &sdk.UpdateClusterSettingsInput{Cluster: aws.String("web"), Settings: insights("enabled")})).Cluster.Settings; *s[0].Value != "enabled" {
		t.Errorf("settings: %+v", s)
	}
}

// TestClusterAgain: what is deleted can be described, is not listed, and made again it is new.
func TestClusterAgain(t *testing.T) {
	f := newFixture(t)
	in := &sdk.CreateClusterInput{ClusterName: aws.String("web"), CapacityProviders: []string{"FARGATE"}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	must(f.CreateCluster(f.ctx, in))
	must(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("web")}))
	if c := f.describeCluster("web", "TAGS"); *c.Status != "INACTIVE" || len(c.CapacityProviders) != 0 || len(c.Tags) != 1 {
		t.Errorf("deleted: %+v", c)
	}
	if l := must(f.ListClusters(f.ctx, &sdk.ListClustersInput{})); len(l.ClusterArns) != 0 {
		t.Errorf("listed: %v", l.ClusterArns)
	}
	if _, err := f.ListTagsForResource(f.ctx, &sdk.ListTagsForResourceInput{ResourceArn: aws.String(place.ClusterARN("web"))}); err == nil ||
		err.Error() != "InvalidParameterException: The specified cluster is inactive. Specify an active cluster and try again." {
		t.Errorf("tags: %v", err)
	}
	if c := must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("web")})).Cluster; *c.Status != "ACTIVE" || len(c.Tags) != 0 {
		t.Errorf("made again: %+v", c)
	}
}
