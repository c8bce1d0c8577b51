package ecsapi

import (
	"context"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// maxDescribeServices is how many services one call describes, and the largest page of a list of them.
const maxDescribeServices = 10

// DescribeServices describes up to ten services of a cluster, INACTIVE ones included.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
func (a *API) DescribeServices(_ context.Context, in *sdk.DescribeServicesInput) (*sdk.DescribeServicesOutput, error) {
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	switch n := len(in.Services); {
	case n == 0:
		return nil, fault.New(fault.InvalidParameter, "Services cannot be empty.")
	case n > maxDescribeServices:
		return nil, fault.New(fault.InvalidParameter, "Services cannot contain more than %d entries.", maxDescribeServices)
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &sdk.DescribeServicesOutput{Services: []types.Service{}, Failures: []types.Failure{}}
	for _, ref := range in.Services {
		s, err := a.service(t, ref, name)
		if err != nil {
			return nil, err
		}
		if s == nil {
			out.Failures = append(out.Failures, types.Failure{Arn: a.missingARN(ref, kindService, name), Reason: ptr(reasonMissing)})
			continue
		}
		out.Services = append(out.Services, *a.wireService(t, s, include[types.ServiceFieldTags]))
	}
	return out, nil
}

// ListServices lists the services of a cluster that are not INACTIVE, by name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html
func (a *API) ListServices(_ context.Context, in *sdk.ListServicesInput) (*sdk.ListServicesOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	switch {
	case in.LaunchType != "" && !known(in.LaunchType):
		return nil, fault.New(fault.InvalidParameter, "Invalid launchType: %q.", string(in.LaunchType))
	case in.SchedulingStrategy != "" && !known(in.SchedulingStrategy):
		return nil, fault.New(fault.InvalidParameter, "Invalid schedulingStrategy: %q.", string(in.SchedulingStrategy))
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	p, err := newPagerOf(maxPage, in.MaxResults, in.NextToken, "ListServices", name, string(in.LaunchType), string(in.SchedulingStrategy))
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		p.limit = maxDescribeServices
	}
	names := func(yield func(string) bool) {
		for s := range t.Services.Under(name) {
			if s.Status == ecs.ServiceInactive || in.SchedulingStrategy != "" && string(in.SchedulingStrategy) != s.SchedulingStrategy ||
				in.LaunchType != "" && (s.Primary() == nil || launchTypes(s.Primary().LaunchType) != in.LaunchType) {
				continue
			}
			if !yield(s.Name) {
				return
			}
		}
	}
	found, next := page(p, names, itself, func(name, after string) bool { return name > after })
	for i := range found {
		found[i] = a.Place.ServiceARN(name, found[i])
	}
	return &sdk.ListServicesOutput{ServiceArns: found, NextToken: next}, nil
}

func launchTypes(s string) types.LaunchType { return types.LaunchType(s) }

// wireService describes a service with the counts of its tasks and its last events, the newest first.
func (a *API) wireService(t *state.Tables, s *ecs.Service, tags bool) *types.Service {
	created, arn, cluster := moment(s.CreatedAt), a.Place.ServiceARN(s.Cluster, s.Name), a.Place.ClusterARN(s.Cluster)
	status := string(s.Status)
	out := &types.Service{
		ServiceName: &s.Name, ServiceArn: &arn, ClusterArn: &cluster, Status: &status, CreatedAt: created, CreatedBy: ptr(s.CreatedBy),
		DesiredCount: s.DesiredCount, SchedulingStrategy: types.SchedulingStrategy(s.SchedulingStrategy), EnableECSManagedTags: s.EnableECSManagedTags,
		PropagateTags: types.PropagateTagsNone, DeploymentController: &types.DeploymentController{Type: types.DeploymentControllerTypeEcs},
		AvailabilityZoneRebalancing: types.AvailabilityZoneRebalancing(s.ZoneRebalancing),
		DeploymentConfiguration:     wireDeploymentConfiguration(&s.DeploymentConfiguration),
		LoadBalancers:               []types.LoadBalancer{}, ServiceRegistries: []types.ServiceRegistry{}, Deployments: []types.Deployment{}, Events: []types.ServiceEvent{},
		PlacementConstraints: []types.PlacementConstraint{}, PlacementStrategy: []types.PlacementStrategy{},
	}
	if s.PropagateTags != "" {
		out.PropagateTags = types.PropagateTags(s.PropagateTags)
	}
	for i := range s.Deployments {
		d := a.wireDeployment(t, s, &s.Deployments[i])
		out.RunningCount += d.RunningCount
		out.PendingCount += d.PendingCount
		out.Deployments = append(out.Deployments, d)
	}
	if s.External() {
		a.wireExternal(t, s, out, tags)
	}
	if p := s.Primary(); p != nil {
		a.wirePrimary(out, p)
	}
	a.wireCurrent(t, s, out)
	for e := range t.ServiceEvents.Under(s.Key()) {
		out.Events = append(out.Events, types.ServiceEvent{Id: &e.ID, CreatedAt: moment(e.CreatedAt), Message: &e.Message})
	}
	slices.Reverse(out.Events)
	if tags && len(s.Tags) > 0 {
		out.Tags = wireTags(s.Tags)
	}
	return out
}

// wireExternal describes the task sets of a service.
func (a *API) wireExternal(t *state.Tables, s *ecs.Service, out *types.Service, tags bool) {
	out.DeploymentController = &types.DeploymentController{Type: types.DeploymentControllerTypeExternal}
	out.DeploymentConfiguration.Strategy = ""
	out.TaskSets = []types.TaskSet{}
	for i := range s.TaskSets {
		set := a.wireTaskSet(t, s, &s.TaskSets[i], tags)
		out.RunningCount += set.RunningCount
		out.PendingCount += set.PendingCount
		out.TaskSets = append(out.TaskSets, set)
	}
	if s.Primary() == nil && s.Base != nil {
		a.wirePlacement(out, s.Base)
	}
}

// wirePrimary describes what the service's tasks are.
func (a *API) wirePrimary(out *types.Service, p *ecs.Deployment) {
	arn := a.Place.DefinitionARN(p.Definition)
	out.TaskDefinition = &arn
	out.PlatformVersion, out.PlatformFamily = ptr(p.PlatformVersion), platformFamily(p)
	out.CapacityProviderStrategy = mirror.Slice[types.CapacityProviderStrategyItem](p.CapacityProviderStrategy)
	if len(p.CapacityProviderStrategy) == 0 {
		out.LaunchType = launchTypes(p.LaunchType)
	}
	a.wirePlacement(out, p)
	out.NetworkConfiguration = wireNetwork(p)
}

func (a *API) wirePlacement(out *types.Service, p *ecs.Deployment) {
	out.EnableExecuteCommand = p.EnableExecuteCommand
	out.PlacementConstraints = append(out.PlacementConstraints, mirror.Slice[types.PlacementConstraint](p.PlacementConstraints)...)
	out.PlacementStrategy = append(out.PlacementStrategy, mirror.Slice[types.PlacementStrategy](placement.NormalizeStrategy(p.PlacementStrategy))...)
}

func (a *API) wireDeployment(t *state.Tables, s *ecs.Service, d *ecs.Deployment) types.Deployment {
	n := t.DeploymentCounts(s.Cluster, d.ID)
	arn := a.Place.DefinitionARN(d.Definition)
	out := types.Deployment{
		Id: &d.ID, Status: &d.Status, TaskDefinition: &arn, CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(d.UpdatedAt),
		RunningCount: n.Running, PendingCount: n.Pending, FailedTasks: d.FailedTasks,
		RolloutState: types.DeploymentRolloutState(d.RolloutState), RolloutStateReason: ptr(d.RolloutStateReason),
		PlatformVersion: ptr(d.PlatformVersion), PlatformFamily: platformFamily(d), NetworkConfiguration: wireNetwork(d),
		CapacityProviderStrategy: mirror.Slice[types.CapacityProviderStrategyItem](d.CapacityProviderStrategy),
	}
	if len(d.CapacityProviderStrategy) == 0 {
		out.LaunchType = launchTypes(d.LaunchType)
	}
	if d.Status == ecs.DeploymentPrimary {
		out.DesiredCount = s.DesiredCount
	}
	return out
}

func wireNetwork(d *ecs.Deployment) *types.NetworkConfiguration {
	if d.NetworkConfiguration == nil {
		return nil
	}
	out := mirror.Of[types.NetworkConfiguration](d.NetworkConfiguration)
	return &out
}

// platformFamily is that of Fargate alone.
func platformFamily(d *ecs.Deployment) *string {
	if d.PlatformVersion == "" {
		return nil
	}
	return ptr("Linux")
}

// servicesOf counts a cluster's services that are not INACTIVE.
func servicesOf(t *state.Tables, cluster string) serviceCounts {
	n := serviceCounts{active: map[string]int32{}, draining: map[string]int32{}}
	for s := range t.Services.Under(cluster) {
		launch := ecs.LaunchEC2
		if p := s.Primary(); p != nil && p.LaunchType != "" {
			launch = p.LaunchType
		}
		switch s.Status {
		case ecs.ServiceActive:
			n.active[launch]++
			n.activeAll++
		case ecs.ServiceDraining:
			n.draining[launch]++
			n.drainingAll++
		}
	}
	return n
}

// serviceCounts are numbers of services, in all and by launch type.
type serviceCounts struct {
	activeAll, drainingAll int32
	active, draining       map[string]int32
}
