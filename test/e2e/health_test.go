package e2e

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// untilHealth polls DescribeTasks until the task has a health.
func (in *installation) untilHealth(arn string, want types.HealthStatus) types.Task {
	in.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		task := in.describe(arn)
		if task.HealthStatus == want {
			return task
		}
		if *task.LastStatus == "STOPPED" || time.Now().After(deadline) {
			in.t.Fatalf("the task is %s and %s, not %s: %+v", *task.LastStatus, task.HealthStatus, want, task.Containers)
		}
	}
}

// TestHealthOfTasks: a container is UNKNOWN, HEALTHY and UNHEALTHY as its check finds it, and another waits for its health.
func TestHealthOfTasks(t *testing.T) {
	in := up(t)
	in.register("checked", types.NetworkModeNone,
		types.ContainerDefinition{
			Name: aws.String("app"), StopTimeout: aws.Int32(2), Command: []string{"sh", "-c", "sleep 2; touch /tmp/well; sleep 6; rm /tmp/well; sleep 1000"},
			HealthCheck: &types.HealthCheck{Command: []string{"CMD-SHELL", "test -e /tmp/well || exit 1"}, Interval: aws.Int32(5), Retries: aws.Int32(1), StartPeriod: aws.Int32(300)},
		},
		types.ContainerDefinition{
			Name: aws.String("late"), StopTimeout: aws.Int32(2), Command: []string{"sleep", "1000"}, Essential: aws.Bool(false),
			DependsOn: []types.ContainerDependency{{ContainerName: aws.String("app"), Condition: types.ContainerConditionHealthy}},
		})
	arn := in.runTask("checked")
	task := in.untilHealth(arn, types.HealthStatusHealthy)
	if task.Containers[0].HealthStatus != types.HealthStatusHealthy {
		t.Errorf("%+v", task.Containers[0])
	}
	task = in.wait(arn, "RUNNING")
	if took := task.StartedAt.Sub(*task.PullStoppedAt); took < 4*time.Second {
		t.Errorf("all ran %v after the pull, before the first check", took)
	}
	in.untilHealth(arn, types.HealthStatusUnhealthy)
	in.stopTask(arn, "seen")
}
