package ecsapi

import (
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// createExternal refuses what belongs to task sets, and keeps what the service's own they have.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html
func createExternal(s *ecs.Service, in *sdk.CreateServiceInput, r *taskRequest) error {
	if s.SchedulingStrategy == ecs.SchedulingDaemon {
		return fault.New(fault.InvalidParameter, "The daemon scheduling strategy does not support the EXTERNAL deployment controller.")
	}
	if in.AvailabilityZoneRebalancing != "" && in.AvailabilityZoneRebalancing != types.AvailabilityZoneRebalancingDisabled {
		return fault.New(fault.InvalidParameter, "Availability Zone rebalancing cannot be enabled for services that use the EXTERNAL deployment controller.")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"task definition", str(in.TaskDefinition) != ""}, {"launch type", in.LaunchType != ""}, {"capacity provider strategy", len(in.CapacityProviderStrategy) > 0},
		{"network configuration", in.NetworkConfiguration != nil}, {"platform version", str(in.PlatformVersion) != ""},
	} {
		if f.set {
			return fault.New(fault.InvalidParameter, "A %s cannot be specified on services with an EXTERNAL deployment controller. Specify it in a task set.", f.name)
		}
	}
	if len(in.VolumeConfigurations) > 0 { // task sets have none
		return fault.New(fault.InvalidParameter, "A volume configuration cannot be specified on services with an EXTERNAL deployment controller.")
	}
	s.Base = &ecs.Deployment{PlacementConstraints: r.constraints, PlacementStrategy: r.order, EnableExecuteCommand: r.exec}
	return nil
}

// updateExternal refuses what is changed by a new task set alone.
func updateExternal(in *sdk.UpdateServiceInput) error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"task definition", in.TaskDefinition != nil}, {"capacity provider strategy", in.CapacityProviderStrategy != nil},
		{"network configuration", in.NetworkConfiguration != nil}, {"platform version", in.PlatformVersion != nil},
		{"placement constraints", in.PlacementConstraints != nil}, {"placement strategy", in.PlacementStrategy != nil},
		{"execute command", in.EnableExecuteCommand != nil}, {"volume configurations", in.VolumeConfigurations != nil},
	} {
		if f.set {
			return fault.New(fault.InvalidParameter, "Unable to update %s on services with an EXTERNAL deployment controller.", f.name)
		}
	}
	if in.ForceNewDeployment {
		return fault.New(fault.InvalidParameter, "Cannot force a new deployment on services with an EXTERNAL deployment controller.")
	}
	return nil
}

// putExternal stores a new EXTERNAL service, which has no task sets yet.
func (a *API) putExternal(tx *state.Tx, s *ecs.Service) {
	s.CreatedAt, s.Controller = a.now(), ecs.ControllerExternal
	tx.Services.Put(s)
}
