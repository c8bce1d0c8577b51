package conformance

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestDraining takes an instance out and back. It does not run beside the others, which count on all instances.
func TestDraining(t *testing.T) {
	if the.cluster == "none" {
		t.Skip("needs container instances, and ROADSTEAD_CONFORMANCE_CLUSTER=none says that there are none")
	}
	s := newSuite(t)
	arn := *s.instances()[0].ContainerInstanceArn
	set := func(ctx context.Context, status types.ContainerInstanceStatus) (*ecs.UpdateContainerInstancesStateOutput, error) {
		return s.ecs.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{Cluster: &s.cluster, ContainerInstances: []string{arn}, Status: status})
	}
	d := s.define(nil)
	kept := must[ecs.StartTaskOutput](s)(s.ecs.StartTask(s.ctx, &ecs.StartTaskInput{Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn, ContainerInstances: []string{arn}})).Tasks
	s.wait("RUNNING", kept...)
	s.cleanup(func(ctx context.Context) error {
		_, err := set(ctx, types.ContainerInstanceStatusActive)
		return err
	})
	out := must[ecs.UpdateContainerInstancesStateOutput](s)(set(s.ctx, types.ContainerInstanceStatusDraining))
	if len(out.ContainerInstances) != 1 || aws.ToString(out.ContainerInstances[0].Status) != "DRAINING" {
		t.Errorf("UpdateContainerInstancesState: %+v", out)
	}
	list := must[ecs.ListContainerInstancesOutput](s)(s.ecs.ListContainerInstances(s.ctx, &ecs.ListContainerInstancesInput{Cluster: &s.cluster, Status: types.ContainerInstanceStatusDraining}))
	if len(list.ContainerInstanceArns) != 1 || list.ContainerInstanceArns[0] != arn {
		t.Errorf("draining: %v", list.ContainerInstanceArns)
	}
	for instance := range on(s.start(d, func(in *ecs.RunTaskInput) { in.Count = aws.Int32(5) }).Tasks) {
		if instance == arn {
			t.Error("a task was placed on a draining instance")
		}
	}
	// A task of no service stays.
	if got := s.wait("RUNNING", kept...); aws.ToString(got[0].DesiredStatus) != "RUNNING" {
		t.Errorf("the task that was there: %+v", got[0])
	}
	s.stopAll(kept)
	_, err := set(s.ctx, "SLEEPING")
	refused[*types.InvalidParameterException](s, err, "")
}
