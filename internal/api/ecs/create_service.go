package ecsapi

import (
	"context"
	"regexp"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

var serviceName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)

// CreateService makes a service with a first deployment; its controller does the rest.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
func (a *API) CreateService(ctx context.Context, in *sdk.CreateServiceInput) (*sdk.CreateServiceOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	s, err := a.readService(ctx, in)
	if err != nil {
		return nil, err
	}
	external, definition := isExternal(in.DeploymentController), in.TaskDefinition
	if external {
		definition = &noDefinition
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: definition, tags: in.Tags, exec: in.EnableExecuteCommand, network: in.NetworkConfiguration,
		launchType: in.LaunchType, strategy: in.CapacityProviderStrategy, platform: in.PlatformVersion,
		placeConstraints: in.PlacementConstraints, placeStrategy: in.PlacementStrategy, service: true, volumes: serviceVolumes(in.VolumeConfigurations),
	})
	if err != nil {
		return nil, err
	}
	s.Cluster, s.Tags = r.clusterName, r.given
	if external {
		if err := createExternal(s, in, r); err != nil {
			return nil, err
		}
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if external {
			if _, err := cluster(&tx.Tables, s.Cluster); err != nil {
				return err
			}
			if done, err := a.existing(tx, s); done || err != nil {
				return err
			}
			a.putExternal(tx, s)
			return nil
		}
		p, err := a.resolve(&tx.Tables, r)
		if err != nil {
			return err
		}
		if err := checkDaemon(s, in.DesiredCount, in.PlacementStrategy, launchTypes(p.launchType), &s.DeploymentConfiguration); err != nil {
			return err
		}
		if done, err := a.existing(tx, s); done || err != nil {
			return err
		}
		now := a.now()
		d := deploymentOf(p, now)
		if err := checkZones(s, &d); err != nil {
			return err
		}
		s.CreatedAt = now
		lifecycle.Deploy(tx, now, s, d)
		tx.Services.Put(s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	return &sdk.CreateServiceOutput{Service: a.wireService(t, t.Services.Get(s.Key()), true)}, nil
}

// existing deals with a service of the name: a repetition with the client token of the first call is answered with what that
// made, one that is deleted and gone makes way.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
func (a *API) existing(tx *state.Tx, s *ecs.Service) (bool, error) {
	old := tx.Services.Get(s.Key())
	switch {
	case old == nil:
		return false, nil
	case old.Status == ecs.ServiceInactive:
		s.LastEvent = 0
		var gone []string
		for e := range tx.ServiceEvents.Under(s.Key()) {
			gone = append(gone, tx.ServiceEvents.Key(e))
		}
		for _, key := range gone {
			tx.ServiceEvents.Delete(key)
		}
		return false, nil
	case old.Status == ecs.ServiceDraining:
		return false, fault.New(fault.InvalidParameter, "Unable to Start a service that is still Draining.")
	case s.ClientToken != "" && old.ClientToken == s.ClientToken:
		return true, nil
	}
	return false, fault.New(fault.InvalidParameter, "Creation of service was not idempotent.")
}

// readService reads what is the service's own and not its tasks'.
func (a *API) readService(ctx context.Context, in *sdk.CreateServiceInput) (*ecs.Service, error) {
	s := &ecs.Service{
		Name: str(in.ServiceName), Status: ecs.ServiceActive, SchedulingStrategy: ecs.SchedulingReplica, ClientToken: str(in.ClientToken),
		PropagateTags: string(in.PropagateTags), EnableECSManagedTags: in.EnableECSManagedTags, GracePeriodSeconds: in.HealthCheckGracePeriodSeconds,
	}
	if a.Caller != nil {
		s.CreatedBy = a.Caller(ctx)
	}
	switch {
	case s.Name == "":
		return nil, fault.New(fault.InvalidParameter, "ServiceName cannot be empty.")
	case !serviceName.MatchString(s.Name):
		return nil, fault.New(fault.InvalidParameter, "ServiceName contains invalid characters or is longer than 255.")
	case str(in.TaskDefinition) == "" && !isExternal(in.DeploymentController):
		return nil, fault.New(fault.InvalidParameter, "TaskDefinition should not be null or empty.")
	case in.DesiredCount == nil && in.SchedulingStrategy != types.SchedulingStrategyDaemon:
		return nil, fault.New(fault.InvalidParameter, "Desired count must be specified when using scheduling strategy REPLICA.")
	case len(s.ClientToken) > 36:
		return nil, fault.New(fault.InvalidParameter, "clientToken must be at most 36 characters long.")
	}
	if err := checkServiceFields(in.SchedulingStrategy, in.DeploymentController, in.PropagateTags, in.AvailabilityZoneRebalancing, in.DesiredCount, in.HealthCheckGracePeriodSeconds); err != nil {
		return nil, err
	}
	defaults := ecs.DeploymentConfiguration{MinimumHealthyPercent: defaultMinimumHealthy, MaximumPercent: defaultMaximum}
	if in.SchedulingStrategy == types.SchedulingStrategyDaemon {
		s.SchedulingStrategy = ecs.SchedulingDaemon
		defaults = ecs.DeploymentConfiguration{MinimumHealthyPercent: daemonMinimumHealthy, MaximumPercent: daemonMaximum}
	} else {
		s.DesiredCount = *in.DesiredCount
	}
	s.ZoneRebalancing = string(in.AvailabilityZoneRebalancing)
	if s.ZoneRebalancing == "" {
		s.ZoneRebalancing = string(types.AvailabilityZoneRebalancingDisabled)
	}
	var err error
	s.DeploymentConfiguration, err = a.deploymentConfiguration(defaults, in.DeploymentConfiguration)
	return s, err
}

// noDefinition is read where a request needs no definition.
var noDefinition = "none:1"

func isExternal(c *types.DeploymentController) bool {
	return c != nil && c.Type == types.DeploymentControllerTypeExternal
}

// checkServiceFields checks what creation and update have in common.
func checkServiceFields(scheduling types.SchedulingStrategy, controller *types.DeploymentController, propagate types.PropagateTags,
	zones types.AvailabilityZoneRebalancing, desired, grace *int32) error {
	switch {
	case scheduling != "" && !known(scheduling):
		return fault.New(fault.InvalidParameter, "Invalid schedulingStrategy: %q.", string(scheduling))
	case controller != nil && controller.Type != "" && !known(controller.Type):
		return fault.New(fault.InvalidParameter, "Invalid deploymentController: %q.", string(controller.Type))
	case controller != nil && controller.Type == types.DeploymentControllerTypeCodeDeploy:
		return fault.New(fault.Unsupported, notYet, "deploymentController "+string(controller.Type))
	case propagate != "" && !known(propagate):
		return fault.New(fault.InvalidParameter, "Invalid propagateTags: %q.", string(propagate))
	case zones != "" && !known(zones):
		return fault.New(fault.InvalidParameter, "Invalid availabilityZoneRebalancing: %q.", string(zones))
	case desired != nil && *desired < 0:
		return fault.New(fault.InvalidParameter, "Desired count should not be negative.")
	case desired != nil && *desired > maxDesired:
		return fault.New(fault.InvalidParameter, "Desired count should be at most %d.", maxDesired)
	case grace != nil && *grace < 0:
		return fault.New(fault.InvalidParameter, "healthCheckGracePeriodSeconds should not be negative.")
	case grace != nil:
		// It is for the health checks of load balancers alone.
		return fault.New(fault.InvalidParameter, "Health check grace period is only valid for services configured to use load balancers")
	}
	return nil
}
