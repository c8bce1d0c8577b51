package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestClusterLife(t *testing.T) {
	s := begin(t)
	made := s.newCluster(types.Tag{Key: aws.String("team"), Value: aws.String("a")})
	if aws.ToString(made.ClusterArn) != s.arn("cluster/"+s.name) || aws.ToString(made.ClusterName) != s.name || aws.ToString(made.Status) != "ACTIVE" {
		t.Errorf("made: %+v", made)
	}
	again := must[ecs.CreateClusterOutput](s)(s.ecs.CreateCluster(s.ctx, &ecs.CreateClusterInput{ClusterName: &s.name}))
	if aws.ToString(again.Cluster.ClusterArn) != *made.ClusterArn {
		t.Errorf("made again: %+v", again.Cluster)
	}
	plain := s.describeCluster()
	if len(plain.Tags) != 0 || len(plain.Settings) != 0 || len(plain.Statistics) != 0 {
		t.Errorf("described without include: %+v", plain)
	}
	whole := s.describeCluster(types.ClusterFieldTags, types.ClusterFieldSettings, types.ClusterFieldStatistics)
	if len(whole.Tags) != 1 || *whole.Tags[0].Key != "team" || len(whole.Settings) == 0 || whole.Settings[0].Name != types.ClusterSettingNameContainerInsights {
		t.Errorf("described with include: %+v", whole)
	}
	if !slices.ContainsFunc(whole.Statistics, func(kv types.KeyValuePair) bool {
		return aws.ToString(kv.Name) == "runningEC2TasksCount" && aws.ToString(kv.Value) == "0"
	}) {
		t.Errorf("statistics: %+v", whole.Statistics)
	}
	gone := must[ecs.DeleteClusterOutput](s)(s.ecs.DeleteCluster(s.ctx, &ecs.DeleteClusterInput{Cluster: made.ClusterArn}))
	if aws.ToString(gone.Cluster.Status) != "INACTIVE" {
		t.Errorf("deleted: %+v", gone.Cluster)
	}
}

func (s *suite) describeCluster(include ...types.ClusterField) types.Cluster {
	s.Helper()
	out := must[ecs.DescribeClustersOutput](s)(s.ecs.DescribeClusters(s.ctx, &ecs.DescribeClustersInput{Clusters: []string{s.name}, Include: include}))
	if len(out.Clusters) != 1 || len(out.Failures) != 0 {
		s.Fatalf("DescribeClusters: %+v", out)
	}
	return out.Clusters[0]
}

func TestClusterFailures(t *testing.T) {
	s := begin(t)
	out := must[ecs.DescribeClustersOutput](s)(s.ecs.DescribeClusters(s.ctx, &ecs.DescribeClustersInput{Clusters: []string{s.name}}))
	if len(out.Clusters) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" || *out.Failures[0].Arn != s.arn("cluster/"+s.name) {
		t.Errorf("a cluster that is not there: %+v", out)
	}
	_, err := s.ecs.DeleteCluster(s.ctx, &ecs.DeleteClusterInput{Cluster: &s.name})
	refused[*types.ClusterNotFoundException](s, err, "Cluster not found.")
	_, err = s.ecs.ListTasks(s.ctx, &ecs.ListTasksInput{Cluster: &s.name})
	refused[*types.ClusterNotFoundException](s, err, "Cluster not found.")
	_, err = s.ecs.CreateCluster(s.ctx, &ecs.CreateClusterInput{ClusterName: aws.String("not a name")})
	refused[*types.InvalidParameterException](s, err, "")
	_, err = s.ecs.CreateCluster(s.ctx, &ecs.CreateClusterInput{ClusterName: aws.String(strings.Repeat("a", 256))})
	refused[*types.InvalidParameterException](s, err, "")
}

// TestClusterInUse: a cluster with instances is not deleted.
func TestClusterInUse(t *testing.T) {
	s := beginOnInstances(t)
	_, err := s.ecs.DeleteCluster(s.ctx, &ecs.DeleteClusterInput{Cluster: &s.cluster})
	refused[*types.ClusterContainsContainerInstancesException](s, err, "")
}

func TestClusterPages(t *testing.T) {
	s := begin(t)
	s.newCluster()
	pages := ecs.NewListClustersPaginator(s.ecs, &ecs.ListClustersInput{MaxResults: aws.Int32(1)})
	found := false
	for n := 0; pages.HasMorePages(); n++ {
		page := must[ecs.ListClustersOutput](s)(pages.NextPage(s.ctx))
		if len(page.ClusterArns) > 1 {
			t.Fatalf("a page of %d", len(page.ClusterArns))
		}
		found = found || slices.Contains(page.ClusterArns, s.arn("cluster/"+s.name))
	}
	if !found {
		t.Error("the pages do not have the cluster")
	}
	_, err := s.ecs.ListClusters(s.ctx, &ecs.ListClustersInput{MaxResults: aws.Int32(101)})
	refused[*types.InvalidParameterException](s, err, "")
	_, err = s.ecs.ListClusters(s.ctx, &ecs.ListClustersInput{NextToken: aws.String("made up")})
	refused[*types.InvalidParameterException](s, err, "")
}

// TestClustersCLI looks at what scripts read of the CLI's output.
func TestClustersCLI(t *testing.T) {
	s := begin(t)
	s.newCluster()
	out := s.cli("ecs", "describe-clusters", "--clusters", s.name, "missing-"+s.name)
	if at(out, "clusters", 0, "clusterName") != s.name || at(out, "clusters", 0, "registeredContainerInstancesCount") != 0.0 || at(out, "failures", 0, "reason") != "MISSING" {
		t.Errorf("describe-clusters: %v", out)
	}
	for _, empty := range []string{"statistics", "tags", "settings", "capacityProviders", "defaultCapacityProviderStrategy"} {
		if l, ok := at(out, "clusters", 0, empty).([]any); !ok || len(l) != 0 {
			t.Errorf("%s is %v, not an empty list", empty, at(out, "clusters", 0, empty))
		}
	}
	_, stderr, err := s.tryCLI("ecs", "delete-cluster", "--cluster", "missing-"+s.name)
	if err == nil || !strings.Contains(string(stderr), "An error occurred (ClusterNotFoundException) when calling the DeleteCluster operation: Cluster not found.") {
		t.Errorf("delete-cluster: %v, %s", err, stderr)
	}
}
