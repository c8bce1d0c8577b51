package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// on counts tasks by their instance.
func on(tasks []types.Task) map[string]int {
	m := map[string]int{}
	for _, t := range tasks {
		m[aws.ToString(t.ContainerInstanceArn)]++
	}
	return m
}

func TestDistinctInstances(t *testing.T) {
	s := beginOnInstances(t)
	n := len(s.instances())
	out := s.start(s.define(nil), func(in *ecs.RunTaskInput) {
		in.Count = aws.Int32(int32(min(n, 9) + 1))
		in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeDistinctInstance}}
	})
	if len(on(out.Tasks)) != len(out.Tasks) || n < 10 && len(out.Tasks) != n {
		t.Errorf("%d tasks on %d of %d instances", len(out.Tasks), len(on(out.Tasks)), n)
	}
	if n < 10 && len(out.Failures) == 0 {
		t.Error("no failure for a task more than there are instances")
	}
}

func TestMemberOf(t *testing.T) {
	s := beginOnInstances(t)
	i := s.instances()[0]
	constraint := func(expression string) func(*ecs.RunTaskInput) {
		return func(in *ecs.RunTaskInput) {
			in.Count = aws.Int32(2)
			in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: &expression}}
		}
	}
	d := s.define(nil)
	out := s.start(d, constraint("ec2InstanceId == "+aws.ToString(i.Ec2InstanceId)+" and attribute:ecs.os-type == linux"))
	if m := on(out.Tasks); len(m) != 1 || m[*i.ContainerInstanceArn] != 2 {
		t.Errorf("by instance id: %v, failures %+v", m, out.Failures)
	}
	out = s.start(d, constraint("attribute:ecs.os-type == windows"))
	if len(out.Tasks) != 0 || len(out.Failures) == 0 {
		t.Fatalf("no instance fits: %+v", out)
	}
	for _, f := range out.Failures {
		if aws.ToString(f.Reason) != "MemberOf placement constraint unsatisfied." {
			t.Errorf("failure: %q", aws.ToString(f.Reason))
		}
	}
	_, err := s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn,
		PlacementConstraints: []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:a == == b")}}})
	refused[*types.InvalidParameterException](s, err, "")
}

func TestStrategies(t *testing.T) {
	s := beginOnInstances(t)
	n := min(len(s.instances()), 5)
	d := s.define(nil)
	run := func(kind types.PlacementStrategyType, field string) map[string]int {
		return on(s.start(d, func(in *ecs.RunTaskInput) {
			in.Count = aws.Int32(int32(2 * n))
			in.PlacementStrategy = []types.PlacementStrategy{{Type: kind, Field: &field}}
		}).Tasks)
	}
	// The other tests run tasks here too; spread counts those of the same group alone.
	if n == len(s.instances()) {
		for instance, tasks := range run(types.PlacementStrategyTypeSpread, "instanceId") {
			if tasks != 2 {
				t.Errorf("%d tasks on %s", tasks, instance)
			}
		}
	}
	if m := run(types.PlacementStrategyTypeBinpack, "memory"); len(m) == 0 {
		t.Error("nothing was placed by binpack")
	}
	_, err := s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn,
		PlacementStrategy: []types.PlacementStrategy{{Type: types.PlacementStrategyTypeBinpack, Field: aws.String("colour")}}})
	refused[*types.InvalidParameterException](s, err, "")
}
