package ecsapi_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/fault"
)

func TestLifeOfATask(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	instance := f.instance(1024, 512)
	definition := f.register()
	out := f.run(func(in *sdk.RunTaskInput) { in.StartedBy = aws.String("me") })
	if len(out.Tasks) != 1 || len(out.Failures) != 0 {
		t.Fatalf("got %d tasks, failures %v", len(out.Tasks), out.Failures)
	}
	task := out.Tasks[0]
	if *task.LastStatus != "PENDING" || *task.DesiredStatus != "RUNNING" || *task.Cpu != "128" || *task.Memory != "64" ||
		*task.Group != "family:sleep" || *task.ContainerInstanceArn != instance || *task.TaskDefinitionArn != definition ||
		*task.StartedBy != "me" || task.LaunchType != types.LaunchTypeEc2 || task.Version != 1 || task.HealthStatus != "UNKNOWN" {
		t.Errorf("new task: %+v", task)
	}
	c := task.Containers[0]
	if *c.TaskArn != *task.TaskArn || *c.Cpu != "128" || *c.Memory != "64" || *c.Image != "busybox" || c.RuntimeId != nil {
		t.Errorf("new container: %+v", c)
	}
	f.now = f.now.Add(time.Second)
	f.submit(*task.TaskArn, "RUNNING")
	task = f.describe(*task.TaskArn)
	if *task.LastStatus != "RUNNING" || !task.StartedAt.Equal(f.now) || task.Connectivity != "CONNECTED" || *task.Containers[0].RuntimeId != "cafe" || task.Version != 2 {
		t.Errorf("running task: %+v", task)
	}
	f.now = f.now.Add(time.Second)
	f.submit(*task.TaskArn, "STOPPED")
	f.submit(*task.TaskArn, "RUNNING") // late
	task = f.describe(*task.TaskArn)
	if *task.LastStatus != "STOPPED" || *task.DesiredStatus != "STOPPED" || task.StopCode != "EssentialContainerExited" ||
		*task.StoppedReason != "Essential container in task exited" || *task.Containers[0].ExitCode != 3 || !task.StoppedAt.Equal(f.now) {
		t.Errorf("stopped task: %+v", task)
	}
}

func TestStopTask(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(1024, 512)
	f.register()
	arn := *f.run().Tasks[0].TaskArn
	f.submit(arn, "RUNNING")
	out := must(f.StopTask(f.ctx, &sdk.StopTaskInput{Task: &arn, Reason: aws.String("enough")}))
	if *out.Task.DesiredStatus != "STOPPED" || *out.Task.LastStatus != "RUNNING" || *out.Task.StoppedReason != "enough" || out.Task.StopCode != "UserInitiated" || out.Task.StoppingAt == nil {
		t.Errorf("stopping task: %+v", out.Task)
	}
	again := must(f.StopTask(f.ctx, &sdk.StopTaskInput{Task: &arn, Reason: aws.String("other")}))
	if *again.Task.StoppedReason != "enough" {
		t.Error("the first reason must be kept")
	}
	f.submit(arn, "STOPPED")
	if task := f.describe(arn); task.StopCode != "UserInitiated" || *task.StoppedReason != "enough" {
		t.Errorf("stopped task: %+v", task)
	}
}

func TestRunTaskOverRoom(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	if _, err := f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: aws.String("sleep")}); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("without instances: %v", err)
	}
	arn := f.instance(300, 512)
	out := f.run(func(in *sdk.RunTaskInput) { in.Count = aws.Int32(3) })
	if len(out.Tasks) != 2 || len(out.Failures) != 1 || *out.Failures[0].Reason != "RESOURCE:CPU" || *out.Failures[0].Arn != arn {
		t.Errorf("got %d tasks, %+v", len(out.Tasks), out.Failures)
	}
	i := must(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{ContainerInstances: []string{arn}})).ContainerInstances[0]
	if i.PendingTasksCount != 2 || i.RemainingResources[0].IntegerValue != 300-256 || i.RegisteredResources[0].IntegerValue != 300 || i.RemainingResources[1].IntegerValue != 512-128 {
		t.Errorf("instance: %+v", i)
	}
	for _, task := range out.Tasks {
		f.submit(*task.TaskArn, "STOPPED")
	}
	i = must(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{ContainerInstances: []string{arn}})).ContainerInstances[0]
	if i.PendingTasksCount != 0 || i.RemainingResources[0].IntegerValue != 300 {
		t.Errorf("instance after the tasks: %+v", i)
	}
}
