package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestFirstTask is the README's first five minutes, typed with the AWS CLI.
func TestFirstTask(t *testing.T) {
	in := up(t)
	in.cli("ecs", "register-task-definition", "--cli-input-json", "file://"+filepath.Join(repo, "examples", "hello.json"))
	arn := in.cli("ecs", "run-task", "--task-definition", "hello", "--query", "tasks[0].taskArn", "--output", "text")
	in.cli("ecs", "wait", "tasks-stopped", "--tasks", arn)
	if got := in.cli("ecs", "describe-tasks", "--tasks", arn, "--query", "tasks[0].[lastStatus,stopCode,containers[0].exitCode]", "--output", "text"); got != "STOPPED\tEssentialContainerExited\t0" {
		t.Errorf("describe-tasks: %q", got)
	}
	got := in.cli("logs", "tail", "/examples/hello", "--format", "short")
	for i := 1; i <= 3; i++ {
		if line := fmt.Sprintf("hello world, for the %d. time", i); !strings.Contains(got, line) {
			t.Errorf("logs tail has no %q:\n%s", line, got)
		}
	}
	if who := in.cli("sts", "get-caller-identity", "--query", "Account", "--output", "text"); who != "000000000000" {
		t.Errorf("account %q", who)
	}
}

func TestExits(t *testing.T) {
	in := up(t)
	for _, c := range []struct {
		name, script string
		memory       int32
		exit         int32
		reason       string
	}{
		{"zero", "exit 0", 32, 0, ""},
		{"seven", "exit 7", 32, 7, ""},
		{"signalled", "sh -c 'kill -9 $$'; exit $?", 32, 137, ""},
		{"oom", "head -c 200m /dev/zero | tail", 16, 137, "OutOfMemoryError: Container killed due to memory usage"},
	} {
		in.register(c.name, types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Memory: &c.memory, Command: []string{"sh", "-c", c.script}})
		task := in.wait(in.runTask(c.name), "STOPPED")
		got := task.Containers[0]
		if aws.ToInt32(got.ExitCode) != c.exit && c.name != "oom" {
			t.Errorf("%s: exit code %v", c.name, aws.ToInt32(got.ExitCode))
		}
		if aws.ToString(got.Reason) != c.reason {
			t.Errorf("%s: reason %q", c.name, aws.ToString(got.Reason))
		}
		if task.StopCode != types.TaskStopCodeEssentialContainerExited || aws.ToString(task.StoppedReason) != "Essential container in task exited" {
			t.Errorf("%s: %s, %q", c.name, task.StopCode, aws.ToString(task.StoppedReason))
		}
	}
	for name, image := range map[string]string{"nosuchimage": "127.0.0.1:9/none:latest", "badname": "UPPER//bad"} {
		in.register(name, types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Image: &image})
		task := in.wait(in.runTask(name), "STOPPED")
		expectNotStarted(t, task, "CannotPullContainerError: ")
	}
	in.register("nosuchcommand", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"/no/such/program"}})
	task := in.wait(in.runTask("nosuchcommand"), "STOPPED")
	expectNotStarted(t, task, "CannotStartContainerError: ")
}

// expectNotStarted looks for what ECS says on instances: the cause is the container's reason.
func expectNotStarted(t *testing.T, task types.Task, cause string) {
	t.Helper()
	reason := aws.ToString(task.Containers[0].Reason)
	if task.StopCode != types.TaskStopCodeTaskFailedToStart || aws.ToString(task.StoppedReason) != "Task failed to start" || !strings.HasPrefix(reason, cause) {
		t.Errorf("%s: %s, %q, %q", *task.TaskDefinitionArn, task.StopCode, aws.ToString(task.StoppedReason), reason)
	}
}

func TestStop(t *testing.T) {
	in := up(t)
	in.register("polite", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"}})
	in.register("stubborn", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), StopTimeout: aws.Int32(2), Command: []string{"sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"}})
	for family, exit := range map[string]int32{"polite": 3, "stubborn": 137} {
		arn := in.runTask(family)
		in.wait(arn, "RUNNING")
		start := time.Now()
		task := in.stopTask(arn, "enough")
		if got := aws.ToInt32(task.Containers[0].ExitCode); got != exit {
			t.Errorf("%s: exit code %d after %v", family, got, time.Since(start))
		}
		if task.StopCode != types.TaskStopCodeUserInitiated || aws.ToString(task.StoppedReason) != "enough" {
			t.Errorf("%s: %s, %q", family, task.StopCode, aws.ToString(task.StoppedReason))
		}
	}
}

// TestSeveralContainers: the end of an essential container ends the others; that of another doesn't.
func TestSeveralContainers(t *testing.T) {
	in := up(t)
	in.register("three", types.NetworkModeHost,
		types.ContainerDefinition{Name: aws.String("main"), Essential: aws.Bool(true), Command: []string{"sh", "-c", "sleep 2; exit 5"}},
		types.ContainerDefinition{Name: aws.String("helper"), Essential: aws.Bool(false), Command: []string{"true"}},
		types.ContainerDefinition{Name: aws.String("side"), Essential: aws.Bool(false), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	task := in.wait(in.runTask("three"), "STOPPED")
	codes := map[string]int32{}
	for _, c := range task.Containers {
		codes[*c.Name] = aws.ToInt32(c.ExitCode)
	}
	if codes["main"] != 5 || codes["helper"] != 0 || codes["side"] == 0 {
		t.Errorf("exit codes %v", codes)
	}
}

// TestContainerSettings looks at what a container sees of its definition and its overrides.
func TestContainerSettings(t *testing.T) {
	in := up(t)
	in.register("settings", types.NetworkModeNone, types.ContainerDefinition{
		Name: aws.String("c"), EntryPoint: []string{"sh", "-c"}, Command: []string{"echo cwd=$PWD uid=$(id -u) gid=$(id -g) a=$A b=$B; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | sed s/^/memory=/"},
		WorkingDirectory: aws.String("/tmp"), User: aws.String("1000:1001"), Memory: aws.Int32(48),
		Environment:      []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("1")}, {Name: aws.String("B"), Value: aws.String("2")}},
		LogConfiguration: awslogs("/settings"),
	})
	out, err := in.ECS.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("settings"), Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{
		{Name: aws.String("c"), Environment: []types.KeyValuePair{{Name: aws.String("B"), Value: aws.String("two")}}},
	}}})
	if err != nil || len(out.Tasks) != 1 {
		t.Fatalf("RunTask: %v, %+v", err, out)
	}
	in.wait(*out.Tasks[0].TaskArn, "STOPPED")
	got := in.events("/settings")
	for _, want := range []string{"cwd=/tmp uid=1000 gid=1001 a=1 b=two", fmt.Sprintf("memory=%d", 48<<20)} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func awslogs(group string) *types.LogConfiguration {
	return &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
		"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-create-group": "true", "awslogs-stream-prefix": "e2e",
	}}
}

// events gives all messages of a log group, one a line.
func (in *installation) events(group string) string {
	in.t.Helper()
	out, err := in.Logs.FilterLogEvents(in.t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
	if err != nil {
		in.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range out.Events {
		b.WriteString(*e.Message + "\n")
	}
	return b.String()
}

// TestBridge reaches a server in a container through a dynamic and a static host port.
func TestBridge(t *testing.T) {
	in := up(t)
	in.cli("ecs", "register-task-definition", "--cli-input-json", "file://"+filepath.Join(repo, "examples", "web.json"))
	arn := in.runTask("web")
	task := in.wait(arn, "RUNNING")
	bindings := task.Containers[0].NetworkBindings
	if len(bindings) != 1 || aws.ToInt32(bindings[0].ContainerPort) != 8080 || aws.ToInt32(bindings[0].HostPort) < 1024 {
		t.Fatalf("network bindings %+v", bindings)
	}
	if body := fetch(t, fmt.Sprintf("http://127.0.0.1:%d/", *bindings[0].HostPort)); !strings.Contains(body, "Hello from Roadstead") {
		t.Errorf("answer %q", body)
	}
	task = in.stopTask(arn, "")
	if code := aws.ToInt32(task.Containers[0].ExitCode); code != 0 {
		t.Errorf("the server exited with %d on SIGTERM", code)
	}
}

// fetch gets a page, and tries again while the server in the container is still starting to listen.
func fetch(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second}
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var resp *http.Response
		if resp, err = client.Get(url); err == nil {
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s, %v", url, resp.Status, err)
			}
			return string(b)
		}
	}
	t.Fatal(err)
	return ""
}

// TestRefusals: what the node or the installation can't do is refused, and said.
func TestRefusals(t *testing.T) {
	in := up(t)
	in.register("huge", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Memory: aws.Int32(100 << 20)})
	out, err := in.ECS.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("huge")})
	if err != nil || len(out.Failures) == 0 || aws.ToString(out.Failures[0].Reason) != "RESOURCE:MEMORY" {
		t.Errorf("RunTask of a task too large: %v, %+v", err, out)
	}
	var unsupported *types.UnsupportedFeatureException
	if _, err := in.ECS.ListServicesByNamespace(t.Context(), &ecs.ListServicesByNamespaceInput{Namespace: aws.String("n")}); !errors.As(err, &unsupported) {
		t.Errorf("ListServicesByNamespace: %v", err)
	}
	var notFound *types.ClusterNotFoundException
	if _, err := in.ECS.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("nosuch")}); !errors.As(err, &notFound) {
		t.Errorf("ListTasks: %v", err)
	}
}
