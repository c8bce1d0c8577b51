package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// amazonAgentVariable names a built Amazon ECS agent (https://github.com/aws/amazon-ecs-agent, directory agent). The project neither
// has nor builds one.
const amazonAgentVariable = "ROADSTEAD_ECS_AGENT"

// amazon is a host with Docker and Amazon's own agent, which joins an installation.
type amazon struct {
	t      *testing.T
	in     *installation
	dir    string
	binary string
	key    []string
	cmd    *exec.Cmd
	log    tail
}

func (a *amazon) socket() string { return "unix://" + filepath.Join(a.dir, "docker.sock") }

// startDocker has no bridge and sets no rules: the machine's network stays as it is.
func (a *amazon) startDocker() {
	a.t.Helper()
	var log tail
	cmd := exec.Command("/usr/sbin/dockerd", "-H", a.socket(), "--data-root", filepath.Join(a.dir, "docker"), "--exec-root", filepath.Join(a.dir, "exec"),
		"--pidfile", filepath.Join(a.dir, "docker.pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		a.t.Fatalf("%v (Debian's docker.io has it)", err)
	}
	a.t.Cleanup(func() {
		if ids := strings.Fields(a.docker("ps", "-q")); len(ids) > 0 {
			a.docker(append([]string{"kill"}, ids...)...)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	eventually(a.t, "dockerd answers", func() bool { return exec.Command("docker", "-H", a.socket(), "info").Run() == nil })
	a.docker("load", "-i", filepath.Join(images, "busybox.tar"))
}

func (a *amazon) docker(args ...string) string {
	a.t.Helper()
	// Not the test's context, which has ended when it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", append([]string{"-H", a.socket()}, args...)...).CombinedOutput()
	if err != nil {
		a.t.Errorf("docker %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// start runs the agent in external mode, so that it asks no EC2 metadata.
func (a *amazon) start() {
	a.t.Helper()
	a.cmd = exec.Command(a.binary)
	a.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "ECS_BACKEND_HOST=http://" + a.in.addr, "AWS_DEFAULT_REGION=us-east-1", "ECS_CLUSTER=default", "ECS_EXTERNAL=true",
		"ECS_DATADIR=" + filepath.Join(a.dir, "data"), "DOCKER_HOST=" + a.socket(), "ECS_ENABLE_TASK_IAM_ROLE=true", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST=true",
		"ECS_IMAGE_PULL_BEHAVIOR=prefer-cached", "ECS_CONTAINER_STOP_TIMEOUT=2s", "ECS_UPDATES_ENABLED=true", "ECS_UPDATE_DOWNLOAD_DIR=" + a.updates(), `ECS_INSTANCE_ATTRIBUTES={"agent":"amazon"}`,
	}, a.key...)
	a.cmd.Stdout, a.cmd.Stderr = &a.log, &a.log
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *amazon) kill() {
	a.cmd.Process.Kill()
	a.cmd.Wait()
}

// instance is the agent's, once it is connected.
func (a *amazon) instance() (found types.ContainerInstance) {
	a.t.Helper()
	eventually(a.t, "Amazon's agent is connected", func() bool {
		list, err := a.in.ECS.ListContainerInstances(a.t.Context(), &ecs.ListContainerInstancesInput{Filter: aws.String("attribute:agent == amazon")})
		if err != nil || len(list.ContainerInstanceArns) != 1 {
			return false
		}
		out, err := a.in.ECS.DescribeContainerInstances(a.t.Context(), &ecs.DescribeContainerInstancesInput{ContainerInstances: list.ContainerInstanceArns})
		if err != nil || len(out.ContainerInstances) != 1 {
			return false
		}
		found = out.ContainerInstances[0]
		return found.AgentConnected
	})
	return found
}

func (a *amazon) run(family string) string {
	a.t.Helper()
	out, err := a.in.ECS.StartTask(a.t.Context(), &ecs.StartTaskInput{TaskDefinition: &family, ContainerInstances: []string{*a.instance().ContainerInstanceArn}})
	if err != nil || len(out.Tasks) != 1 {
		a.t.Fatalf("StartTask: %+v, %v", out, err)
	}
	return *out.Tasks[0].TaskArn
}

// TestAmazonAgent brings Amazon's own agent into a cluster beside ours.
func TestAmazonAgent(t *testing.T) {
	binary := os.Getenv(amazonAgentVariable)
	if binary == "" {
		t.Skip("NOT RUN: Amazon's agent was not tried, " + amazonAgentVariable + " does not name one")
	}
	in := newInstallation(t)
	image, flags := newAgent(t)
	in.flags = flags
	in.start()
	dir, err := os.MkdirTemp("", "ra")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	keys, err := roadstead(t, "agent-key", "--data-dir", in.dir)
	if err != nil {
		t.Fatal(keys)
	}
	a := &amazon{t: t, in: in, dir: dir, binary: binary, key: strings.Split(strings.TrimSpace(strings.ReplaceAll(keys, "export ", "")), "\n")}
	for _, sub := range []string{filepath.Join(dir, "data"), a.updates()} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a.startDocker()
	a.start()
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", &a.log)
		}
	})
	in.amazonDefinitions()

	t.Run("a task runs, and is what it was asked to be", a.runs)
	t.Run("exit codes", func(t *testing.T) {
		task := in.wait(a.run("ends"), "STOPPED")
		if c := task.Containers[0]; aws.ToInt32(c.ExitCode) != 7 || task.StopCode != types.TaskStopCodeEssentialContainerExited {
			t.Errorf("exit code %v, %s", c.ExitCode, task.StopCode)
		}
		task = in.wait(a.run("nowhere"), "STOPPED")
		if r := aws.ToString(task.Containers[0].Reason); !strings.HasPrefix(r, "CannotPull") || task.StopCode != types.TaskStopCodeTaskFailedToStart {
			t.Errorf("an image that is nowhere: %q, %s", r, task.StopCode)
		}
	})
	t.Run("the agent and the server are killed", a.survives)
	t.Run("the agent is updated", a.isUpdated(image))
	t.Run("a service spreads over both agents, and leaves one that drains", a.shares)
	t.Run("deregistered", func(t *testing.T) {
		arn := a.instance().ContainerInstanceArn
		if _, err := in.ECS.DeregisterContainerInstance(t.Context(), &ecs.DeregisterContainerInstanceInput{ContainerInstance: arn, Force: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the agent is told that it is inactive", func() bool { return strings.Contains(a.log.String(), "InactiveInstanceException") })
	})
}

func (in *installation) amazonDefinitions() {
	in.t.Helper()
	in.register("ends", types.NetworkModeHost, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sh", "-c", "exit 7"}})
	in.register("nowhere", types.NetworkModeHost, types.ContainerDefinition{Name: aws.String("c"), Image: aws.String("127.0.0.1:1/nowhere")})
	in.register("plain", types.NetworkModeHost, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	_, err := in.ECS.RegisterTaskDefinition(in.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("rich"), NetworkMode: types.NetworkModeHost, TaskRoleArn: aws.String(webRole), Cpu: aws.String("256"), Memory: aws.String("128"),
		Volumes: []types.Volume{{Name: aws.String("v")}},
		ContainerDefinitions: []types.ContainerDefinition{
			{
				Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(64), WorkingDirectory: aws.String("/tmp"), User: aws.String("1000"),
				Command: []string{"sh", "-c", "env; id -u; pwd; ulimit -n; sleep 600"}, Environment: []types.KeyValuePair{{Name: aws.String("WORD"), Value: aws.String("hello")}},
				HealthCheck: &types.HealthCheck{Command: []string{"CMD-SHELL", "true"}, Interval: aws.Int32(5)}, StopTimeout: aws.Int32(2),
				Ulimits:     []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 123, HardLimit: 456}},
				MountPoints: []types.MountPoint{{SourceVolume: aws.String("v"), ContainerPath: aws.String("/v")}},
			},
			{
				Name: aws.String("first"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(16), Essential: aws.Bool(false), Command: []string{"sh", "-c", "exit 3"},
				DependsOn: []types.ContainerDependency{{ContainerName: aws.String("c"), Condition: types.ContainerConditionStart}},
			},
		},
	})
	if err != nil {
		in.t.Fatal(err)
	}
}

func (a *amazon) runs(t *testing.T) {
	in := a.in
	out, err := in.ECS.StartTask(t.Context(), &ecs.StartTaskInput{
		TaskDefinition: aws.String("rich"), ContainerInstances: []string{*a.instance().ContainerInstanceArn},
		Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("c"), Environment: []types.KeyValuePair{{Name: aws.String("WORD"), Value: aws.String("welcome")}}}}},
	})
	if err != nil || len(out.Tasks) != 1 {
		t.Fatalf("StartTask: %+v, %v", out, err)
	}
	arn := *out.Tasks[0].TaskArn
	in.wait(arn, "RUNNING")
	// Amazon's agent tells of health every 20 s.
	within(t, time.Minute, "the task is healthy, and its second container has ended with 3", func() bool {
		task := in.describe(arn)
		for _, c := range task.Containers {
			if aws.ToString(c.Name) == "first" && (aws.ToString(c.LastStatus) != "STOPPED" || aws.ToInt32(c.ExitCode) != 3) {
				return false
			}
		}
		return task.HealthStatus == types.HealthStatusHealthy
	})
	task := in.describe(arn)
	var id string
	for _, c := range task.Containers {
		if aws.ToString(c.Name) == "c" {
			id = aws.ToString(c.RuntimeId)
		}
	}
	said := a.docker("logs", id)
	for _, want := range []string{"WORD=welcome\n", "AWS_EXECUTION_ENV=AWS_ECS_EC2\n", "\n1000\n/tmp\n123\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
	if c := credentialsOf(t, said); c.RoleArn != webRole {
		t.Errorf("credentials of %q", c.RoleArn)
	}
	if task := in.stopTask(arn, "enough"); aws.ToString(task.StoppedReason) != "enough" || task.StopCode != types.TaskStopCodeUserInitiated {
		t.Errorf("stopped: %s, %s", aws.ToString(task.StoppedReason), task.StopCode)
	}
}

// lent is what the agent's endpoint gives a container.
type lent struct{ RoleArn, AccessKeyID string }

// credentialsOf asks for a container's, by what it printed of its environment. The agent listens on a port of the host's.
func credentialsOf(t *testing.T, env string) (c lent) {
	t.Helper()
	_, path, _ := strings.Cut(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=")
	path, _, _ = strings.Cut(path, "\n")
	res, err := http.Get("http://127.0.0.1:51679" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&c); err != nil {
		t.Errorf("credentials: %v, %s", err, res.Status)
	}
	return c
}

// survives: tasks outlive both, what ended meanwhile is told, and the credentials come again.
func (a *amazon) survives(t *testing.T) {
	in := a.in
	kept, lost := a.run("rich"), a.run("plain")
	runtimeID := func(arn string) string {
		for _, c := range in.wait(arn, "RUNNING").Containers {
			if aws.ToString(c.Name) == "c" {
				return aws.ToString(c.RuntimeId)
			}
		}
		return ""
	}
	id := runtimeID(kept)
	victim := runtimeID(lost)
	a.kill()
	in.kill()
	a.docker("kill", victim)
	in.start()
	a.start()
	task := in.wait(lost, "STOPPED")
	if aws.ToInt32(task.Containers[0].ExitCode) != 137 {
		t.Errorf("the one that was killed meanwhile: %+v", task.Containers[0])
	}
	if got := runtimeID(kept); got != id {
		t.Errorf("the other is container %s now, %s before", got, id)
	}
	eventually(t, "it has credentials again", func() bool { return credentialsOf(t, a.docker("logs", id)).RoleArn == webRole })
	in.stopTask(kept, "")
}

func (a *amazon) shares(t *testing.T) {
	in := a.in
	_, err := in.ECS.CreateService(t.Context(), &ecs.CreateServiceInput{
		ServiceName: aws.String("both"), TaskDefinition: aws.String("plain"), DesiredCount: aws.Int32(4),
		PlacementStrategy: []types.PlacementStrategy{{Type: types.PlacementStrategyTypeSpread, Field: aws.String("instanceId")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	in.stable("both")
	on := func() int32 { return a.instance().RunningTasksCount }
	if n := on(); n != 2 {
		t.Errorf("%d of 4 tasks on Amazon's agent", n)
	}
	_, err = in.ECS.UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{
		ContainerInstances: []string{*a.instance().ContainerInstanceArn}, Status: types.ContainerInstanceStatusDraining,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the instance has drained", func() bool { return on() == 0 })
	in.stable("both")
}
