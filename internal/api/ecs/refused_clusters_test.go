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

var refusedClusters = []refused{
	{"name", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("a b")}))
	}, "InvalidParameterException: ClusterName contains invalid characters or is longer than 255."},
	{"long name", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String(strings.Repeat("a", 256))}))
	}, "InvalidParameterException: ClusterName contains invalid characters or is longer than 255."},
	{"tag", func(f *fixture) error {
		return only(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("x"), Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}))
	}, "InvalidParameterException: Tag keys starting with 'aws:' are reserved for AWS use."},
	{"too many tags", func(f *fixture) error {
		in := &sdk.CreateClusterInput{ClusterName: aws.String("x")}
		for i := range 51 {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(fmt.Sprint(i))})
		}
		return only(f.CreateCluster(f.ctx, in))
	}, "InvalidParameterException: The maximum number of tags is 50."},
	{"include", func(f *fixture) error {
		return only(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Include: []types.ClusterField{"X"}}))
	}, `InvalidParameterException: Invalid value for include: "X".`},
	{"too many", func(f *fixture) error {
		return only(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Clusters: many(101)}))
	}, "InvalidParameterException: Clusters cannot contain more than 100 entries."},
	{"other account", func(f *fixture) error {
		return only(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{Clusters: []string{otherAccount}}))
	}, "InvalidParameterException: Identifier is for 111111111111. Your accountId is 000000000000"},
	{"page size", func(f *fixture) error {
		return only(f.ListClusters(f.ctx, &sdk.ListClustersInput{MaxResults: aws.Int32(101)}))
	}, "InvalidParameterException: maxResults must be between 1 and 100."},
	{"token", func(f *fixture) error {
		return only(f.ListClusters(f.ctx, &sdk.ListClustersInput{NextToken: aws.String("nonsense")}))
	}, "InvalidParameterException: Invalid token."},
	{"delete without a name", func(f *fixture) error {
		return only(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{}))
	}, "InvalidParameterException: Cluster can not be null or empty."},
	{"delete what is not there", func(f *fixture) error {
		return only(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("none")}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"delete with instances", func(f *fixture) error {
		return only(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("default")}))
	}, "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while Container Instances are active or draining."},
	{"taken", createCluster(func(in *sdk.CreateClusterInput) {
		in.ClusterName, in.Settings = aws.String("default"), insights("enabled")
	}), "InvalidParameterException: Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."},
	{"insights", createCluster(func(in *sdk.CreateClusterInput) { in.Settings = insights("X") }),
		`InvalidParameterException: Setting value "X" is not valid for containerInsights.`},
	{"setting", createCluster(func(in *sdk.CreateClusterInput) { in.Settings = []types.ClusterSetting{{Name: "X"}} }),
		`InvalidParameterException: Setting name "X" is not valid.`},
	{"setting twice", createCluster(func(in *sdk.CreateClusterInput) {
		in.Settings = append(insights("enabled"), insights("disabled")...)
	}), `InvalidParameterException: Setting name "containerInsights" is given more than once.`},
	{"logging", createCluster(execute(types.ExecuteCommandConfiguration{Logging: "X"})),
		`InvalidParameterException: Invalid value for executeCommandConfiguration.logging: "X".`},
	{"no log configuration", createCluster(execute(types.ExecuteCommandConfiguration{Logging: "OVERRIDE"})),
		"InvalidParameterException: executeCommandConfiguration.logConfiguration is required when logging is OVERRIDE."},
	{"empty log configuration", createCluster(execute(types.ExecuteCommandConfiguration{Logging: "OVERRIDE", LogConfiguration: &types.ExecuteCommandLogConfiguration{}})),
		"InvalidParameterException: executeCommandConfiguration.logConfiguration must name a CloudWatch log group or an S3 bucket when logging is OVERRIDE."},
	{"encrypted group", createCluster(execute(types.ExecuteCommandConfiguration{LogConfiguration: &types.ExecuteCommandLogConfiguration{CloudWatchEncryptionEnabled: true}})),
		"InvalidParameterException: executeCommandConfiguration.logConfiguration: cloudWatchEncryptionEnabled needs cloudWatchLogGroupName."},
	{"encrypted bucket", createCluster(execute(types.ExecuteCommandConfiguration{LogConfiguration: &types.ExecuteCommandLogConfiguration{S3EncryptionEnabled: true}})),
		"InvalidParameterException: executeCommandConfiguration.logConfiguration: s3EncryptionEnabled and s3KeyPrefix need s3BucketName."},
	{"long key", createCluster(execute(types.ExecuteCommandConfiguration{KmsKeyId: aws.String(strings.Repeat("k", 2049))})),
		"InvalidParameterException: Invalid value for executeCommandConfiguration.kmsKeyId."},
	{"key of many regions", createCluster(func(in *sdk.CreateClusterInput) {
		in.Configuration = &types.ClusterConfiguration{ManagedStorageConfiguration: &types.ManagedStorageConfiguration{KmsKeyId: aws.String("arn:aws:kms:us-east-1:000000000000:key/mrk-1")}}
	}), "InvalidParameterException: Invalid value for managedStorageConfiguration.kmsKeyId: the key must be a single Region key."},
	{"Fargate's key of many regions", createCluster(func(in *sdk.CreateClusterInput) {
		in.Configuration = &types.ClusterConfiguration{ManagedStorageConfiguration: &types.ManagedStorageConfiguration{FargateEphemeralStorageKmsKeyId: aws.String("mrk-1")}}
	}), "InvalidParameterException: Invalid value for managedStorageConfiguration.fargateEphemeralStorageKmsKeyId: the key must be a single Region key."},
	{"no namespace", createCluster(func(in *sdk.CreateClusterInput) {
		in.ServiceConnectDefaults = &types.ClusterServiceConnectDefaultsRequest{}
	}),
		"InvalidParameterException: serviceConnectDefaults.namespace can not be null."},
	{"namespace", createCluster(namespace("a/b")),
		"InvalidParameterException: Invalid namespace: a name has at most 1024 characters and none of < > \" /."},
	{"namespace of others", createCluster(namespace("arn:aws:servicediscovery:us-east-1:111111111111:namespace/ns-1")),
		"InvalidParameterException: Invalid namespace: arn:aws:servicediscovery:us-east-1:111111111111:namespace/ns-1 is not the ARN of a namespace of this account and region."},
	{"unknown namespace", createCluster(namespace("arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-1")),
		"NamespaceNotFoundException: The specified namespace wasn't found: arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-1"},
	{"unknown provider", createCluster(func(in *sdk.CreateClusterInput) { in.CapacityProviders = []string{"none"} }),
		"InvalidParameterException: The specified capacity provider 'none' was not found. Specify a valid name or ARN and try again."},
	{"provider's name", createCluster(func(in *sdk.CreateClusterInput) { in.CapacityProviders = []string{"a b"} }),
		`InvalidParameterException: Invalid capacity provider identifier: "a b"`},
	{"provider's ARN", createCluster(func(in *sdk.CreateClusterInput) { in.CapacityProviders = []string{otherAccount} }),
		"InvalidParameterException: Identifier is for 111111111111. Your accountId is 000000000000"},
	{"strategy without providers", createCluster(func(in *sdk.CreateClusterInput) {
		in.DefaultCapacityProviderStrategy = defaultStrategy("FARGATE", 0, 1)
	}),
		notAssociated},
	{"update without a name", func(f *fixture) error { return only(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{})) },
		"InvalidParameterException: Cluster can not be null or empty."},
	{"update what is not there", func(f *fixture) error {
		return only(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("none")}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"update what is INACTIVE", func(f *fixture) error {
		return only(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("gone")}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"update, setting", func(f *fixture) error {
		return only(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("default"), Settings: insights("")}))
	}, `InvalidParameterException: Setting value "" is not valid for containerInsights.`},
	{"update, namespace", func(f *fixture) error {
		return only(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("default"), ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: aws.String("<")}}))
	}, "InvalidParameterException: Invalid namespace: a name has at most 1024 characters and none of < > \" /."},
	{"update, configuration", func(f *fixture) error {
		return only(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("default"), Configuration: &types.ClusterConfiguration{
			ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: "X"}}}))
	}, `InvalidParameterException: Invalid value for executeCommandConfiguration.logging: "X".`},
	{"no settings", func(f *fixture) error {
		return only(f.UpdateClusterSettings(f.ctx, &sdk.UpdateClusterSettingsInput{Cluster: aws.String("default")}))
	}, "InvalidParameterException: Settings can not be null or empty."},
	{"settings of what is not there", func(f *fixture) error {
		return only(f.UpdateClusterSettings(f.ctx, &sdk.UpdateClusterSettingsInput{Cluster: aws.String("none"), Settings: insights("enabled")}))
	}, "ClusterNotFoundException: Cluster not found."},
}

const notAssociated = "InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated " +
	"with the cluster. Associate the capacity provider with the cluster and try again."

func putProviders(change func(*sdk.PutClusterCapacityProvidersInput)) func(*fixture) error {
	return func(f *fixture) error {
		in := &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"), CapacityProviders: []string{"FARGATE", "FARGATE_SPOT", "group"},
			DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}
		change(in)
		return only(f.PutClusterCapacityProviders(f.ctx, in))
	}
}

func putStrategy(items ...types.CapacityProviderStrategyItem) func(*fixture) error {
	return putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.DefaultCapacityProviderStrategy = items })
}

func defaultStrategy(name string, base, weight int32) []types.CapacityProviderStrategyItem {
	return []types.CapacityProviderStrategyItem{{CapacityProvider: &name, Base: base, Weight: weight}}
}

func numbered(n int, prefix string) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return names
}

var refusedStrategies = []refused{
	{"no list", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.CapacityProviders = nil }),
		"InvalidParameterException: Capacity providers and the default capacity provider strategy can not be null: give an empty list for none."},
	{"no strategy", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.DefaultCapacityProviderStrategy = nil }),
		"InvalidParameterException: Capacity providers and the default capacity provider strategy can not be null: give an empty list for none."},
	{"no cluster", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.Cluster = nil }),
		"InvalidParameterException: Cluster can not be null or empty."},
	{"unknown cluster", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.Cluster = aws.String("none") }),
		"ClusterNotFoundException: Cluster not found."},
	{"unknown provider", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.CapacityProviders = []string{"none"} }),
		"InvalidParameterException: The specified capacity provider 'none' was not found. Specify a valid name or ARN and try again."},
	{"provider twice", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.CapacityProviders = []string{"group", "group"} }),
		"InvalidParameterException: The capacity provider group is given more than once."},
	{"too many providers", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.CapacityProviders = numbered(21, "p") }),
		"InvalidParameterException: A cluster can have a maximum of 20 capacity providers."},
	{"mix", putStrategy(append(defaultStrategy("FARGATE", 0, 1), defaultStrategy("group", 0, 1)...)...),
		"InvalidParameterException: A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again."},
	{"not associated", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) {
		in.CapacityProviders, in.DefaultCapacityProviderStrategy = []string{"FARGATE", "group"}, defaultStrategy("FARGATE_SPOT", 0, 1)
	}), notAssociated},
	{"twice", putStrategy(append(defaultStrategy("FARGATE", 0, 1), defaultStrategy("FARGATE", 0, 2)...)...),
		"InvalidParameterException: The capacity provider strategy contains the capacity provider 'FARGATE' more than once."},
	{"bases", putStrategy(append(defaultStrategy("FARGATE", 1, 1), defaultStrategy("FARGATE_SPOT", 1, 1)...)...),
		"InvalidParameterException: Only one capacity provider in a capacity provider strategy can have a base defined."},
	{"base", putStrategy(defaultStrategy("FARGATE", 100001, 1)...), "InvalidParameterException: The base of a capacity provider must be between 0 and 100000."},
	{"negative base", putStrategy(defaultStrategy("FARGATE", -1, 1)...), "InvalidParameterException: The base of a capacity provider must be between 0 and 100000."},
	{"weight", putStrategy(defaultStrategy("FARGATE", 0, 1001)...), "InvalidParameterException: The weight of a capacity provider must be between 0 and 1000."},
	{"nobody", putStrategy(types.CapacityProviderStrategyItem{}), "InvalidParameterException: The capacity provider name cannot be null or empty."},
	{"too many", putStrategy(make([]types.CapacityProviderStrategyItem, 21)...),
		"InvalidParameterException: A capacity provider strategy can contain a maximum of 20 capacity providers."},
	{"in use", putProviders(func(in *sdk.PutClusterCapacityProvidersInput) { in.CapacityProviders = []string{"FARGATE"} }),
		"ResourceInUseException: The specified capacity provider is in use and cannot be removed."},
}

func createCluster(change func(*sdk.CreateClusterInput)) func(*fixture) error {
	return func(f *fixture) error {
		in := &sdk.CreateClusterInput{ClusterName: aws.String("x")}
		change(in)
		return only(f.CreateCluster(f.ctx, in))
	}
}

func insights(value string) []types.ClusterSetting {
	return []types.ClusterSetting{{Name: "containerInsights", Value: &value}}
}

func execute(c types.ExecuteCommandConfiguration) func(*sdk.CreateClusterInput) {
	return func(in *sdk.CreateClusterInput) {
		in.Configuration = &types.ClusterConfiguration{ExecuteCommandConfiguration: &c}
	}
}

func namespace(name string) func(*sdk.CreateClusterInput) {
	return func(in *sdk.CreateClusterInput) {
		in.ServiceConnectDefaults = &types.ClusterServiceConnectDefaultsRequest{Namespace: &name}
	}
}

func TestRefusedClusters(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(1000, 1000)
	f.provider("group")
	must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("gone")}))
	must(f.DeleteCluster(f.ctx, &sdk.DeleteClusterInput{Cluster: aws.String("gone")}))
	must(f.PutClusterCapacityProviders(f.ctx, &sdk.PutClusterCapacityProvidersInput{Cluster: aws.String("default"),
		CapacityProviders: []string{"FARGATE", "group"}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}))
	f.taskOf("group")
	t.Run("clusters", func(t *testing.T) { f.refuses(t, refusedClusters) })
	t.Run("strategies", func(t *testing.T) { f.refuses(t, refusedStrategies) })
}

// provider makes a capacity provider.
func (f *fixture) provider(name string, change ...func(*types.AutoScalingGroupProvider)) *types.CapacityProvider {
	f.t.Helper()
	in := &sdk.CreateCapacityProviderInput{Name: &name, AutoScalingGroupProvider: &types.AutoScalingGroupProvider{AutoScalingGroupArn: aws.String(groupOf(name))}}
	for _, c := range change {
		c(in.AutoScalingGroupProvider)
	}
	return must(f.CreateCapacityProvider(f.ctx, in)).CapacityProvider
}

func groupOf(name string) string {
	return "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/" + name
}

// taskOf puts a task as it is placed by a capacity provider.
func (f *fixture) taskOf(provider string) {
	f.t.Helper()
	err := f.store.Update(f.ctx, func(tx *state.Tx) error {
		tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "default", LastStatus: ecs.TaskStopping, DesiredStatus: ecs.TaskStopped, CapacityProvider: provider})
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}
