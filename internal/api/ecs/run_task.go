package ecsapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

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
	if err := refuse(in); err != nil {
		return nil, err
	}
	count := 1
	if in.Count != nil {
		count = int(*in.Count)
	}
	if count < 1 || count > a.MaxRunCount {
		return nil, fault.New(fault.InvalidParameter, "Invalid count: it must be between 1 and %d.", a.MaxRunCount)
	}
	if err := checkLaunchType(in.LaunchType); err != nil {
		return nil, err
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, overrides: in.Overrides, group: in.Group, startedBy: in.StartedBy,
		reference: in.ReferenceId, tags: in.Tags, propagate: in.PropagateTags, managedTags: in.EnableECSManagedTags,
		network: in.NetworkConfiguration, launchType: string(in.LaunchType),
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
	return tasks, failures
}

func (a *API) runTasks(tx *state.Tx, r *taskRequest, count int, token *runToken, made *started) error {
	spec, err := a.resolve(&tx.Tables, r)
	if err != nil {
		return err
	}
	places, failures := placement.Place(&tx.Tables, placement.Request{
		Cluster: spec.Cluster, Definition: spec.Definition, Overrides: spec.Overrides, Count: count,
		LaunchType: spec.LaunchType, Connected: a.Connected,
	})
	if len(places) == 0 && len(failures) == 0 {
		return fault.New(fault.InvalidParameter, "No Container Instances were found in your cluster.")
	}
	now := a.now()
	ids := make([]ecs.TaskID, 0, len(places))
	for _, p := range places {
		spec.Instance, spec.GPUs = p.Instance, p.GPUs
		task := lifecycle.Create(tx, now, *spec)
		ids = append(ids, task.ID)
		made.tasks = append(made.tasks, task)
	}
	made.failures = failures
	if token != nil && len(ids) > 0 {
		tx.Tokens.Put(&state.Token{Key: tokenKey(spec.Cluster, token.text), Digest: token.digest, Tasks: ids,
			ExpiresAt: now + ecs.Millis(a.TokenLifetime.Milliseconds())})
	}
	return nil
}

func checkLaunchType(l types.LaunchType) error {
	switch {
	case l == "" || l == types.LaunchTypeEc2 || l == types.LaunchTypeExternal:
		return nil
	case known(l):
		return fault.New(fault.Unsupported, "launchType %s is not supported yet.", string(l))
	}
	return fault.New(fault.InvalidParameter, "Invalid launchType: %q.", string(l))
}

// runToken is a client token, with what it stands for.
type runToken struct {
	text   string
	digest [32]byte
}

func tokenKey(cluster, token string) string { return cluster + "/RunTask/" + token }

// readToken checks a client token and digests the request that it comes with; nil if there is none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
func readToken(in *sdk.RunTaskInput) (*runToken, error) {
	text := str(in.ClientToken)
	if text == "" {
		return nil, nil
	}
	if len(text) > 64 {
		return nil, fault.New(fault.InvalidParameter, "clientToken must be at most 64 characters long.")
	}
	for i := range len(text) {
		if text[i] < 33 || text[i] > 126 {
			return nil, fault.New(fault.InvalidParameter, "clientToken contains invalid characters.")
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("digest RunTask request: %w", err)
	}
	return &runToken{text: text, digest: sha256.Sum256(body)}, nil
}

// repeated answers a request whose token is known with the tasks that it made. A token ends with its time and with its tasks.
func (a *API) repeated(tx *state.Tx, cluster string, token *runToken, made *started) (bool, error) {
	if token == nil {
		return false, nil
	}
	known := tx.Tokens.Get(tokenKey(cluster, token.text))
	if known == nil || known.ExpiresAt <= a.now() {
		return false, nil
	}
	var arns []string
	for _, id := range known.Tasks {
		if task := tx.Tasks.Get(id); task != nil {
			arns = append(arns, a.Place.TaskARN(cluster, id))
			made.tasks = append(made.tasks, task)
		}
	}
	if len(arns) == 0 {
		return false, nil
	}
	if known.Digest != token.digest {
		e := fault.New(fault.Conflict, "The provided clientToken is already in use with a different RunTask request.")
		e.Fields = map[string]any{"resourceIds": arns}
		return false, e
	}
	return true, nil
}

// StartTask makes one task on each of the instances named, wherever it fits.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StartTask.html
func (a *API) StartTask(ctx context.Context, in *sdk.StartTaskInput) (*sdk.StartTaskOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	switch {
	case len(in.ContainerInstances) == 0:
		return nil, fault.New(fault.InvalidParameter, "Container instances cannot be empty.")
	case len(in.ContainerInstances) > maxStart:
		return nil, fault.New(fault.InvalidParameter, "Container instances cannot contain more than %d entries.", maxStart)
	}
	r, err := a.readTaskRequest(taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, overrides: in.Overrides, group: in.Group, startedBy: in.StartedBy,
		reference: in.ReferenceId, tags: in.Tags, propagate: in.PropagateTags, managedTags: in.EnableECSManagedTags,
		network: in.NetworkConfiguration,
	})
	if err != nil {
		return nil, err
	}
	var made started
	var failures []types.Failure
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		spec, err := a.resolve(&tx.Tables, r)
		if err != nil {
			return err
		}
		for _, ref := range in.ContainerInstances {
			task, reason, err := a.startOn(tx, *spec, ref)
			switch {
			case err != nil:
				return err
			case reason != "":
				failures = append(failures, types.Failure{Arn: a.missingARN(ref, kindInstance, spec.Cluster), Reason: &reason})
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

// maxStart is how many instances one StartTask names.
const maxStart = 10

// startOn makes a task on an instance, or says why it cannot be there.
func (a *API) startOn(tx *state.Tx, spec lifecycle.Spec, ref string) (task *ecs.Task, reason string, err error) {
	i, err := a.instance(&tx.Tables, ref, spec.Cluster)
	if err != nil {
		return nil, "", err
	}
	reason = placement.Check(&tx.Tables, placement.Request{
		Cluster: spec.Cluster, Definition: spec.Definition, Overrides: spec.Overrides, LaunchType: spec.LaunchType, Connected: a.Connected,
	}, i)
	if reason != "" {
		return nil, reason, nil
	}
	spec.Instance = i.ID
	return lifecycle.Create(tx, a.now(), spec), "", nil
}
