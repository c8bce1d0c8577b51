package ecsapi

import (
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// everyClusterField is what the answers to changes have; counts are for DescribeClusters alone.
var everyClusterField = map[types.ClusterField]bool{
	types.ClusterFieldAttachments: true, types.ClusterFieldConfigurations: true, types.ClusterFieldSettings: true,
	types.ClusterFieldTags: true,
}

func (a *API) wireCluster(t *state.Tables, c *ecs.Cluster, include map[types.ClusterField]bool) types.Cluster {
	arn, n := a.Place.ClusterARN(c.Name), t.ClusterCounts(c.Name)
	status, services := string(c.Status), servicesOf(t, c.Name)
	out := types.Cluster{
		ClusterArn:                        &arn,
		ClusterName:                       &c.Name,
		Status:                            &status,
		RunningTasksCount:                 n.Running,
		PendingTasksCount:                 n.Pending,
		RegisteredContainerInstancesCount: n.Instances,
		ActiveServicesCount:               services.activeAll,
		CapacityProviders:                 slices.Clone(c.CapacityProviders),
		DefaultCapacityProviderStrategy:   mirror.Slice[types.CapacityProviderStrategyItem](c.DefaultCapacityProviderStrategy),
		Settings:                          []types.ClusterSetting{},
		Statistics:                        []types.KeyValuePair{},
		Tags:                              []types.Tag{},
	}
	list(&out.CapacityProviders)
	list(&out.DefaultCapacityProviderStrategy)
	if d := c.ServiceConnectDefaults; d != nil {
		out.ServiceConnectDefaults = &types.ClusterServiceConnectDefaults{Namespace: &d.Namespace}
	}
	if include[types.ClusterFieldSettings] {
		out.Settings = append(out.Settings, mirror.Slice[types.ClusterSetting](c.Settings)...)
	}
	if include[types.ClusterFieldTags] {
		out.Tags = wireTags(c.Tags)
	}
	if include[types.ClusterFieldAttachments] {
		// There are no scaling policies or the like of capacity providers here, so nothing is attached, and at once.
		out.Attachments = []types.Attachment{}
		if len(c.CapacityProviders) > 0 {
			out.AttachmentsStatus = ptr("UPDATE_COMPLETE")
		}
	}
	if include[types.ClusterFieldConfigurations] && c.Configuration != nil {
		configuration := mirror.Of[types.ClusterConfiguration](c.Configuration)
		out.Configuration = &configuration
	}
	if include[types.ClusterFieldStatistics] {
		out.Statistics = statistics(n, services)
	}
	return out
}

// statistics are a cluster's counts by launch type, in ECS's order.
func statistics(n state.ClusterCounts, s serviceCounts) []types.KeyValuePair {
	var out []types.KeyValuePair
	add := func(key string, value int32) {
		text := strconv.Itoa(int(value))
		out = append(out, types.KeyValuePair{Name: &key, Value: &text})
	}
	add("runningEC2TasksCount", n.EC2.Running)
	add("runningFargateTasksCount", n.Fargate.Running)
	add("runningExternalTasksCount", n.External.Running)
	add("pendingEC2TasksCount", n.EC2.Pending)
	add("pendingFargateTasksCount", n.Fargate.Pending)
	add("pendingExternalTasksCount", n.External.Pending)
	for _, by := range []struct {
		state  string
		counts map[string]int32
	}{{"active", s.active}, {"draining", s.draining}} {
		add(by.state+"EC2ServiceCount", by.counts[ecs.LaunchEC2])
		add(by.state+"FargateServiceCount", by.counts[ecs.LaunchFargate])
		add(by.state+"ExternalServiceCount", by.counts[ecs.LaunchExternal])
	}
	return out
}
