package ecsapi

import (
	"context"
	"errors"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// RunTask places count tasks and makes them, in one update. What finds no place is in failures; the rest runs.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
func (a *API) RunTask(ctx context.Context, in *sdk.RunTaskInput) (*sdk.RunTaskOutput, error) {
	count := 1
	if in.Count != nil {
		count = int(*in.Count)
	}
	if count < 1 || count > a.MaxRunCount {
		return nil, fault.New(fault.InvalidParameter, "Invalid count: it must be between 1 and %d.", a.MaxRunCount)
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, overrides: in.Overrides, group: in.Group, startedBy: in.StartedBy,
		reference: in.ReferenceId, tags: in.Tags, propagate: in.PropagateTags, managedTags: in.EnableECSManagedTags,
		network: in.NetworkConfiguration, launchType: in.LaunchType, strategy: in.CapacityProviderStrategy, platform: in.PlatformVersion,
		exec: in.EnableExecuteCommand, volumes: in.VolumeConfigurations,
		placeConstraints: in.PlacementConstraints, placeStrategy: in.PlacementStrategy,
	})
	if err != nil {
		return nil, err
	}
	token, err := readToken(in)
	if err != nil {
		return nil, err
	}
	var made started
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if done, err := a.repeated(tx, r.clusterName, token, &made); done || err != nil {
			return err
		}
		return a.runTasks(tx, r, count, token, &made)
	})
	if err != nil {
		return nil, err
	}
	out := &sdk.RunTaskOutput{}
	out.Tasks, out.Failures = a.wireStarted(r.clusterName, &made)
	return out, nil
}

// started is what an update made. Its answer is written after the update, which others wait for.
type started struct {
	tasks    []*ecs.Task
	failures []placement.Failure
	// reasons are failures of no instance.
	reasons []string
}

// maxFailures is how many instances a call names that could take no more; thousands of them tell no more than these.
const maxFailures = 100

func (a *API) wireStarted(cluster string, made *started) ([]types.Task, []types.Failure) {
	tasks, failures := make([]types.Task, 0, len(made.tasks)), []types.Failure{}
	t := &a.Store.View().Tables
	for _, task := range made.tasks {
		tasks = append(tasks, a.wireTask(t, task, true))
	}
	for _, f := range made.failures[:min(len(made.failures), maxFailures)] {
		arn := a.Place.InstanceARN(cluster, f.Instance)
		failures = append(failures, types.Failure{Arn: &arn, Reason: ptr(f.Reason)})
	}
	for _, reason := range made.reasons {
		failures = append(failures, types.Failure{Reason: ptr(reason)})
	}
	return tasks, failures
}

func (a *API) runTasks(tx *state.Tx, r *taskRequest, count int, token *runToken, made *started) error {
	p, err := a.resolve(&tx.Tables, r)
	if err != nil {
		return err
	}
	if len(p.strategy) == 0 {
		err = a.runShare(tx, p, count, made)
	}
	for i, n := range ecs.Distribute(p.strategy, count) {
		if n > 0 && err == nil {
			p.spec.CapacityProvider = p.strategy[i].CapacityProvider
			err = a.runShare(tx, p, n, made)
		}
	}
	if err != nil {
		return err
	}
	if len(made.tasks) == 0 && len(made.failures) == 0 && len(made.reasons) == 0 {
		return fault.New(fault.InvalidParameter, "No Container Instances were found in your cluster.")
	}
	if token != nil && len(made.tasks) > 0 {
		ids := make([]ecs.TaskID, len(made.tasks))
		for i, task := range made.tasks {
			ids[i] = task.ID
		}
		tx.Tokens.Put(&state.Token{Key: tokenKey(p.spec.Cluster, token.text), Digest: token.digest, Tasks: ids,
			ExpiresAt: a.now() + ecs.Millis(a.TokenLifetime.Milliseconds())})
	}
	return nil
}

// runShare places and makes count tasks of one launch type or provider.
func (a *API) runShare(tx *state.Tx, p *plan, count int, made *started) error {
	placed, failures := placement.Place(&tx.Tables, p.placement(a, count))
	if p.launchType == ecs.LaunchFargate {
		for range count - len(placed) {
			made.reasons = append(made.reasons, placement.ReasonNoFargate)
		}
	} else {
		made.failures = append(made.failures, failures...)
	}
	for _, at := range placed {
		task, reason, err := a.create(tx, p, at)
		switch {
		case err != nil:
			return err
		case reason != "":
			made.reasons = append(made.reasons, reason)
		default:
			made.tasks = append(made.tasks, task)
		}
	}
	return nil
}

// create makes a task at its place, or says why it cannot have a network interface.
func (a *API) create(tx *state.Tx, p *plan, at placement.Placement) (task *ecs.Task, reason string, err error) {
	spec := p.spec
	spec.Instance, spec.GPUs = at.Instance, at.GPUs
	if p.vpc != nil {
		spec.Interface, err = lifecycle.NewInterface(tx, a.Subnets, p.vpc, at.Instance)
		if full := (*lifecycle.NoAddressError)(nil); errors.As(err, &full) {
			return nil, full.Error(), nil
		}
		if err != nil {
			return nil, "", err
		}
	}
	return lifecycle.Create(tx, a.now(), spec), "", nil
}
