package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/coder/websocket"
	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/ssmsession"
)

// execTask runs a task into which commands can be sent, logged to a group, and waits until its managed agent runs.
func (in *installation) execTask() string {
	in.t.Helper()
	ctx := in.t.Context()
	if _, err := in.Logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("exec")}); err != nil {
		in.t.Fatal(err)
	}
	_, err := in.ECS.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: aws.String("default"), Configuration: &types.ClusterConfiguration{
		ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: types.ExecuteCommandLoggingOverride,
			LogConfiguration: &types.ExecuteCommandLogConfiguration{CloudWatchLogGroupName: aws.String("exec")}}}})
	if err != nil {
		in.t.Fatal(err)
	}
	_, err = in.ECS.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: aws.String("exec"), TaskRoleArn: aws.String(webRole),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(64),
			User: aws.String("65534"), ReadonlyRootFilesystem: aws.Bool(true), Command: []string{"sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"}}}})
	if err != nil {
		in.t.Fatal(err)
	}
	out, err := in.ECS.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("exec"), EnableExecuteCommand: true})
	if err != nil || len(out.Tasks) != 1 {
		in.t.Fatalf("RunTask: %v, %+v", err, out)
	}
	task := in.wait(*out.Tasks[0].TaskArn, "RUNNING")
	if m := task.Containers[0].ManagedAgents; len(m) != 1 || aws.ToString(m[0].LastStatus) != "RUNNING" {
		in.t.Fatalf("managed agents: %+v", m)
	}
	return *task.TaskArn
}

// TestExec speaks as AWS's plugin does: one command to its end, with what it shows in the log.
func TestExec(t *testing.T) {
	in := up(t)
	arn := in.execTask()
	out, err := in.ECS.ExecuteCommand(t.Context(), &ecs.ExecuteCommandInput{Task: &arn, Interactive: true,
		Command: aws.String(`sh -c 'read x; echo "got $x as $(id -u) in $TERM"; echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; stty size'`)})
	if err != nil {
		t.Fatal(err)
	}
	c := dialSession(t, *out.Session.StreamUrl, "wrong")
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("a wrong token: %v", err)
	}
	text := converse(t, dialSession(t, *out.Session.StreamUrl, *out.Session.TokenValue), "hello\r")
	for _, want := range []string{"got hello as 0 in xterm-256color", "/v2/credentials/", "40 100"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	events, err := in.Logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("exec"), LogStreamName: out.Session.SessionId, StartFromHead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for _, e := range events.Events {
		log.WriteString(*e.Message + "\n")
	}
	if !strings.Contains(log.String(), "got hello as 0") {
		t.Errorf("the log has %q", log.String())
	}
	in.stopTask(arn, "over")
	_, err = in.ECS.ExecuteCommand(t.Context(), &ecs.ExecuteCommandInput{Task: &arn, Interactive: true, Command: aws.String("sh")})
	if err == nil || !strings.Contains(err.Error(), "InvalidParameterException") {
		t.Errorf("in a task that has ended: %v", err)
	}
}

func dialSession(t *testing.T, url, token string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	hello, err := json.Marshal(ssmsession.OpenDataChannel{MessageSchemaVersion: "1.0", RequestID: "r", TokenValue: token, ClientID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), websocket.MessageText, hello); err != nil {
		t.Fatal(err)
	}
	return c
}

// converse answers the handshake, says its terminal's size and an input, and gives what the terminal shows until the session's end.
func converse(t *testing.T, c *websocket.Conn, input string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	next := int64(0)
	say := func(kind ssmsession.PayloadType, payload string) {
		f := ssmsession.Frame{Type: ssmsession.TypeInput, Schema: 1, Created: 1, Sequence: next, ID: uuid.New(), PayloadType: kind, Payload: []byte(payload)}
		next++
		if err := c.Write(ctx, websocket.MessageBinary, f.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	var r ssmsession.Receiver
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("%v after %q", err, text.String())
		}
		f, err := ssmsession.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == ssmsession.TypeClosed {
			return text.String()
		}
		if f.Type != ssmsession.TypeOutput {
			continue
		}
		frames, ack := r.Take(f)
		if ack {
			if err := c.Write(ctx, websocket.MessageBinary, ssmsession.NewAck(f, time.Now())); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range frames {
			switch f.PayloadType {
			case ssmsession.PayloadHandshakeRequest:
				say(ssmsession.PayloadHandshakeResponse, `{"ClientVersion":"1.2.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}]}`)
			case ssmsession.PayloadHandshakeComplete:
				say(ssmsession.PayloadSize, `{"cols":100,"rows":40}`)
				say(ssmsession.PayloadOutput, input)
			case ssmsession.PayloadOutput:
				text.Write(f.Payload)
			}
		}
	}
}

// TestExecPlugin runs AWS's CLI with AWS's plugin, as users do, where ROADSTEAD_E2E_SESSION_MANAGER_PLUGIN says where the plugin is.
func TestExecPlugin(t *testing.T) {
	plugin := os.Getenv("ROADSTEAD_E2E_SESSION_MANAGER_PLUGIN")
	if plugin == "" {
		t.Skip("no session-manager-plugin is given")
	}
	in := up(t)
	arn := in.execTask()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	command := fmt.Sprintf("stty rows 33 cols 99; /usr/bin/aws --endpoint-url http://%s --profile roadstead ecs execute-command --interactive --task %s --command sh", in.addr, arn)
	cmd := exec.CommandContext(ctx, "script", "-qec", command, "/dev/null")
	cmd.Env = append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(in.dir, "aws", "credentials"), "AWS_CONFIG_FILE="+filepath.Join(in.dir, "aws", "config"),
		"PATH="+filepath.Dir(plugin)+":"+os.Getenv("PATH"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var shown tail
	cmd.Stdout, cmd.Stderr = &shown, &shown
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Each step's word is in what it shows alone, and not in what is typed.
	for _, step := range []struct{ input, want string }{
		{"", "# "},
		{"echo user-$(id -u)-$((6*7)); stty size\n", "user-0-42"},
		{"", "33 99"},
		{"sleep 1000\n", "sleep 1000"},
		{"\x03", "^C"},
		{"seq 1 20000 | tail -n 3; echo e''nd-$((6*8))\n", "end-48"},
		{"exit\n", "Exiting session with sessionId"},
	} {
		if _, err := stdin.Write([]byte(step.input)); err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(shown.String(), step.want) {
			if ctx.Err() != nil {
				_ = cmd.Wait()
				t.Fatalf("no %q after %q in:\n%s", step.want, step.input, shown.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the client ended with %v:\n%s", err, shown.String())
	}
	t.Logf("it showed:\n%s", shown.String())
}
