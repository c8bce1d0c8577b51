package ecsapi

import (
	"context"
	"errors"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Exec begins sessions of ECS Exec.
type Exec interface {
	// Begin has the agent of an instance begin a session in a container. Its errors wrap ErrExecNotConnected or ErrExecTooMany where
	// that is why.
	Begin(ctx context.Context, instance ecs.InstanceID, runtimeID, command string, log *ecs.ExecLog) (*ExecSession, error)
}

// ExecSession is a session that has begun. Token is a secret.
type ExecSession struct{ ID, Token, StreamURL string }

// Errors of Exec.
var (
	ErrExecNotConnected = errors.New("the instance's agent is not connected")
	ErrExecTooMany      = errors.New("there are too many sessions")
)

// maxCommand is how long a command may be, in bytes.
const maxCommand = 8192

// Texts of ExecuteCommand's exceptions, which clients show to their users.
const (
	execNotEnabled = "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn't running. " +
		"Wait and try again or run a new task with execute command enabled and try again."
	execInternal = "The execute command failed due to an internal error. Try again later."
)

// ExecuteCommand begins a session in a container, with a terminal. Its client is AWS's session-manager-plugin.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommand.html
func (a *API) ExecuteCommand(ctx context.Context, in *sdk.ExecuteCommandInput) (*sdk.ExecuteCommandOutput, error) {
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Exec == nil:
		return nil, fault.New(fault.Unsupported, "This server has no ECS Exec.")
	case str(in.Command) == "":
		return nil, fault.New(fault.InvalidParameter, "Command can not be null or empty.")
	case len(*in.Command) > maxCommand:
		return nil, fault.New(fault.InvalidParameter, "command must be at most %d bytes long.", maxCommand)
	case str(in.Task) == "":
		return nil, fault.New(fault.InvalidParameter, "Task can not be null or empty.")
	case !in.Interactive:
		return nil, fault.New(fault.InvalidParameter, "Interactive is the only mode supported currently.")
	}
	t := &a.Store.View().Tables
	c, err := cluster(t, name)
	if err != nil {
		return nil, err
	}
	task, err := a.task(t, *in.Task, name)
	if err != nil {
		return nil, err
	}
	if task == nil {
		return nil, fault.New(fault.InvalidParameter, "The referenced task was not found.")
	}
	container, err := execContainer(task, str(in.Container))
	if err != nil {
		return nil, err
	}
	log, err := a.execLog(t, c, task, container.Name)
	if err != nil {
		return nil, err
	}
	return a.beginExec(ctx, task, container, *in.Command, log)
}

func (a *API) beginExec(ctx context.Context, task *ecs.Task, container *ecs.Container, command string, log *ecs.ExecLog) (*sdk.ExecuteCommandOutput, error) {
	s, err := a.Exec.Begin(ctx, task.Instance, container.RuntimeID, command, log)
	switch {
	case errors.Is(err, ErrExecNotConnected):
		return nil, fault.Wrap(err, fault.TargetNotConnected, execInternal)
	case errors.Is(err, ErrExecTooMany):
		return nil, fault.Wrap(err, fault.Client, "There are too many ECS Exec sessions. End some and try again.")
	case err != nil:
		return nil, err
	}
	a.Log.Info("a session of ECS Exec begins", "session", s.ID, "task", task.ID, "container", container.Name)
	return &sdk.ExecuteCommandOutput{
		ClusterArn: ptr(a.Place.ClusterARN(task.Cluster)), TaskArn: ptr(a.Place.TaskARN(task.Cluster, task.ID)),
		ContainerArn: ptr(a.Place.ContainerARN(task.Cluster, task.ID, container.ID)), ContainerName: ptr(container.Name), Interactive: true,
		Session: &types.Session{SessionId: &s.ID, StreamUrl: &s.StreamURL, TokenValue: &s.Token},
	}, nil
}

// execContainer is the container of a task that is named, or its only one, if commands can be executed there.
func execContainer(task *ecs.Task, name string) (*ecs.Container, error) {
	if name == "" && len(task.Containers) > 1 {
		return nil, fault.New(fault.InvalidParameter, "Container name must be specified for tasks with multiple containers.")
	}
	for i := range task.Containers {
		c := &task.Containers[i]
		if name != "" && c.Name != name {
			continue
		}
		for _, m := range c.ManagedAgents {
			if m.Name == ecs.ManagedAgentExec && m.LastStatus == ecs.TaskRunning && c.RuntimeID != "" && c.LastStatus == ecs.TaskRunning {
				return c, nil
			}
		}
		return nil, fault.New(fault.InvalidParameter, execNotEnabled)
	}
	return nil, fault.New(fault.InvalidParameter, "The container %s was not found in the task.", name)
}

// execLog is where a session is logged by the cluster's configuration: by DEFAULT where the container's awslogs go.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html#ecs-exec-logging
func (a *API) execLog(t *state.Tables, c *ecs.Cluster, task *ecs.Task, container string) (*ecs.ExecLog, error) {
	logging, to := string(types.ExecuteCommandLoggingDefault), (*ecs.ExecuteCommandLogConfiguration)(nil)
	if c.Configuration != nil && c.Configuration.ExecuteCommandConfiguration != nil {
		e := c.Configuration.ExecuteCommandConfiguration
		if e.Logging != "" {
			logging = e.Logging
		}
		to = e.LogConfiguration
	}
	switch types.ExecuteCommandLogging(logging) {
	case types.ExecuteCommandLoggingNone:
		return nil, nil
	case types.ExecuteCommandLoggingOverride:
		if to == nil || to.CloudWatchLogGroupName == "" || to.S3BucketName != "" {
			return nil, fault.New(fault.InvalidParameter, "The cluster has ECS Exec sessions logged to Amazon S3, which is not supported: name a CloudWatch log group alone.")
		}
		return &ecs.ExecLog{Group: to.CloudWatchLogGroupName}, nil
	}
	d := t.Definitions.Get(task.Definition)
	if d == nil {
		return nil, nil
	}
	for i := range d.ContainerDefinitions {
		l := d.ContainerDefinitions[i].LogConfiguration
		if d.ContainerDefinitions[i].Name == container && l != nil && l.LogDriver == "awslogs" && l.Options["awslogs-group"] != "" {
			return &ecs.ExecLog{Group: l.Options["awslogs-group"], Region: l.Options["awslogs-region"], Create: l.Options["awslogs-create-group"] == "true"}, nil
		}
	}
	return nil, nil
}
