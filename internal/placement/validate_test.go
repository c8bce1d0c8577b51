package placement_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		c    ecs.PlacementConstraint
		want string
	}{
		{ecs.PlacementConstraint{Type: "distinctInstance"}, ""},
		{ecs.PlacementConstraint{Type: "memberOf", Expression: "attribute:a exists"}, ""},
		{ecs.PlacementConstraint{Type: "distinctInstance", Expression: "attribute:a exists"}, "InvalidParameterException: distinctInstance expression should not be specified."},
		{ecs.PlacementConstraint{Type: "memberOf"}, "InvalidParameterException: memberOf expression must be specified."},
		{ecs.PlacementConstraint{Type: "memberOf", Expression: "x"}, `InvalidParameterException: Invalid expression at offset 0: expected a subject such as attribute:NAME, task:group or agentConnected, found "x".`},
		{ecs.PlacementConstraint{Type: "other"}, "InvalidParameterException: constraint.type 'other' is not supported."},
	} {
		if got := text(placement.ValidateConstraints([]ecs.PlacementConstraint{c.c})); got != c.want {
			t.Errorf("%v: %s", c.c, got)
		}
	}
	for _, c := range []struct {
		s    ecs.PlacementStrategy
		want string
	}{
		{random, ""}, {spreadZones, ""}, {spreadInstances, ""}, {binpackMemory, ""},
		{ecs.PlacementStrategy{Type: "binpack", Field: "CPU"}, ""}, {ecs.PlacementStrategy{Type: "spread", Field: "host"}, ""},
		{ecs.PlacementStrategy{Type: "random", Field: "cpu"}, "InvalidParameterException: Invalid field for placement strategy random: 'cpu'."},
		{ecs.PlacementStrategy{Type: "spread"}, "InvalidParameterException: Invalid field for placement strategy spread: ''."},
		{ecs.PlacementStrategy{Type: "spread", Field: "attribute:"}, "InvalidParameterException: Invalid field for placement strategy spread: 'attribute:'."},
		{ecs.PlacementStrategy{Type: "binpack", Field: "gpu"}, "InvalidParameterException: Invalid field for placement strategy binpack: 'gpu'."},
		{ecs.PlacementStrategy{Type: "pack"}, "InvalidParameterException: Invalid placement strategy type: 'pack'."},
	} {
		if got := text(placement.ValidateStrategy([]ecs.PlacementStrategy{c.s})); got != c.want {
			t.Errorf("%v: %s", c.s, got)
		}
	}
	many := slices.Repeat([]ecs.PlacementConstraint{{Type: "distinctInstance"}}, 11)
	if got := text(placement.ValidateConstraints(many)); !strings.Contains(got, "more than 10") {
		t.Error(got)
	}
	if got := text(placement.ValidateStrategy(slices.Repeat([]ecs.PlacementStrategy{random}, 6))); !strings.Contains(got, "more than 5") {
		t.Error(got)
	}
	if diff := cmp.Diff([]ecs.PlacementStrategy{spreadInstances, binpackMemory}, placement.NormalizeStrategy([]ecs.PlacementStrategy{{Type: "spread", Field: "host"}, binpackMemory})); diff != "" {
		t.Error(diff)
	}
}

// TestLaunchTypes: which instances take tasks of which launch type and capacity provider, and why others do not.
func TestLaunchTypes(t *testing.T) {
	s := open(t)
	plain, both, only, external, group := instance(1, 1000, 1000), instance(2, 1000, 1000), instance(3, 1000, 1000), instance(4, 1000, 1000), instance(5, 1000, 1000)
	both.Attributes = []ecs.Attribute{{Name: placement.AttributeFargate}}
	only.Attributes = []ecs.Attribute{{Name: placement.AttributeFargate, Value: placement.FargateOnly}}
	external.Attributes = []ecs.Attribute{{Name: "ecs.capability.external"}}
	group.CapacityProvider = "mine"
	if err := fill(s, []*ecs.Instance{plain, both, only, external, group}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		launch, provider string
		on, failed       []*ecs.Instance
	}{
		{"EC2", "", []*ecs.Instance{plain, both, external, group}, []*ecs.Instance{only}},
		{"", "", []*ecs.Instance{plain, both, external, group}, []*ecs.Instance{only}},
		{"FARGATE", "", []*ecs.Instance{both, only}, []*ecs.Instance{plain, external, group}},
		{"", "FARGATE_SPOT", []*ecs.Instance{both, only}, []*ecs.Instance{plain, external, group}},
		{"EXTERNAL", "", []*ecs.Instance{external}, []*ecs.Instance{plain, both, only, group}},
		{"", "mine", []*ecs.Instance{group}, nil},
		{"", "other", nil, nil},
	} {
		placed, failures := placement.Place(&s.View().Tables, placement.Request{Cluster: "c", Definition: definition(1, 4), Count: 9,
			LaunchType: c.launch, CapacityProvider: c.provider, Constraints: []ecs.PlacementConstraint{{Type: "distinctInstance"}}})
		var want []placement.Failure
		for _, i := range []*ecs.Instance{plain, both, only, external, group} {
			switch {
			case slices.Contains(c.on, i):
				want = append(want, placement.Failure{Instance: i.ID, Reason: "DistinctInstance placement constraint unsatisfied."})
			case slices.Contains(c.failed, i):
				want = append(want, placement.Failure{Instance: i.ID, Reason: "ATTRIBUTE"})
			}
		}
		if diff := cmp.Diff(want, failures); diff != "" || len(placed) != len(c.on) {
			t.Errorf("%s %s: placed on %v; %s", c.launch, c.provider, placed, diff)
		}
	}
}

// TestDevices: GPUs and network interfaces run out, and tell.
func TestDevices(t *testing.T) {
	s := open(t)
	gpus, enis, odd := instance(1, 1000, 1000), instance(2, 1000, 1000), instance(3, 1000, 1000)
	gpus.Native, enis.Native, odd.Native = true, true, true
	gpus.Registered.GPUs, enis.Registered.ENIs = []string{"a", "b", "c"}, 2
	odd.Attributes = []ecs.Attribute{{Name: "odd"}}
	if err := fill(s, []*ecs.Instance{gpus, enis, odd}, []*ecs.Task{{ID: ecs.TaskID{1}, Cluster: "c", Instance: gpus.ID,
		LastStatus: ecs.TaskRunning, Reserved: ecs.Resources{GPUs: []string{"b"}}}}); err != nil {
		t.Fatal(err)
	}
	view := s.View()
	d := definition(1, 4)
	d.ContainerDefinitions[0].ResourceRequirements = []ecs.ResourceRequirement{{Type: "GPU", Value: "2"}}
	placed, failures := placement.Place(&view.Tables, placement.Request{Cluster: "c", Definition: d, Count: 2})
	if diff := cmp.Diff([]placement.Placement{{Instance: gpus.ID, GPUs: []string{"a", "c"}}}, placed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]placement.Failure{{gpus.ID, "RESOURCE:GPU"}, {enis.ID, "RESOURCE:GPU"}, {odd.ID, "RESOURCE:GPU"}}, failures); diff != "" {
		t.Error(diff)
	}
	d = definition(1, 4)
	d.NetworkMode = ecs.NetworkAwsvpc
	placed, failures = placement.Place(&view.Tables, placement.Request{Cluster: "c", Definition: d, Count: 3,
		Constraints: []ecs.PlacementConstraint{{Type: "memberOf", Expression: "attribute:odd !exists and task:group !exists or pendingTasksCount < 0"}}})
	if len(placed) != 2 || len(failures) != 3 {
		t.Errorf("%v, %v", placed, failures)
	}
	placed, failures = placement.Place(&view.Tables, placement.Request{Cluster: "c", Definition: d, Count: 3,
		Constraints: []ecs.PlacementConstraint{{Type: "memberOf", Expression: "attribute:odd !exists and not(runningTasksCount > 0)"}}})
	if diff := cmp.Diff([]placement.Failure{{gpus.ID, placement.ReasonMemberOf}, {enis.ID, placement.ReasonENI}, {odd.ID, placement.ReasonMemberOf}}, failures); diff != "" || len(placed) != 2 {
		t.Error(placed, diff)
	}
}

// TestNativeAttributes: an agent of our own must have the features for which ECS has no attribute, Amazon's has them all.
func TestNativeAttributes(t *testing.T) {
	s := open(t)
	stock, plain, able := instance(1, 1000, 1000), instance(2, 1000, 1000), instance(3, 1000, 1000)
	plain.Native, able.Native = true, true
	able.Attributes = []ecs.Attribute{{Name: ecs.FeatureTmpfs}}
	if err := fill(s, []*ecs.Instance{stock, plain, able}, nil); err != nil {
		t.Fatal(err)
	}
	d := definition(1, 4)
	d.ContainerDefinitions[0].LinuxParameters = &ecs.LinuxParameters{Tmpfs: []ecs.Tmpfs{{ContainerPath: "/x", Size: 1}}}
	view := s.View()
	for range 2 { // The second time from what is kept with the roster.
		placed, failures := placement.Place(&view.Tables, placement.Request{Cluster: "c", Definition: d, Count: 3,
			Constraints: []ecs.PlacementConstraint{{Type: "distinctInstance"}}})
		if diff := cmp.Diff([]placement.Failure{{stock.ID, placement.ReasonDistinct}, {plain.ID, "ATTRIBUTE"}, {able.ID, placement.ReasonDistinct}}, failures); diff != "" || len(placed) != 2 {
			t.Error(placed, diff)
		}
	}
	files := &ecs.TaskOverride{ContainerOverrides: []ecs.ContainerOverride{{Name: "a", EnvironmentFiles: make([]ecs.EnvironmentFile, 1)}}}
	placed, _ := placement.Place(&view.Tables, placement.Request{Cluster: "c", Definition: d, Overrides: files, Count: 1})
	if len(placed) != 1 || placed[0].Instance != stock.ID {
		t.Errorf("environment files of an override: placed on %v", placed)
	}
}
