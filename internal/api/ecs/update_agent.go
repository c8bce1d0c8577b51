package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// UpdateContainerAgent has Amazon's agent of an instance brought to the release that the operator offers; what comes of it is in the
// instance's agentUpdateStatus. Roadstead's own agents are updated with what they are installed by: for them there is no update.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerAgent.html
func (a *API) UpdateContainerAgent(ctx context.Context, in *sdk.UpdateContainerAgentInput) (*sdk.UpdateContainerAgentOutput, error) {
	if str(in.ContainerInstance) == "" {
		return nil, fault.New(fault.InvalidParameter, "Container instance can not be null or empty.")
	}
	var out types.ContainerInstance
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		cluster, err := a.activeCluster(&tx.Tables, in.Cluster)
		if err != nil {
			return err
		}
		old, err := a.instance(&tx.Tables, *in.ContainerInstance, cluster)
		if err != nil {
			return err
		}
		if err := a.updatable(old); err != nil {
			return err
		}
		i := *old
		i.AgentUpdate = &ecs.AgentUpdate{Status: ecs.AgentUpdatePending, From: old.AgentBuild()}
		i.Version++
		tx.Instances.Put(&i)
		out = a.wireInstance(&tx.Tables, &i, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UpdateContainerAgentOutput{ContainerInstance: &out}, nil
}

// updatable says why the agent of an instance, nil if there is none, cannot be updated now.
func (a *API) updatable(i *ecs.Instance) error {
	switch {
	case i == nil || i.Status == ecs.InstanceInactive:
		return fault.New(fault.InvalidParameter, "The referenced container instance was not found.")
	case i.AgentVersion == "":
		return fault.New(fault.MissingVersion, "Amazon ECS is unable to determine the current version of the Amazon ECS container agent on the container instance.")
	case i.AgentUpdate != nil && !i.AgentUpdate.Ended():
		return fault.New(fault.UpdateInProgress, "There is already a current Amazon ECS container agent update in progress on the container instance specified.")
	case i.Native || a.AgentRelease == nil || a.AgentRelease.Version == i.AgentVersion:
		return fault.New(fault.NoUpdateAvailable, "There is no update available for your container agent.")
	}
	return nil
}

func wireAgentUpdate(i *ecs.Instance) types.AgentUpdateStatus {
	if i.AgentUpdate == nil {
		return ""
	}
	return types.AgentUpdateStatus(i.AgentUpdate.Status)
}
