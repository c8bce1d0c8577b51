package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestUnhealthyReplaced: a service's task that becomes UNHEALTHY is replaced by another, which stays.
func TestUnhealthyReplaced(t *testing.T) {
	in := up(t)
	// The first task to come is the one that falls ill.
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("ill"), NetworkMode: types.NetworkModeNone,
		Volumes: []types.Volume{{Name: aws.String("v"), Host: &types.HostVolumeProperties{SourcePath: &dir}}},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), StopTimeout: aws.Int32(2),
			MountPoints: []types.MountPoint{{SourceVolume: aws.String("v"), ContainerPath: aws.String("/all")}},
			Command:     []string{"sh", "-c", "mkdir /all/came && touch /tmp/first; sleep 1000"},
			HealthCheck: &types.HealthCheck{Command: []string{"CMD-SHELL", "test ! -e /tmp/first || mkdir /all/checked"}, Interval: aws.Int32(5), Retries: aws.Int32(1)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.ECS.CreateService(t.Context(), &ecs.CreateServiceInput{ServiceName: aws.String("s"), TaskDefinition: aws.String("ill"), DesiredCount: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	tasks := func(status types.DesiredStatus) []string {
		out, err := in.ECS.ListTasks(t.Context(), &ecs.ListTasksInput{ServiceName: aws.String("s"), DesiredStatus: status})
		if err != nil {
			t.Fatal(err)
		}
		return out.TaskArns
	}
	within(t, time.Minute, "the first task", func() bool { return len(tasks(types.DesiredStatusRunning)) == 1 })
	first := tasks(types.DesiredStatusRunning)[0]
	in.untilHealth(first, types.HealthStatusHealthy)
	within(t, time.Minute, "the end of the first task", func() bool { return *in.describe(first).LastStatus == "STOPPED" })
	if task := in.describe(first); task.HealthStatus != types.HealthStatusUnhealthy || !strings.Contains(aws.ToString(task.StoppedReason), "health check") {
		t.Errorf("it was stopped for %q and is %s", aws.ToString(task.StoppedReason), task.HealthStatus)
	}
	within(t, time.Minute, "another task", func() bool { return len(tasks(types.DesiredStatusRunning)) == 1 })
	in.untilHealth(tasks(types.DesiredStatusRunning)[0], types.HealthStatusHealthy)
}
