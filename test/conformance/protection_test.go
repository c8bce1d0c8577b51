package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// TestProtectionOfLoneTask: only tasks of services are protected.
func TestProtectionOfLoneTask(t *testing.T) {
	s := beginOnInstances(t)
	task := s.start(s.define(nil), nil).Tasks[0]
	s.wait("RUNNING", task)
	up := must[ecs.UpdateTaskProtectionOutput](s)(s.ecs.UpdateTaskProtection(s.ctx, &ecs.UpdateTaskProtectionInput{
		Cluster: &s.cluster, Tasks: []string{*task.TaskArn}, ProtectionEnabled: true, ExpiresInMinutes: aws.Int32(5)}))
	if len(up.ProtectedTasks) != 0 || len(up.Failures) != 1 || *up.Failures[0].Reason != "TASK_NOT_VALID" {
		t.Errorf("UpdateTaskProtection: %+v", up)
	}
	get := must[ecs.GetTaskProtectionOutput](s)(s.ecs.GetTaskProtection(s.ctx, &ecs.GetTaskProtectionInput{Cluster: &s.cluster, Tasks: []string{*task.TaskArn}}))
	if len(get.ProtectedTasks) != 0 || len(get.Failures) != 1 || *get.Failures[0].Reason != "TASK_NOT_VALID" {
		t.Errorf("GetTaskProtection: %+v", get)
	}
}
