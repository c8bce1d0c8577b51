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

// maxStart is how many instances one StartTask names.
const maxStart = 10

// StartTask makes one task on each of the instances named, wherever it fits. Capacity providers play no part in it.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StartTask.html
func (a *API) StartTask(ctx context.Context, in *sdk.StartTaskInput) (*sdk.StartTaskOutput, error) {
	switch {
	case len(in.ContainerInstances) == 0:
		return nil, fault.New(fault.InvalidParameter, "Container instances cannot be empty.")
	case len(in.ContainerInstances) > maxStart:
		return nil, fault.New(fault.InvalidParameter, "Container instances cannot contain more than %d entries.", maxStart)
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, overrides: in.Overrides, group: in.Group, startedBy: in.StartedBy,
		reference: in.ReferenceId, tags: in.Tags, propagate: in.PropagateTags, managedTags: in.EnableECSManagedTags,
		network: in.NetworkConfiguration, exec: in.EnableExecuteCommand, volumes: in.VolumeConfigurations, started: true,
	})
	if err != nil {
		return nil, err
	}
	var made started
	var failures []types.Failure
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		p, err := a.resolve(&tx.Tables, r)
		if err != nil {
			return err
		}
		for _, ref := range in.ContainerInstances {
			task, reason, err := a.startOn(tx, p, ref)
			switch {
			case err != nil:
				return err
			case reason != "":
				failures = append(failures, types.Failure{Arn: a.missingARN(ref, kindInstance, p.spec.Cluster), Reason: &reason})
			default:
				made.tasks = append(made.tasks, task)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &sdk.StartTaskOutput{Failures: failures}
	list(&out.Failures)
	out.Tasks, _ = a.wireStarted(r.clusterName, &made)
	return out, nil
}

// startOn makes a task on an instance, or says why it cannot be there.
func (a *API) startOn(tx *state.Tx, p *plan, ref string) (task *ecs.Task, reason string, err error) {
	i, err := a.instance(&tx.Tables, ref, p.spec.Cluster)
	if err != nil {
		return nil, "", err
	}
	at, reason := placement.On(&tx.Tables, p.placement(a, 1), i)
	if reason != "" {
		return nil, reason, nil
	}
	return a.create(tx, p, at)
}
