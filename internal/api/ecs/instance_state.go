package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// maxStateChanges is how many instances one call changes.
const maxStateChanges = 10

const reasonInactive = placement.ReasonInactive

// UpdateContainerInstancesState makes instances ACTIVE or DRAINING. A DRAINING one takes no tasks; what runs of services on it
// is moved by their controller, what runs by itself is left alone.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
func (a *API) UpdateContainerInstancesState(ctx context.Context, in *sdk.UpdateContainerInstancesStateInput) (*sdk.UpdateContainerInstancesStateOutput, error) {
	switch {
	case len(in.ContainerInstances) == 0:
		return nil, fault.New(fault.InvalidParameter, "Container instances cannot be empty.")
	case len(in.ContainerInstances) > maxStateChanges:
		return nil, fault.New(fault.InvalidParameter, "instanceIds can have at most %d items.", maxStateChanges)
	case in.Status != types.ContainerInstanceStatusActive && in.Status != types.ContainerInstanceStatusDraining:
		return nil, fault.New(fault.InvalidParameter, "Container instances status should be one of [ACTIVE,DRAINING]")
	}
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	var out *sdk.UpdateContainerInstancesStateOutput
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, name); err != nil {
			return err
		}
		out = &sdk.UpdateContainerInstancesStateOutput{ContainerInstances: []types.ContainerInstance{}, Failures: []types.Failure{}}
		for _, ref := range in.ContainerInstances {
			old, err := a.instance(&tx.Tables, ref, name)
			if err != nil {
				return err
			}
			if reason := unchangeable(old); reason != "" {
				out.Failures = append(out.Failures, types.Failure{Arn: a.missingARN(ref, kindInstance, name), Reason: &reason})
				continue
			}
			if err := a.speaksFor(ctx, old); err != nil {
				return err
			}
			out.ContainerInstances = append(out.ContainerInstances, a.wireInstance(&tx.Tables, setStatus(tx, old, ecs.InstanceStatus(in.Status)), nil))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unchangeable says why an instance, nil if there is none, can be neither ACTIVE nor DRAINING; "" if it can.
func unchangeable(i *ecs.Instance) string {
	switch {
	case i == nil:
		return reasonMissing
	case i.Status == ecs.InstanceActive || i.Status == ecs.InstanceDraining:
		return ""
	case i.Status == ecs.InstanceInactive:
		return reasonInactive
	}
	return "The container instance is " + string(i.Status) + "."
}

func setStatus(tx *state.Tx, old *ecs.Instance, status ecs.InstanceStatus) *ecs.Instance {
	if old.Status == status {
		return old
	}
	i := *old
	i.Status, i.StatusReason = status, ""
	i.Version++
	tx.Instances.Put(&i)
	return &i
}
