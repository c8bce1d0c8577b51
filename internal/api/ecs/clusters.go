package ecsapi

import (
	"context"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// CreateCluster makes a cluster, or gives the ACTIVE one of that name if it is as the request says.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
func (a *API) CreateCluster(ctx context.Context, in *sdk.CreateClusterInput) (*sdk.CreateClusterOutput, error) {
	r, err := a.readCluster(ctx, in)
	if err != nil {
		return nil, err
	}
	var out types.Cluster
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		c, err := a.createCluster(tx, r)
		if err != nil {
			return err
		}
		out = a.wireCluster(&tx.Tables, c, everyClusterField)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.CreateClusterOutput{Cluster: &out}, nil
}

// clusterRequest is what a request says of a cluster, checked as far as it can be without the state.
type clusterRequest struct {
	name          string
	principal     string
	tags          []ecs.Tag
	settings      []ecs.ClusterSetting
	configuration *ecs.ClusterConfiguration
	providers     []string
	strategy      []ecs.CapacityProviderStrategyItem
	namespace     *types.ClusterServiceConnectDefaultsRequest
}

func (a *API) readCluster(ctx context.Context, in *sdk.CreateClusterInput) (r clusterRequest, err error) {
	r = clusterRequest{name: str(in.ClusterName), principal: a.callerPrincipal(ctx), namespace: in.ServiceConnectDefaults}
	if r.name == "" {
		r.name = defaultCluster
	}
	if !clusterName.MatchString(r.name) {
		return r, fault.New(fault.InvalidParameter, "ClusterName contains invalid characters or is longer than 255.")
	}
	if r.tags, err = tags(in.Tags); err != nil {
		return r, err
	}
	if r.settings, err = clusterSettings(in.Settings); err != nil {
		return r, err
	}
	if r.configuration, err = clusterConfiguration(in.Configuration); err != nil {
		return r, err
	}
	if r.providers, err = a.readProviders(in.CapacityProviders); err != nil {
		return r, err
	}
	if r.strategy, err = a.strategy(in.DefaultCapacityProviderStrategy); err != nil {
		return r, err
	}
	return r, a.checkNamespace(in.ServiceConnectDefaults)
}

func (a *API) createCluster(tx *state.Tx, r clusterRequest) (*ecs.Cluster, error) {
	connect, err := a.namespace(&tx.Tables, r.namespace)
	if err != nil {
		return nil, err
	}
	if old := tx.Clusters.Get(r.name); old != nil && old.Status == ecs.ClusterActive {
		if !r.agrees(old, connect) {
			return nil, fault.New(fault.InvalidParameter, "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return old, nil
	}
	if err := checkProviders(&tx.Tables, r.providers); err != nil {
		return nil, err
	}
	settings := r.settings
	if settings == nil {
		insights := effective(&tx.Tables, r.principal, types.SettingNameContainerInsights)
		settings = []ecs.ClusterSetting{{Name: ecs.SettingContainerInsights, Value: insights.Value}}
	}
	c := &ecs.Cluster{
		Name: r.name, Status: ecs.ClusterActive, Tags: r.tags, Settings: settings, Configuration: r.configuration,
		CapacityProviders: r.providers, DefaultCapacityProviderStrategy: r.strategy, ServiceConnectDefaults: connect,
	}
	if err := checkStrategy(&tx.Tables, c, c.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	tx.Clusters.Put(c)
	return c, nil
}

// agrees tells whether a cluster is as a request says. What the request does not say may be as it is, and so may tags.
func (r *clusterRequest) agrees(c *ecs.Cluster, connect *ecs.ClusterServiceConnectDefaults) bool {
	for _, t := range r.tags {
		if !slices.Contains(c.Tags, t) {
			return false
		}
	}
	return (r.settings == nil || slices.Equal(r.settings, c.Settings)) &&
		sameConfiguration(r.configuration, c.Configuration) &&
		(r.providers == nil || slices.Equal(r.providers, c.CapacityProviders)) &&
		(r.strategy == nil || slices.Equal(r.strategy, c.DefaultCapacityProviderStrategy)) &&
		(connect == nil || c.ServiceConnectDefaults != nil && c.ServiceConnectDefaults.Namespace == connect.Namespace)
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

// DeleteCluster makes a cluster INACTIVE, unless it has instances, tasks or services. Its capacity providers are free for others.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html
func (a *API) DeleteCluster(ctx context.Context, in *sdk.DeleteClusterInput) (*sdk.DeleteClusterOutput, error) {
	var out types.Cluster
	err := a.changeCluster(ctx, in.Cluster, func(tx *state.Tx, c *ecs.Cluster) error {
		n := tx.ClusterCounts(c.Name)
		switch {
		case n.Instances > 0:
			return fault.New(fault.ClusterHasInstances, "The Cluster cannot be deleted while Container Instances are active or draining.")
		case n.Live > 0:
			return fault.New(fault.ClusterHasTasks, "The Cluster cannot be deleted while Tasks are active.")
		}
		if s := servicesOf(&tx.Tables, c.Name); s.activeAll+s.drainingAll > 0 {
			return fault.New(fault.ClusterHasServices, "The Cluster cannot be deleted while Services are active.")
		}
		for range tx.Daemons.Under(c.Name) {
			return fault.New(fault.ClusterHasServices, "The Cluster cannot be deleted while Daemons are active.")
		}
		c.Status = ecs.ClusterInactive
		c.CapacityProviders, c.DefaultCapacityProviderStrategy = nil, nil
		out = a.wireCluster(&tx.Tables, c, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteClusterOutput{Cluster: &out}, nil
}

// changeCluster hands change a copy of an ACTIVE cluster, which must be named, and puts it if there is no error.
func (a *API) changeCluster(ctx context.Context, ref *string, change func(*state.Tx, *ecs.Cluster) error) error {
	if str(ref) == "" {
		return fault.New(fault.InvalidParameter, "Cluster can not be null or empty.")
	}
	name, err := a.clusterRef(ref)
	if err != nil {
		return err
	}
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := cluster(&tx.Tables, name)
		if err != nil {
			return err
		}
		c := *old
		if err := change(tx, &c); err != nil {
			return err
		}
		tx.Clusters.Put(&c)
		return nil
	})
}
