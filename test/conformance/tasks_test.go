package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestTaskLife follows a task from its start to its stop, with the SDK's waiters.
func TestTaskLife(t *testing.T) {
	s := beginOnInstances(t)
	d := s.define(nil)
	out := s.start(d, func(in *ecs.RunTaskInput) { in.Group = aws.String("family-group") })
	if len(out.Tasks) != 1 || out.Failures == nil || len(out.Failures) != 0 {
		t.Fatalf("RunTask: %+v", out)
	}
	task := out.Tasks[0]
	if !strings.HasPrefix(*task.TaskArn, s.arn("task/"+s.cluster+"/")) || *task.ClusterArn != s.arn("cluster/"+s.cluster) || aws.ToString(task.Group) != "family-group" ||
		aws.ToString(task.DesiredStatus) != "RUNNING" || task.LaunchType != types.LaunchTypeEc2 || aws.ToString(task.StartedBy) != s.name || task.CreatedAt == nil {
		t.Errorf("RunTask: %+v", task)
	}
	if task.StartedAt != nil || task.StoppedAt != nil || task.StopCode != "" || task.StoppedReason != nil || task.Overrides == nil || len(task.Overrides.ContainerOverrides) != 1 {
		t.Errorf("what has not happened yet: %+v", task)
	}
	running := s.wait("RUNNING", task)[0]
	c := running.Containers[0]
	if aws.ToString(c.TaskArn) != *task.TaskArn || aws.ToString(c.RuntimeId) == "" || c.ExitCode != nil || aws.ToString(c.Name) != "main" || aws.ToString(c.Memory) != "16" {
		t.Errorf("container: %+v", c)
	}
	if running.StartedAt == nil || running.PullStartedAt == nil || running.Connectivity != types.ConnectivityConnected || aws.ToString(running.Memory) != "16" || aws.ToString(running.Cpu) != "0" {
		t.Errorf("running: %+v", running)
	}
	stop := must[ecs.StopTaskOutput](s)(s.ecs.StopTask(s.ctx, &ecs.StopTaskInput{Cluster: &s.cluster, Task: task.TaskArn, Reason: aws.String("enough")}))
	if aws.ToString(stop.Task.DesiredStatus) != "STOPPED" || aws.ToString(stop.Task.StoppedReason) != "enough" || stop.Task.StoppingAt == nil {
		t.Errorf("StopTask: %+v", stop.Task)
	}
	stopped := s.wait("STOPPED", task)[0]
	if stopped.StopCode != types.TaskStopCodeUserInitiated || aws.ToString(stopped.StoppedReason) != "enough" || stopped.StoppedAt == nil || stopped.ExecutionStoppedAt == nil {
		t.Errorf("stopped: %+v", stopped)
	}
	if code := stopped.Containers[0].ExitCode; code == nil || *code != 143 && *code != 137 {
		t.Errorf("exit code: %v", code)
	}
	for _, pair := range [][2]int64{{stopped.CreatedAt.UnixMilli(), stopped.StartedAt.UnixMilli()}, {stopped.StartedAt.UnixMilli(), stopped.StoppingAt.UnixMilli()}, {stopped.StoppingAt.UnixMilli(), stopped.StoppedAt.UnixMilli()}} {
		if pair[0] > pair[1] {
			t.Errorf("times run backwards: %v", pair)
		}
	}
}

func TestTaskExit(t *testing.T) {
	s := beginOnInstances(t)
	task := s.start(s.command("sh", "-c", "exit 3"), nil).Tasks[0]
	stopped := s.wait("STOPPED", task)[0]
	if aws.ToInt32(stopped.Containers[0].ExitCode) != 3 || stopped.StopCode != types.TaskStopCodeEssentialContainerExited ||
		aws.ToString(stopped.StoppedReason) != "Essential container in task exited" || aws.ToString(stopped.DesiredStatus) != "STOPPED" {
		t.Errorf("stopped: %+v", stopped)
	}
	err := ecs.NewTasksRunningWaiter(s.ecs).Wait(s.ctx, &ecs.DescribeTasksInput{Cluster: &s.cluster, Tasks: []string{*task.TaskArn}}, 1e9)
	if err == nil || !strings.Contains(err.Error(), "waiter state transitioned to Failure") {
		t.Errorf("waiting for a stopped task to run: %v", err)
	}
}

func TestTaskOverrides(t *testing.T) {
	s := beginOnInstances(t)
	over := types.ContainerOverride{Name: aws.String("main"), Command: []string{"sh", "-c", "exit 7"}, Cpu: aws.Int32(64),
		Environment: []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("")}}}
	task := s.start(s.define(nil), func(in *ecs.RunTaskInput) {
		in.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{over}}
	}).Tasks[0]
	got := task.Overrides.ContainerOverrides[0]
	if !slices.Equal(got.Command, over.Command) || aws.ToInt32(got.Cpu) != 64 || len(got.Environment) != 1 || got.Environment[0].Value == nil {
		t.Errorf("overrides: %+v", got)
	}
	if stopped := s.wait("STOPPED", task)[0]; aws.ToInt32(stopped.Containers[0].ExitCode) != 7 {
		t.Errorf("stopped: %+v", stopped.Containers[0])
	}
	_, err := s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: &s.name,
		Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("none")}}}})
	refused[*types.InvalidParameterException](s, err, "Override for container named none is not a container in the TaskDefinition.")
}

func TestTaskLists(t *testing.T) {
	s := beginOnInstances(t)
	out := s.start(s.define(nil), func(in *ecs.RunTaskInput) { in.Count = aws.Int32(3) })
	if len(out.Tasks) != 3 {
		t.Fatalf("RunTask: %+v", out)
	}
	s.wait("RUNNING", out.Tasks...)
	list := func(in *ecs.ListTasksInput) []string {
		in.Cluster, in.MaxResults = &s.cluster, aws.Int32(2)
		var arns []string
		for pages := ecs.NewListTasksPaginator(s.ecs, in); pages.HasMorePages(); {
			arns = append(arns, must[ecs.ListTasksOutput](s)(pages.NextPage(s.ctx)).TaskArns...)
		}
		return arns
	}
	if n := len(list(&ecs.ListTasksInput{StartedBy: &s.name})); n != 3 {
		t.Errorf("%d tasks by startedBy", n)
	}
	if n := len(list(&ecs.ListTasksInput{Family: &s.name})); n != 3 {
		t.Errorf("%d tasks by family", n)
	}
	if n := len(list(&ecs.ListTasksInput{Family: &s.name, DesiredStatus: types.DesiredStatusStopped})); n != 0 {
		t.Errorf("%d stopped tasks", n)
	}
	if n := len(list(&ecs.ListTasksInput{Family: &s.name, LaunchType: types.LaunchTypeFargate})); n != 0 {
		t.Errorf("%d tasks on Fargate", n)
	}
	i := out.Tasks[0].ContainerInstanceArn
	if arns := list(&ecs.ListTasksInput{ContainerInstance: i, Family: &s.name}); !slices.Contains(arns, *out.Tasks[0].TaskArn) {
		t.Errorf("tasks of the instance: %v", arns)
	}
	s.stopAll(out.Tasks)
	if n := len(list(&ecs.ListTasksInput{Family: &s.name, DesiredStatus: types.DesiredStatusStopped})); n != 3 {
		t.Errorf("%d stopped tasks of 3", n)
	}
}

func (s *suite) stopAll(tasks []types.Task) {
	s.Helper()
	for _, task := range tasks {
		must[ecs.StopTaskOutput](s)(s.ecs.StopTask(s.ctx, &ecs.StopTaskInput{Cluster: &s.cluster, Task: task.TaskArn}))
	}
	s.wait("STOPPED", tasks...)
}

func TestTaskClientToken(t *testing.T) {
	s := beginOnInstances(t)
	d := s.define(nil)
	token := func(in *ecs.RunTaskInput) { in.ClientToken = &s.name }
	first, again := s.start(d, token), s.start(d, token)
	if *first.Tasks[0].TaskArn != *again.Tasks[0].TaskArn {
		t.Error("the same request made another task")
	}
	_, err := s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn, ClientToken: &s.name, Count: aws.Int32(2)})
	refused[*types.ConflictException](s, err, "")
}

func TestTaskPlacementFailure(t *testing.T) {
	s := beginOnInstances(t)
	d := s.define(func(in *ecs.RegisterTaskDefinitionInput) { in.ContainerDefinitions[0].Memory = aws.Int32(1 << 30) })
	out := s.start(d, nil)
	if len(out.Tasks) != 0 || len(out.Failures) == 0 {
		t.Fatalf("a task larger than any instance: %+v", out)
	}
	for _, f := range out.Failures {
		if aws.ToString(f.Reason) != "RESOURCE:MEMORY" || !strings.Contains(aws.ToString(f.Arn), ":container-instance/") {
			t.Errorf("failure: %+v", f)
		}
	}
}

func TestStartTask(t *testing.T) {
	s := beginOnInstances(t)
	i := s.instances()[0]
	d := s.define(nil)
	out := must[ecs.StartTaskOutput](s)(s.ecs.StartTask(s.ctx, &ecs.StartTaskInput{
		Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn, ContainerInstances: []string{*i.ContainerInstanceArn}, StartedBy: &s.name}))
	if len(out.Tasks) != 1 || *out.Tasks[0].ContainerInstanceArn != *i.ContainerInstanceArn {
		t.Fatalf("StartTask: %+v", out)
	}
	s.wait("RUNNING", out.Tasks...)
	s.stopAll(out.Tasks)
}

func TestTasksRefused(t *testing.T) {
	s := beginOnInstances(t)
	missing := strings.Repeat("0", 32)
	out := must[ecs.DescribeTasksOutput](s)(s.ecs.DescribeTasks(s.ctx, &ecs.DescribeTasksInput{Cluster: &s.cluster, Tasks: []string{missing}}))
	if len(out.Tasks) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" || *out.Failures[0].Arn != s.arn("task/"+s.cluster+"/"+missing) {
		t.Errorf("a task that is not there: %+v", out)
	}
	_, err := s.ecs.StopTask(s.ctx, &ecs.StopTaskInput{Cluster: &s.cluster, Task: &missing})
	refused[*types.InvalidParameterException](s, err, "The referenced task was not found.")
	_, err = s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: aws.String(s.name)})
	refused[*types.ClientException](s, err, "TaskDefinition not found.")
	s.define(nil)
	_, err = s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: aws.String(s.name), Count: aws.Int32(11)})
	refused[*types.InvalidParameterException](s, err, "")
	_, err = s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: aws.String(s.name), StartedBy: aws.String(strings.Repeat("a", 129))})
	refused[*types.InvalidParameterException](s, err, "")
}

// TestTasksCLI runs what scripts run: start, wait, look, stop, wait.
func TestTasksCLI(t *testing.T) {
	s := beginOnInstances(t)
	s.define(nil)
	out := s.cli("ecs", "run-task", "--cluster", s.cluster, "--task-definition", s.name, "--started-by", s.name)
	arn, _ := at(out, "tasks", 0, "taskArn").(string)
	if arn == "" || at(out, "failures") == nil {
		t.Fatalf("run-task: %v", out)
	}
	s.start(s.define(nil), nil) // another, to be told apart
	s.cli("ecs", "wait", "tasks-running", "--cluster", s.cluster, "--tasks", arn)
	out = s.cli("ecs", "describe-tasks", "--cluster", s.cluster, "--tasks", arn)
	if _, text := at(out, "tasks", 0, "cpu").(string); !text || at(out, "tasks", 0, "containers", 0, "lastStatus") != "RUNNING" || at(out, "tasks", 0, "attachments") == nil {
		t.Errorf("describe-tasks: %v", out)
	}
	if out = s.cli("ecs", "stop-task", "--cluster", s.cluster, "--task", arn, "--reason", "done"); at(out, "task", "desiredStatus") != "STOPPED" {
		t.Errorf("stop-task: %v", out)
	}
}
