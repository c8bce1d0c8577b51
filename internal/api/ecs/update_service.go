package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// UpdateService changes what is given and keeps the rest. A change of what the tasks are makes a new deployment.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
func (a *API) UpdateService(ctx context.Context, in *sdk.UpdateServiceInput) (*sdk.UpdateServiceOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	if str(in.Service) == "" {
		return nil, fault.New(fault.InvalidParameter, "Service cannot be empty.")
	}
	if err := checkServiceFields("", in.DeploymentController, in.PropagateTags, in.AvailabilityZoneRebalancing, in.DesiredCount, in.HealthCheckGracePeriodSeconds); err != nil {
		return nil, err
	}
	// The definition is read where there is one; any will do for the rest.
	definition := in.TaskDefinition
	if definition == nil {
		definition = &noDefinition
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: definition, network: in.NetworkConfiguration, strategy: in.CapacityProviderStrategy,
		platform: in.PlatformVersion, placeConstraints: in.PlacementConstraints, placeStrategy: in.PlacementStrategy,
		service: true, volumes: serviceVolumes(in.VolumeConfigurations),
	})
	if err != nil {
		return nil, err
	}
	var key string
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, r.clusterName); err != nil {
			return err
		}
		old, err := a.activeService(&tx.Tables, *in.Service, r.clusterName)
		if err != nil {
			return err
		}
		s, err := a.updated(tx, old, in, *r)
		if err != nil {
			return err
		}
		key = s.Key()
		tx.Services.Put(s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	return &sdk.UpdateServiceOutput{Service: a.wireService(t, t.Services.Get(key), true)}, nil
}

// updated is the service with what an update changes.
func (a *API) updated(tx *state.Tx, old *ecs.Service, in *sdk.UpdateServiceInput, r taskRequest) (*ecs.Service, error) {
	s := *old
	if in.DeploymentController != nil && in.DeploymentController.Type != "" && isExternal(in.DeploymentController) != s.External() {
		return nil, fault.New(fault.Unsupported, notYet, "A change of the deploymentController")
	}
	if s.External() {
		if err := updateExternal(in); err != nil {
			return nil, err
		}
	}
	var err error
	if s.DeploymentConfiguration, err = a.deploymentConfiguration(s.DeploymentConfiguration, in.DeploymentConfiguration); err != nil {
		return nil, err
	}
	if err := checkDaemon(&s, in.DesiredCount, in.PlacementStrategy, "", &s.DeploymentConfiguration); err != nil {
		return nil, err
	}
	if in.DesiredCount != nil && *in.DesiredCount != s.DesiredCount {
		s.DesiredCount = *in.DesiredCount
		s.Progress.Steady = false
	}
	if in.PropagateTags != "" {
		s.PropagateTags = string(in.PropagateTags)
	}
	if in.EnableECSManagedTags != nil {
		s.EnableECSManagedTags = *in.EnableECSManagedTags
	}
	if in.AvailabilityZoneRebalancing != "" {
		s.ZoneRebalancing = string(in.AvailabilityZoneRebalancing)
	}
	d, err := a.nextDeployment(tx, &s, in, r)
	if err != nil {
		return nil, err
	}
	next := d
	if next == nil {
		next = s.Primary()
	}
	if err := checkZones(&s, next); err != nil || d == nil {
		return &s, err
	}
	lifecycle.Deploy(tx, a.now(), &s, *d)
	return &s, nil
}

// nextDeployment is the one that an update asks for; nil if the primary is right as it is.
func (a *API) nextDeployment(tx *state.Tx, s *ecs.Service, in *sdk.UpdateServiceInput, r taskRequest) (*ecs.Deployment, error) {
	if s.External() {
		return nil, nil
	}
	p := s.Primary()
	changes := in.TaskDefinition != nil || in.NetworkConfiguration != nil || in.CapacityProviderStrategy != nil || in.PlatformVersion != nil ||
		in.PlacementConstraints != nil || in.PlacementStrategy != nil || in.EnableExecuteCommand != nil || in.ForceNewDeployment ||
		in.VolumeConfigurations != nil
	if !changes {
		return nil, nil
	}
	keep(&r, in, p)
	plan, err := a.resolve(&tx.Tables, &r)
	if err != nil {
		return nil, err
	}
	d := deploymentOf(plan, a.now())
	if !in.ForceNewDeployment && sameWork(&d, p) {
		return nil, nil
	}
	return &d, nil
}

// keep lays what an update does not give under what it does. A strategy of no capacity providers goes back to the launch type.
func keep(r *taskRequest, in *sdk.UpdateServiceInput, p *ecs.Deployment) {
	if in.TaskDefinition == nil {
		r.definitionID = p.Definition
	}
	if in.NetworkConfiguration == nil && p.NetworkConfiguration != nil {
		r.vpc = p.NetworkConfiguration.AwsvpcConfiguration
	}
	if in.CapacityProviderStrategy == nil {
		r.providers = p.CapacityProviderStrategy
	}
	if len(r.providers) == 0 {
		r.launchType = launchTypes(p.LaunchType)
	}
	if in.PlatformVersion == nil && p.PlatformVersion != "" {
		r.platform = &p.PlatformVersion
	}
	if in.PlacementConstraints == nil {
		r.constraints = p.PlacementConstraints
	}
	if in.PlacementStrategy == nil {
		r.order = p.PlacementStrategy
	}
	r.exec = p.EnableExecuteCommand
	if in.EnableExecuteCommand != nil {
		r.exec = *in.EnableExecuteCommand
	}
}

// DeleteService lets a service end: it is DRAINING until its last task has stopped.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteService.html
func (a *API) DeleteService(ctx context.Context, in *sdk.DeleteServiceInput) (*sdk.DeleteServiceOutput, error) {
	if str(in.Service) == "" {
		return nil, fault.New(fault.InvalidParameter, "Service cannot be empty.")
	}
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	var s ecs.Service
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, name); err != nil {
			return err
		}
		old, err := a.service(&tx.Tables, *in.Service, name)
		switch {
		case err != nil:
			return err
		case old == nil:
			return fault.New(fault.ServiceNotFound, "Service not found.")
		case old.Status != ecs.ServiceActive:
			s = *old
			return nil
		case old.DesiredCount > 0 && old.SchedulingStrategy == ecs.SchedulingReplica && (in.Force == nil || !*in.Force):
			return fault.New(fault.InvalidParameter, "The service cannot be stopped while it is scaled above 0.")
		case len(old.TaskSets) > 0 && (in.Force == nil || !*in.Force):
			return fault.New(fault.InvalidParameter, "The service cannot be stopped while deployments are active.")
		}
		s = *old
		s.Status, s.DesiredCount = ecs.ServiceDraining, 0
		stored := s
		tx.Services.Put(&stored)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteServiceOutput{Service: a.wireService(&a.Store.View().Tables, &s, true)}, nil
}
