package placement_test

import (
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
)

// TestNativeFeatures: a feature without an attribute of ECS's is asked of Roadstead's own agents, and of no others.
func TestNativeFeatures(t *testing.T) {
	s := open(t)
	amazon, without, with := instance(1, 1000, 1000), instance(2, 1000, 1000), instance(3, 1000, 1000)
	without.Native, with.Native = true, true
	with.Attributes = []ecs.Attribute{{Name: ecs.FeatureLinks}}
	if err := fill(s, []*ecs.Instance{amazon, without, with}, nil); err != nil {
		t.Fatal(err)
	}
	plain, links, tmpfs := definition(1, 4), definition(1, 4), definition(1, 4)
	links.ContainerDefinitions[0].Links = []string{"b"}
	tmpfs.ContainerDefinitions[0].LinuxParameters = &ecs.LinuxParameters{Tmpfs: []ecs.Tmpfs{{ContainerPath: "/t", Size: 1}}}
	for _, c := range []struct {
		name       string
		definition *ecs.TaskDefinition
		want       [3]string
	}{
		{"plain", plain, [3]string{}},
		{"links", links, [3]string{"", "ATTRIBUTE", ""}},
		{"tmpfs", tmpfs, [3]string{"", "ATTRIBUTE", "ATTRIBUTE"}},
	} {
		for at, i := range []*ecs.Instance{amazon, without, with} {
			if got := placement.Check(&s.View().Tables, placement.Request{Cluster: "c", Definition: c.definition}, i); got != c.want[at] {
				t.Errorf("%s on instance %d: %q, want %q", c.name, at, got, c.want[at])
			}
		}
	}
}
