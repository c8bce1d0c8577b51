package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of task protection, in tasks and minutes.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
const (
	maxProtect         = 10
	maxProtectMinutes  = 2880
	defaultProtectTime = 120
)

// reasonNotValid is the failure of a task that cannot be protected: one of no service, or one that has stopped.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
const reasonNotValid = "TASK_NOT_VALID"

// GetTaskProtection tells which tasks of services are protected. A protection that has expired is none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_GetTaskProtection.html
func (a *API) GetTaskProtection(_ context.Context, in *sdk.GetTaskProtectionInput) (*sdk.GetTaskProtectionOutput, error) {
	if err := checkProtect(in.Cluster, in.Tasks, maxDescribe); err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	p := protections{api: a, cluster: name}
	for _, ref := range in.Tasks {
		task, err := p.task(t, ref)
		if err != nil {
			return nil, err
		}
		if task != nil {
			p.show(task)
		}
	}
	list(&p.tasks)
	list(&p.failures)
	return &sdk.GetTaskProtectionOutput{ProtectedTasks: p.tasks, Failures: p.failures}, nil
}

// UpdateTaskProtection protects tasks of services from being chosen at a scale-in or by a deployment, or ends that. The
// time always counts from now.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
func (a *API) UpdateTaskProtection(ctx context.Context, in *sdk.UpdateTaskProtectionInput) (*sdk.UpdateTaskProtectionOutput, error) {
	if err := checkProtect(in.Cluster, in.Tasks, maxProtect); err != nil {
		return nil, err
	}
	minutes := int32(defaultProtectTime)
	if in.ExpiresInMinutes != nil {
		minutes = *in.ExpiresInMinutes
	}
	if minutes < 1 || minutes > maxProtectMinutes {
		return nil, fault.New(fault.InvalidParameter, "expiresInMinutes must be between 1 and %d.", maxProtectMinutes)
	}
	var p protections
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		name, err := a.activeCluster(&tx.Tables, in.Cluster)
		if err != nil {
			return err
		}
		p = protections{api: a, cluster: name}
		for _, ref := range in.Tasks {
			task, err := p.task(&tx.Tables, ref)
			if err != nil {
				return err
			}
			if task == nil {
				continue
			}
			protected := *task
			protected.ProtectedUntil = 0
			if in.ProtectionEnabled {
				protected.ProtectedUntil = a.now() + ecs.Millis(minutes)*60_000
			}
			tx.Tasks.Put(&protected)
			p.show(&protected)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list(&p.tasks)
	list(&p.failures)
	return &sdk.UpdateTaskProtectionOutput{ProtectedTasks: p.tasks, Failures: p.failures}, nil
}

func checkProtect(cluster *string, tasks []string, most int) error {
	switch {
	case str(cluster) == "":
		return fault.New(fault.InvalidParameter, "Cluster can not be null or empty.")
	case len(tasks) == 0:
		return fault.New(fault.InvalidParameter, "Tasks cannot be empty.")
	case len(tasks) > most:
		return fault.New(fault.InvalidParameter, "Tasks cannot contain more than %d entries.", most)
	}
	return nil
}

// protections gathers the answer of both operations.
type protections struct {
	api      *API
	cluster  string
	tasks    []types.ProtectedTask
	failures []types.Failure
}

// task finds a task that may be protected; where there is none it notes the failure and gives nil.
func (p *protections) task(t *state.Tables, ref string) (*ecs.Task, error) {
	task, err := p.api.task(t, ref, p.cluster)
	if err != nil {
		return nil, err
	}
	if task == nil {
		p.failures = append(p.failures, types.Failure{Arn: p.api.missingARN(ref, kindTask, p.cluster), Reason: ptr(reasonMissing)})
		return nil, nil
	}
	if !isServiceGroup(task.Group) || task.LastStatus >= ecs.TaskStopped {
		arn := p.api.Place.TaskARN(p.cluster, task.ID)
		p.failures = append(p.failures, types.Failure{Arn: &arn, Reason: ptr(reasonNotValid)})
		return nil, nil
	}
	return task, nil
}

func (p *protections) show(task *ecs.Task) {
	arn := p.api.Place.TaskARN(p.cluster, task.ID)
	shown := types.ProtectedTask{TaskArn: &arn}
	if task.Protected(p.api.now()) {
		shown.ProtectionEnabled, shown.ExpirationDate = true, moment(task.ProtectedUntil)
	}
	p.tasks = append(p.tasks, shown)
}
