package ecsapi

import (
	"context"
	"strconv"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// The one cluster setting, and its default.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterSetting.html
const (
	settingInsights  = "containerInsights"
	insightsDisabled = "disabled"
)

// CreateCluster makes a cluster, or gives the ACTIVE one of that name as it is.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
func (a *API) CreateCluster(ctx context.Context, in *sdk.CreateClusterInput) (*sdk.CreateClusterOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	name := str(in.ClusterName)
	if name == "" {
		name = defaultCluster
	}
	if !clusterName.MatchString(name) {
		return nil, fault.New(fault.InvalidParameter, "ClusterName contains invalid characters or is longer than 255.")
	}
	given, err := tags(in.Tags)
	if err != nil {
		return nil, err
	}
	settings, err := clusterSettings(in.Settings)
	if err != nil {
		return nil, err
	}
	c := &ecs.Cluster{Name: name, Status: ecs.ClusterActive, Tags: given, Settings: settings}
	if in.Configuration != nil {
		configuration := mirror.Of[ecs.ClusterConfiguration](in.Configuration)
		c.Configuration = &configuration
	}
	var out types.Cluster
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if old := tx.Clusters.Get(name); old != nil && old.Status == ecs.ClusterActive {
			c = old
		} else {
			tx.Clusters.Put(c)
		}
		out = a.wireCluster(&tx.Tables, c, everyClusterField)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Statistics = []types.KeyValuePair{}
	return &sdk.CreateClusterOutput{Cluster: &out}, nil
}

func clusterSettings(in []types.ClusterSetting) ([]ecs.ClusterSetting, error) {
	out := []ecs.ClusterSetting{{Name: settingInsights, Value: insightsDisabled}}
	for _, s := range in {
		if s.Name != types.ClusterSettingNameContainerInsights {
			return nil, fault.New(fault.InvalidParameter, "Setting name %q is not valid.", s.Name)
		}
		switch v := str(s.Value); v {
		case insightsDisabled:
		case "enabled", "enhanced":
			return nil, fault.New(fault.Unsupported, "settings: containerInsights %s is not supported yet.", v)
		default:
			return nil, fault.New(fault.InvalidParameter, "Setting value %q is not valid for containerInsights.", v)
		}
	}
	return out, nil
}

// DescribeClusters describes up to 100 clusters, the default one if none is named. INACTIVE ones are described too.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeClusters.html
func (a *API) DescribeClusters(_ context.Context, in *sdk.DescribeClustersInput) (*sdk.DescribeClustersOutput, error) {
	if len(in.Clusters) > maxDescribe {
		return nil, tooMany("Clusters")
	}
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	refs := in.Clusters
	if len(refs) == 0 {
		refs = []string{defaultCluster}
	}
	out := &sdk.DescribeClustersOutput{Clusters: []types.Cluster{}, Failures: []types.Failure{}}
	t := &a.Store.View().Tables
	for _, ref := range refs {
		name, err := a.clusterRef(&ref)
		if err != nil {
			return nil, err
		}
		if c := t.Clusters.Get(name); c != nil {
			out.Clusters = append(out.Clusters, a.wireCluster(t, c, include))
			continue
		}
		arn := a.Place.ClusterARN(name)
		out.Failures = append(out.Failures, types.Failure{Arn: &arn, Reason: ptr(reasonMissing)})
	}
	return out, nil
}

// ListClusters lists the ACTIVE clusters by name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListClusters.html
func (a *API) ListClusters(_ context.Context, in *sdk.ListClustersInput) (*sdk.ListClustersOutput, error) {
	p, err := newPager(in.MaxResults, in.NextToken, "ListClusters")
	if err != nil {
		return nil, err
	}
	active := func(yield func(string) bool) {
		for c := range a.Store.View().Clusters.All() {
			if c.Status == ecs.ClusterActive && !yield(c.Name) {
				return
			}
		}
	}
	names, next := page(p, active, itself, func(name, after string) bool { return name > after })
	for i := range names {
		names[i] = a.Place.ClusterARN(names[i])
	}
	return &sdk.ListClustersOutput{ClusterArns: names, NextToken: next}, nil
}

func itself(s string) string { return s }

// DeleteCluster makes a cluster INACTIVE, unless it has instances or tasks.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html
func (a *API) DeleteCluster(ctx context.Context, in *sdk.DeleteClusterInput) (*sdk.DeleteClusterOutput, error) {
	if str(in.Cluster) == "" {
		return nil, fault.New(fault.InvalidParameter, "Cluster can not be null or empty.")
	}
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	var out types.Cluster
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := cluster(&tx.Tables, name)
		if err != nil {
			return err
		}
		if tx.ClusterCounts(name).Instances > 0 {
			return fault.New(fault.ClusterHasInstances, "The Cluster cannot be deleted while Container Instances are active or draining.")
		}
		if hasLiveTask(&tx.Tables, name) {
			return fault.New(fault.ClusterHasTasks, "The Cluster cannot be deleted while Tasks are active.")
		}
		c := *old
		c.Status = ecs.ClusterInactive
		tx.Clusters.Put(&c)
		out = a.wireCluster(&tx.Tables, &c, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteClusterOutput{Cluster: &out}, nil
}

// hasLiveTask looks at the counts first; a task that is stopping is in none of them.
func hasLiveTask(t *state.Tables, name string) bool {
	if n := t.ClusterCounts(name); n.Running+n.Pending > 0 {
		return true
	}
	for task := range t.Tasks.InCluster(name) {
		if task.LastStatus < ecs.TaskStopped {
			return true
		}
	}
	return false
}

var everyClusterField = map[types.ClusterField]bool{
	types.ClusterFieldAttachments: true, types.ClusterFieldConfigurations: true, types.ClusterFieldSettings: true,
	types.ClusterFieldTags: true,
}

// included reads an include list, and refuses a word that AWS does not have.
func included[F interface {
	~string
	Values() []F
}](in []F) (map[F]bool, error) {
	out := make(map[F]bool, len(in))
	for _, f := range in {
		if !known(f) {
			return nil, fault.New(fault.InvalidParameter, "Invalid value for include: %q.", string(f))
		}
		out[f] = true
	}
	return out, nil
}

// known tells whether AWS has the value in its enumeration.
func known[E interface {
	~string
	Values() []E
}](e E) bool {
	for _, v := range e.Values() {
		if v == e {
			return true
		}
	}
	return false
}

func (a *API) wireCluster(t *state.Tables, c *ecs.Cluster, include map[types.ClusterField]bool) types.Cluster {
	arn, n := a.Place.ClusterARN(c.Name), t.ClusterCounts(c.Name)
	status := string(c.Status)
	out := types.Cluster{
		ClusterArn:                        &arn,
		ClusterName:                       &c.Name,
		Status:                            &status,
		RunningTasksCount:                 n.Running,
		PendingTasksCount:                 n.Pending,
		RegisteredContainerInstancesCount: n.Instances,
		CapacityProviders:                 []string{},
		DefaultCapacityProviderStrategy:   []types.CapacityProviderStrategyItem{},
		Settings:                          []types.ClusterSetting{},
		Statistics:                        []types.KeyValuePair{},
		Tags:                              []types.Tag{},
	}
	if include[types.ClusterFieldSettings] {
		out.Settings = append(out.Settings, mirror.Slice[types.ClusterSetting](c.Settings)...)
	}
	if include[types.ClusterFieldTags] {
		out.Tags = wireTags(c.Tags)
	}
	if include[types.ClusterFieldAttachments] {
		out.Attachments = []types.Attachment{}
	}
	if include[types.ClusterFieldConfigurations] && c.Configuration != nil {
		configuration := mirror.Of[types.ClusterConfiguration](c.Configuration)
		out.Configuration = &configuration
	}
	if include[types.ClusterFieldStatistics] {
		out.Statistics = statistics(t, c.Name)
	}
	return out
}

// statistics counts a cluster's tasks by where they run, in ECS's order. It looks at each task that is not of EC2.
func statistics(t *state.Tables, name string) []types.KeyValuePair {
	n := t.ClusterCounts(name)
	var external state.Counts
	for task := range t.Tasks.InCluster(name) {
		if task.LaunchType != ecs.LaunchExternal {
			continue
		}
		switch {
		case task.LastStatus == ecs.TaskRunning:
			external.Running++
		case task.LastStatus < ecs.TaskRunning && task.DesiredStatus == ecs.TaskRunning:
			external.Pending++
		}
	}
	var out []types.KeyValuePair
	add := func(key string, value int32) {
		text := strconv.Itoa(int(value))
		out = append(out, types.KeyValuePair{Name: &key, Value: &text})
	}
	add("runningEC2TasksCount", n.Running-external.Running)
	add("runningFargateTasksCount", 0)
	add("runningExternalTasksCount", external.Running)
	add("pendingEC2TasksCount", n.Pending-external.Pending)
	add("pendingFargateTasksCount", 0)
	add("pendingExternalTasksCount", external.Pending)
	for _, key := range []string{"activeEC2ServiceCount", "activeFargateServiceCount", "activeExternalServiceCount",
		"drainingEC2ServiceCount", "drainingFargateServiceCount", "drainingExternalServiceCount"} {
		add(key, 0)
	}
	return out
}
