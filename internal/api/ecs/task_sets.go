package ecsapi

import (
	"context"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// maxTaskSets is how many task sets a service has at most.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
const maxTaskSets = 5

const taskSetNotFound fault.Kind = "TaskSetNotFoundException"

var errNoTaskSet = fault.New(taskSetNotFound, "The specified task set does not exist.")

// changeTaskSets changes a copy of an ACTIVE EXTERNAL service, and describes the task set whose place the change gives. A negative
// place says that there is nothing to change, and names the one to describe by its complement.
func (a *API) changeTaskSets(ctx context.Context, clusterName, service *string, change func(*state.Tx, *ecs.Service) (int, error)) (*types.TaskSet, error) {
	if str(service) == "" {
		return nil, fault.New(fault.InvalidParameter, "Service cannot be empty.")
	}
	name, err := a.clusterRef(clusterName)
	if err != nil {
		return nil, err
	}
	var out types.TaskSet
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, name); err != nil {
			return err
		}
		old, err := a.activeService(&tx.Tables, *service, name)
		if err != nil {
			return err
		}
		if !old.External() {
			return fault.New(fault.InvalidParameter, "Amazon ECS only supports task set management on services configured to use external deployment controllers.")
		}
		s := *old
		s.TaskSets = slices.Clone(old.TaskSets)
		s.Progress.Steady = false
		at, err := change(tx, &s)
		switch {
		case err != nil:
			return err
		case at < 0:
			at = ^at
		default:
			tx.Services.Put(&s)
		}
		out = a.wireTaskSet(&tx.Tables, &s, &s.TaskSets[at], true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// scalePercent reads a part of the desired count.
func scalePercent(in *types.Scale) (float64, error) {
	switch {
	case in.Unit != "" && !known(in.Unit):
		return 0, fault.New(fault.InvalidParameter, "Invalid scale unit: %q.", string(in.Unit))
	case !(in.Value >= 0 && in.Value <= 100):
		return 0, fault.New(fault.InvalidParameter, "The scale value must be between 0.0 and 100.0.")
	}
	return in.Value, nil
}

// CreateTaskSet adds a task set to a service whose deployments another system controls.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateTaskSet.html
func (a *API) CreateTaskSet(ctx context.Context, in *sdk.CreateTaskSetInput) (*sdk.CreateTaskSetOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	if str(in.TaskDefinition) == "" {
		return nil, fault.New(fault.InvalidParameter, "TaskDefinition should not be null or empty.")
	}
	if len(str(in.ClientToken)) > 36 {
		return nil, fault.New(fault.InvalidParameter, "clientToken must be at most 36 characters long.")
	}
	set := ecs.TaskSet{ExternalID: str(in.ExternalId), ClientToken: str(in.ClientToken), Stability: ecs.StabilityStabilizing}
	var err error
	if in.Scale != nil {
		if set.ScalePercent, err = scalePercent(in.Scale); err != nil {
			return nil, err
		}
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, tags: in.Tags, network: in.NetworkConfiguration, launchType: in.LaunchType,
		strategy: in.CapacityProviderStrategy, platform: in.PlatformVersion,
	})
	if err != nil {
		return nil, err
	}
	set.Tags = r.given
	out, err := a.changeTaskSets(ctx, in.Cluster, in.Service, func(tx *state.Tx, s *ecs.Service) (int, error) {
		return a.addTaskSet(tx, s, *r, set)
	})
	if err != nil {
		return nil, err
	}
	return &sdk.CreateTaskSetOutput{TaskSet: out}, nil
}

func (a *API) addTaskSet(tx *state.Tx, s *ecs.Service, r taskRequest, set ecs.TaskSet) (int, error) {
	if i := slices.IndexFunc(s.TaskSets, func(t ecs.TaskSet) bool { return set.ClientToken != "" && t.ClientToken == set.ClientToken }); i >= 0 {
		return ^i, nil
	}
	if n := len(s.TaskSets); n >= maxTaskSets {
		return 0, fault.New(fault.InvalidParameter, "%d deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit.", n)
	}
	if s.Base != nil {
		r.constraints, r.order, r.exec = s.Base.PlacementConstraints, s.Base.PlacementStrategy, s.Base.EnableExecuteCommand
	}
	plan, err := a.resolve(&tx.Tables, &r)
	if err != nil {
		return 0, err
	}
	set.Deployment = deploymentOf(plan, a.now())
	set.Status, set.RolloutState, set.RolloutStateReason, set.StabilityAt = ecs.DeploymentActive, "", "", a.now()
	s.TaskSets = append(s.TaskSets, set)
	s.Progress = ecs.Progress{}
	return len(s.TaskSets) - 1, nil
}

// taskSet finds a task set of a service by its id or ARN.
func (a *API) taskSet(s *ecs.Service, ref string) (int, error) {
	id := ref
	if isARN(ref) {
		arn, err := a.arn(ref, kindTaskSet)
		if err != nil {
			return 0, err
		}
		rest, ok := strings.CutPrefix(arn.Cluster+"/"+arn.Resource, s.Key()+"/")
		if !ok {
			return 0, errNoTaskSet
		}
		id = rest
	}
	if i := slices.IndexFunc(s.TaskSets, func(t ecs.TaskSet) bool { return t.ID == id }); i >= 0 {
		return i, nil
	}
	return 0, errNoTaskSet
}

// UpdateTaskSet scales a task set.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskSet.html
func (a *API) UpdateTaskSet(ctx context.Context, in *sdk.UpdateTaskSetInput) (*sdk.UpdateTaskSetOutput, error) {
	if str(in.TaskSet) == "" {
		return nil, errEmptyTaskSet
	}
	if in.Scale == nil {
		return nil, fault.New(fault.InvalidParameter, "Scale cannot be empty.")
	}
	percent, err := scalePercent(in.Scale)
	if err != nil {
		return nil, err
	}
	out, err := a.changeTaskSets(ctx, in.Cluster, in.Service, func(_ *state.Tx, s *ecs.Service) (int, error) {
		i, err := a.taskSet(s, *in.TaskSet)
		if err != nil {
			return 0, err
		}
		if s.TaskSets[i].Status == ecs.TaskSetDraining {
			return 0, fault.New(fault.InvalidParameter, "The task set is DRAINING and cannot be updated.")
		}
		s.TaskSets[i].ScalePercent, s.TaskSets[i].UpdatedAt = percent, a.now()
		return i, nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UpdateTaskSetOutput{TaskSet: out}, nil
}

var errEmptyTaskSet = fault.New(fault.InvalidParameter, "Task set cannot be empty.")

// UpdateServicePrimaryTaskSet makes a task set the one that the service is described by.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateServicePrimaryTaskSet.html
func (a *API) UpdateServicePrimaryTaskSet(ctx context.Context, in *sdk.UpdateServicePrimaryTaskSetInput) (*sdk.UpdateServicePrimaryTaskSetOutput, error) {
	if str(in.PrimaryTaskSet) == "" {
		return nil, errEmptyTaskSet
	}
	out, err := a.changeTaskSets(ctx, in.Cluster, in.Service, func(_ *state.Tx, s *ecs.Service) (int, error) {
		at, err := a.taskSet(s, *in.PrimaryTaskSet)
		if err != nil {
			return 0, err
		}
		if s.TaskSets[at].Status == ecs.TaskSetDraining {
			return 0, fault.New(fault.InvalidParameter, "The task set is DRAINING and cannot be the primary task set.")
		}
		for i := range s.TaskSets {
			set := &s.TaskSets[i]
			switch {
			case i == at && set.Status != ecs.DeploymentPrimary:
				set.Status, set.UpdatedAt = ecs.DeploymentPrimary, a.now()
			case i != at && set.Status == ecs.DeploymentPrimary:
				set.Status, set.UpdatedAt = ecs.DeploymentActive, a.now()
			}
		}
		return at, nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UpdateServicePrimaryTaskSetOutput{TaskSet: out}, nil
}

// DeleteTaskSet lets a task set end: it is DRAINING until its last task has stopped.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskSet.html
func (a *API) DeleteTaskSet(ctx context.Context, in *sdk.DeleteTaskSetInput) (*sdk.DeleteTaskSetOutput, error) {
	if str(in.TaskSet) == "" {
		return nil, errEmptyTaskSet
	}
	force := in.Force != nil && *in.Force
	out, err := a.changeTaskSets(ctx, in.Cluster, in.Service, func(_ *state.Tx, s *ecs.Service) (int, error) {
		i, err := a.taskSet(s, *in.TaskSet)
		if err != nil {
			return 0, err
		}
		set := &s.TaskSets[i]
		switch {
		case set.Status == ecs.TaskSetDraining:
			return ^i, nil
		case !force && set.Status == ecs.DeploymentPrimary:
			return 0, fault.New(fault.InvalidParameter, "The primary task set cannot be deleted. Use the force option, or make another one the primary task set, and try again.")
		case !force && set.Computed(s.DesiredCount) > 0:
			return 0, fault.New(fault.InvalidParameter, "The task set cannot be deleted while it is scaled above 0.")
		}
		set.Status, set.UpdatedAt = ecs.TaskSetDraining, a.now()
		return i, nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteTaskSetOutput{TaskSet: out}, nil
}

// DescribeTaskSets describes the task sets of a service that are named, or all.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskSets.html
func (a *API) DescribeTaskSets(_ context.Context, in *sdk.DescribeTaskSetsInput) (*sdk.DescribeTaskSetsOutput, error) {
	if str(in.Service) == "" {
		return nil, fault.New(fault.InvalidParameter, "Service cannot be empty.")
	}
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	s, err := a.activeService(t, *in.Service, name)
	if err != nil {
		return nil, err
	}
	refs := in.TaskSets
	if len(refs) == 0 {
		for i := range s.TaskSets {
			refs = append(refs, s.TaskSets[i].ID)
		}
	}
	out := &sdk.DescribeTaskSetsOutput{TaskSets: []types.TaskSet{}, Failures: []types.Failure{}}
	for _, ref := range refs {
		i, err := a.taskSet(s, ref)
		switch {
		case fault.Is(err, taskSetNotFound):
			arn := ref
			if !isARN(ref) {
				arn = a.Place.TaskSetARN(s.Cluster, s.Name, ref)
			}
			out.Failures = append(out.Failures, types.Failure{Arn: &arn, Reason: ptr("MISSING")})
		case err != nil:
			return nil, err
		default:
			out.TaskSets = append(out.TaskSets, a.wireTaskSet(t, s, &s.TaskSets[i], include[types.TaskSetFieldTags]))
		}
	}
	return out, nil
}

func (a *API) wireTaskSet(t *state.Tables, s *ecs.Service, set *ecs.TaskSet, tags bool) types.TaskSet {
	n := t.DeploymentCounts(s.Cluster, set.ID)
	arn, service, cluster := a.Place.TaskSetARN(s.Cluster, s.Name, set.ID), a.Place.ServiceARN(s.Cluster, s.Name), a.Place.ClusterARN(s.Cluster)
	definition := a.Place.DefinitionARN(set.Definition)
	id, status := set.ID, set.Status
	out := types.TaskSet{
		Id: &id, TaskSetArn: &arn, ServiceArn: &service, ClusterArn: &cluster, Status: &status, TaskDefinition: &definition, ExternalId: ptr(set.ExternalID),
		ComputedDesiredCount: set.Computed(s.DesiredCount), RunningCount: n.Running, PendingCount: n.Pending, CreatedAt: moment(set.CreatedAt), UpdatedAt: moment(set.UpdatedAt),
		Scale: &types.Scale{Unit: types.ScaleUnitPercent, Value: set.ScalePercent}, StabilityStatus: types.StabilityStatus(set.Stability), StabilityStatusAt: moment(set.StabilityAt),
		PlatformVersion: ptr(set.PlatformVersion), PlatformFamily: platformFamily(&set.Deployment), NetworkConfiguration: wireNetwork(&set.Deployment),
		CapacityProviderStrategy: mirror.Slice[types.CapacityProviderStrategyItem](set.CapacityProviderStrategy),
		LoadBalancers:            []types.LoadBalancer{}, ServiceRegistries: []types.ServiceRegistry{},
	}
	if set.Status == ecs.TaskSetDraining {
		out.ComputedDesiredCount = 0
	}
	if len(set.CapacityProviderStrategy) == 0 {
		out.LaunchType = launchTypes(set.LaunchType)
	}
	if tags && len(set.Tags) > 0 {
		out.Tags = wireTags(set.Tags)
	}
	return out
}
