package ecsapi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
)

// execs begins sessions that go nowhere.
type execs struct {
	err   error
	begun []string
	log   *ecs.ExecLog
}

func (e *execs) Begin(_ context.Context, _ ecs.InstanceID, runtimeID, command string, log *ecs.ExecLog) (*ecsapi.ExecSession, error) {
	if e.err != nil {
		return nil, e.err
	}
	e.begun, e.log = append(e.begun, runtimeID+" "+command), log
	return &ecsapi.ExecSession{ID: "id", Token: "token", StreamURL: "ws://url"}, nil
}

// newExec has a running task of one container into which commands can be executed.
func newExec(t *testing.T, e *execs) (*fixture, string) {
	f := newFixture(t, func(c *ecsapi.Config) { c.Exec = e })
	f.cluster()
	f.instance(1024, 1024, "ecs.capability.execute-command", "com.amazonaws.ecs.capability.task-iam-role", "com.amazonaws.ecs.capability.docker-remote-api.1.17")
	f.register(func(in *sdk.RegisterTaskDefinitionInput) {
		in.TaskRoleArn = aws.String("arn:aws:iam::000000000000:role/r")
	})
	arn := *f.run(func(in *sdk.RunTaskInput) { in.EnableExecuteCommand = true }).Tasks[0].TaskArn
	f.submit(arn, "RUNNING")
	must(f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: &arn, ManagedAgents: []types.ManagedAgentStateChange{
		{ContainerName: aws.String("main"), ManagedAgentName: "ExecuteCommandAgent", Status: aws.String("RUNNING")}}}))
	return f, arn
}

func TestExecuteCommand(t *testing.T) {
	e := &execs{}
	f, arn := newExec(t, e)
	out := must(f.ExecuteCommand(f.ctx, &sdk.ExecuteCommandInput{Task: &arn, Command: aws.String("sh"), Interactive: true}))
	if *out.Session.SessionId != "id" || *out.Session.TokenValue != "token" || *out.Session.StreamUrl != "ws://url" || *out.ContainerName != "main" || *out.TaskArn != arn ||
		!strings.HasPrefix(*out.ContainerArn, "arn:aws:ecs:us-east-1:000000000000:container/default/") || len(e.begun) != 1 || e.begun[0] != "cafe sh" || e.log != nil {
		t.Errorf("%+v, %v, %v", out, e.begun, e.log)
	}
	logging := func(c types.ExecuteCommandConfiguration) {
		must(f.UpdateCluster(f.ctx, &sdk.UpdateClusterInput{Cluster: aws.String("default"), Configuration: &types.ClusterConfiguration{ExecuteCommandConfiguration: &c}}))
	}
	logging(types.ExecuteCommandConfiguration{Logging: "OVERRIDE", LogConfiguration: &types.ExecuteCommandLogConfiguration{CloudWatchLogGroupName: aws.String("g")}})
	must(f.ExecuteCommand(f.ctx, &sdk.ExecuteCommandInput{Task: &arn, Command: aws.String("sh"), Interactive: true, Container: aws.String("main")}))
	if e.log == nil || e.log.Group != "g" {
		t.Errorf("logged to %+v", e.log)
	}
	logging(types.ExecuteCommandConfiguration{Logging: "OVERRIDE", LogConfiguration: &types.ExecuteCommandLogConfiguration{S3BucketName: aws.String("b")}})
	if _, err := f.ExecuteCommand(f.ctx, &sdk.ExecuteCommandInput{Task: &arn, Command: aws.String("sh"), Interactive: true}); err == nil || !strings.Contains(err.Error(), "Amazon S3") {
		t.Errorf("a log in S3: %v", err)
	}
}

// TestExecuteCommandRefused: refused input begins no session.
func TestExecuteCommandRefused(t *testing.T) {
	const disabled = "InvalidParameterException: The execute command failed because execute command was not enabled when the task was run or the execute command agent isn't running. " +
		"Wait and try again or run a new task with execute command enabled and try again."
	for name, test := range map[string]struct {
		change func(*sdk.ExecuteCommandInput)
		begin  error
		want   string
	}{
		"no command":    {func(in *sdk.ExecuteCommandInput) { in.Command = nil }, nil, "InvalidParameterException: Command can not be null or empty."},
		"long command":  {func(in *sdk.ExecuteCommandInput) { in.Command = aws.String(strings.Repeat("x", 8193)) }, nil, "InvalidParameterException: command must be at most 8192 bytes long."},
		"no task":       {func(in *sdk.ExecuteCommandInput) { in.Task = nil }, nil, "InvalidParameterException: Task can not be null or empty."},
		"unknown task":  {func(in *sdk.ExecuteCommandInput) { in.Task = aws.String(strings.Repeat("0", 32)) }, nil, "InvalidParameterException: The referenced task was not found."},
		"cluster":       {func(in *sdk.ExecuteCommandInput) { in.Cluster = aws.String("x") }, nil, "ClusterNotFoundException: Cluster not found."},
		"container":     {func(in *sdk.ExecuteCommandInput) { in.Container = aws.String("x") }, nil, "InvalidParameterException: The container x was not found in the task."},
		"no terminal":   {func(in *sdk.ExecuteCommandInput) { in.Interactive = false }, nil, "InvalidParameterException: Interactive is the only mode supported currently."},
		"not connected": {nil, fmt.Errorf("x: %w", ecsapi.ErrExecNotConnected), "TargetNotConnectedException: The execute command failed due to an internal error. Try again later."},
		"too many":      {nil, ecsapi.ErrExecTooMany, "ClientException: There are too many ECS Exec sessions. End some and try again."},
	} {
		e := &execs{err: test.begin}
		f, arn := newExec(t, e)
		in := &sdk.ExecuteCommandInput{Task: &arn, Command: aws.String("sh"), Interactive: true}
		if test.change != nil {
			test.change(in)
		}
		if _, err := f.ExecuteCommand(f.ctx, in); err == nil || !strings.HasPrefix(err.Error(), test.want) || len(e.begun) != 0 {
			t.Errorf("%s: %v, %v", name, err, e.begun)
		}
	}
	e := &execs{}
	f, arn := newExec(t, e)
	plain := *f.run().Tasks[0].TaskArn
	f.submit(plain, "RUNNING")
	f.submit(arn, "STOPPED")
	for _, task := range []string{plain, arn} {
		if _, err := f.ExecuteCommand(f.ctx, &sdk.ExecuteCommandInput{Task: &task, Command: aws.String("sh"), Interactive: true}); err == nil || err.Error() != disabled {
			t.Errorf("%v", err)
		}
	}
}
