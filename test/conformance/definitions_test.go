package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestDefinitionDefaults(t *testing.T) {
	s := begin(t)
	d := s.define(nil)
	if aws.ToString(d.TaskDefinitionArn) != s.arn("task-definition/"+s.name+":1") || d.Revision != 1 || d.Status != types.TaskDefinitionStatusActive || d.RegisteredAt == nil || aws.ToString(d.RegisteredBy) == "" {
		t.Errorf("registered: %+v", d)
	}
	if !slices.Contains(d.Compatibilities, types.CompatibilityEc2) || !slices.Contains(d.Compatibilities, types.CompatibilityExternal) || slices.Contains(d.Compatibilities, types.CompatibilityFargate) {
		t.Errorf("compatibilities: %v", d.Compatibilities)
	}
	c := d.ContainerDefinitions[0]
	if !aws.ToBool(c.Essential) || c.PortMappings == nil || c.Environment == nil || c.MountPoints == nil || c.VolumesFrom == nil || c.LogConfiguration != nil || c.MemoryReservation != nil {
		t.Errorf("container: %+v", c)
	}
	if d.Volumes == nil || d.PlacementConstraints == nil || d.TaskRoleArn != nil || d.Cpu != nil {
		t.Errorf("absent and empty fields: %+v", d)
	}
}

func TestDefinitionRevisions(t *testing.T) {
	s := begin(t)
	s.define(nil)
	second := s.define(nil)
	byFamily := must[ecs.DescribeTaskDefinitionOutput](s)(s.ecs.DescribeTaskDefinition(s.ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &s.name}))
	if *byFamily.TaskDefinition.TaskDefinitionArn != *second.TaskDefinitionArn {
		t.Errorf("the family's newest is %s", *byFamily.TaskDefinition.TaskDefinitionArn)
	}
	out := must[ecs.DeregisterTaskDefinitionOutput](s)(s.ecs.DeregisterTaskDefinition(s.ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: second.TaskDefinitionArn}))
	if out.TaskDefinition.Status != types.TaskDefinitionStatusInactive || out.TaskDefinition.DeregisteredAt == nil {
		t.Errorf("deregistered: %+v", out.TaskDefinition)
	}
	byFamily = must[ecs.DescribeTaskDefinitionOutput](s)(s.ecs.DescribeTaskDefinition(s.ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &s.name}))
	if byFamily.TaskDefinition.Revision != 1 {
		t.Errorf("the newest active revision is %d", byFamily.TaskDefinition.Revision)
	}
	if third := s.define(nil); third.Revision != 3 {
		t.Errorf("revision %d comes after 2", third.Revision)
	}
	_, err := s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: second.TaskDefinitionArn})
	if s.cluster != "none" {
		refused[*types.ClientException](s, err, "TaskDefinition is inactive")
	}
}

func TestDefinitionLists(t *testing.T) {
	s := begin(t)
	for range 3 {
		s.define(nil)
	}
	pages := ecs.NewListTaskDefinitionsPaginator(s.ecs, &ecs.ListTaskDefinitionsInput{FamilyPrefix: &s.name, Sort: types.SortOrderDesc, MaxResults: aws.Int32(2)})
	var arns []string
	for pages.HasMorePages() {
		arns = append(arns, must[ecs.ListTaskDefinitionsOutput](s)(pages.NextPage(s.ctx)).TaskDefinitionArns...)
	}
	var want []string
	for _, n := range []int{3, 2, 1} {
		want = append(want, s.arn(fmt.Sprintf("task-definition/%s:%d", s.name, n)))
	}
	if !slices.Equal(arns, want) {
		t.Errorf("newest first: %v", arns)
	}
	families := must[ecs.ListTaskDefinitionFamiliesOutput](s)(s.ecs.ListTaskDefinitionFamilies(s.ctx, &ecs.ListTaskDefinitionFamiliesInput{FamilyPrefix: &s.name}))
	if !slices.Equal(families.Families, []string{s.name}) {
		t.Errorf("families: %v", families.Families)
	}
	families = must[ecs.ListTaskDefinitionFamiliesOutput](s)(s.ecs.ListTaskDefinitionFamilies(s.ctx, &ecs.ListTaskDefinitionFamiliesInput{
		FamilyPrefix: &s.name, Status: types.TaskDefinitionFamilyStatusInactive}))
	if len(families.Families) != 0 {
		t.Errorf("inactive families: %v", families.Families)
	}
}

func TestDefinitionRefused(t *testing.T) {
	s := begin(t)
	one := func(change func(*ecs.RegisterTaskDefinitionInput)) error {
		in := &ecs.RegisterTaskDefinitionInput{Family: &s.name, ContainerDefinitions: []types.ContainerDefinition{
			{Name: aws.String("main"), Image: aws.String(image), Memory: aws.Int32(16)}}}
		change(in)
		out, err := s.ecs.RegisterTaskDefinition(s.ctx, in)
		if err == nil {
			s.cleanup(func(ctx context.Context) error {
				_, err := s.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: out.TaskDefinition.TaskDefinitionArn})
				return err
			})
		}
		return err
	}
	for name, change := range map[string]func(*ecs.RegisterTaskDefinitionInput){
		"family":        func(in *ecs.RegisterTaskDefinitionInput) { in.Family = aws.String("no spaces") },
		"no memory":     func(in *ecs.RegisterTaskDefinitionInput) { in.ContainerDefinitions[0].Memory = nil },
		"no containers": func(in *ecs.RegisterTaskDefinitionInput) { in.ContainerDefinitions = []types.ContainerDefinition{} },
		"no essential":  func(in *ecs.RegisterTaskDefinitionInput) { in.ContainerDefinitions[0].Essential = aws.Bool(false) },
		"twice": func(in *ecs.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions = append(in.ContainerDefinitions, in.ContainerDefinitions[0])
		},
		"volume": func(in *ecs.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions[0].MountPoints = []types.MountPoint{{SourceVolume: aws.String("none"), ContainerPath: aws.String("/x")}}
		},
		"fargate size": func(in *ecs.RegisterTaskDefinitionInput) {
			in.RequiresCompatibilities, in.NetworkMode = []types.Compatibility{types.CompatibilityFargate}, types.NetworkModeAwsvpc
			in.Cpu, in.Memory = aws.String("256"), aws.String("8192")
		},
		"fargate network": func(in *ecs.RegisterTaskDefinitionInput) {
			in.RequiresCompatibilities, in.NetworkMode = []types.Compatibility{types.CompatibilityFargate}, types.NetworkModeBridge
			in.Cpu, in.Memory = aws.String("256"), aws.String("512")
		},
		"cycle": func(in *ecs.RegisterTaskDefinitionInput) {
			other := in.ContainerDefinitions[0]
			other.Name = aws.String("other")
			in.ContainerDefinitions[0].DependsOn = []types.ContainerDependency{{ContainerName: aws.String("other"), Condition: types.ContainerConditionStart}}
			other.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("main"), Condition: types.ContainerConditionStart}}
			in.ContainerDefinitions = append(in.ContainerDefinitions, other)
		},
	} {
		if code := codeOf(one(change)); code != "ClientException" && code != "InvalidParameterException" {
			t.Errorf("%s: %q", name, code)
		}
	}
	_, err := s.ecs.DescribeTaskDefinition(s.ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &s.name})
	refused[*types.ClientException](s, err, "Unable to describe task definition.")
}

// TestDefinitionFargate: what ECS gives beside what was sent.
func TestDefinitionFargate(t *testing.T) {
	s := begin(t)
	d := s.define(func(in *ecs.RegisterTaskDefinitionInput) {
		in.RequiresCompatibilities, in.NetworkMode = []types.Compatibility{types.CompatibilityFargate}, types.NetworkModeAwsvpc
		in.Cpu, in.Memory = aws.String("256"), aws.String("512")
		in.ContainerDefinitions[0].PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80)}}
	})
	if !slices.Contains(d.Compatibilities, types.CompatibilityFargate) || aws.ToString(d.Cpu) != "256" || aws.ToString(d.Memory) != "512" {
		t.Errorf("registered: %+v", d)
	}
	if p := d.ContainerDefinitions[0].PortMappings[0]; aws.ToInt32(p.HostPort) != 80 || p.Protocol != types.TransportProtocolTcp {
		t.Errorf("a port in awsvpc: %+v", p)
	}
	if !slices.ContainsFunc(d.RequiresAttributes, func(a types.Attribute) bool { return *a.Name == "ecs.capability.task-eni" }) {
		t.Errorf("requiresAttributes: %+v", d.RequiresAttributes)
	}
}

func TestDefinitionsCLI(t *testing.T) {
	s := begin(t)
	out := s.cli("ecs", "register-task-definition", "--family", s.name, "--container-definitions",
		`[{"name":"main","image":"`+image+`","memory":16,"environment":[{"name":"A","value":""}]}]`, "--tags", "key=k,value=v")
	s.cleanup(func(ctx context.Context) error {
		_, err := s.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(s.name + ":1")})
		return err
	})
	if at(out, "taskDefinition", "revision") != 1.0 || at(out, "taskDefinition", "containerDefinitions", 0, "environment", 0, "value") != "" || at(out, "tags", 0, "key") != "k" {
		t.Errorf("register-task-definition: %v", out)
	}
	if _, null := at(out, "taskDefinition").(map[string]any)["taskRoleArn"]; null {
		t.Error("an absent field is there")
	}
}

// TestDefinitionDeletion: only revisions that are INACTIVE are deleted, and they stay for those who use them.
func TestDefinitionDeletion(t *testing.T) {
	s := begin(t)
	d := s.define(nil)
	in := &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: []string{*d.TaskDefinitionArn}}
	out := must[ecs.DeleteTaskDefinitionsOutput](s)(s.ecs.DeleteTaskDefinitions(s.ctx, in))
	if len(out.TaskDefinitions) != 0 || len(out.Failures) != 1 || aws.ToString(out.Failures[0].Arn) != *d.TaskDefinitionArn {
		t.Errorf("delete an active one: %+v", out)
	}
	must[ecs.DeregisterTaskDefinitionOutput](s)(s.ecs.DeregisterTaskDefinition(s.ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: d.TaskDefinitionArn}))
	out = must[ecs.DeleteTaskDefinitionsOutput](s)(s.ecs.DeleteTaskDefinitions(s.ctx, in))
	if len(out.TaskDefinitions) != 1 || len(out.Failures) != 0 || out.TaskDefinitions[0].Status != types.TaskDefinitionStatusDeleteInProgress || out.TaskDefinitions[0].DeleteRequestedAt == nil {
		t.Errorf("delete an inactive one: %+v", out)
	}
}
