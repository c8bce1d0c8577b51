package engine

import (
	"slices"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
)

// TestNativeFeaturesAgreeWithRefusals: what the engine refuses it does not advertise, and what it takes it does.
func TestNativeFeaturesAgreeWithRefusals(t *testing.T) {
	n := int32(64)
	linux := func(l ecs.LinuxParameters) ecs.ContainerDefinition {
		return ecs.ContainerDefinition{LinuxParameters: &l}
	}
	uses := map[string][]ecs.ContainerDefinition{
		ecs.FeatureAccelerators:    {{ResourceRequirements: []ecs.ResourceRequirement{{Type: "NeuronDevice", Value: "1"}}}},
		ecs.FeatureDevices:         {linux(ecs.LinuxParameters{Devices: []ecs.Device{{HostPath: "/dev/null"}}})},
		ecs.FeatureLinks:           {{Links: []string{"b"}}},
		ecs.FeatureSecurityOptions: {{DockerSecurityOptions: []string{"no-new-privileges"}}},
		ecs.FeatureSharedMemory:    {linux(ecs.LinuxParameters{SharedMemorySize: &n})},
		ecs.FeatureSwap:            {linux(ecs.LinuxParameters{MaxSwap: &n}), linux(ecs.LinuxParameters{Swappiness: &n})},
		ecs.FeatureTmpfs:           {linux(ecs.LinuxParameters{Tmpfs: []ecs.Tmpfs{{ContainerPath: "/t", Size: 1}}})},
		ecs.FeatureVolumesFrom:     {{VolumesFrom: []ecs.VolumeFrom{{SourceContainer: "b"}}}},
	}
	for _, name := range ecs.NativeFeatures() {
		if len(uses[name]) == 0 {
			t.Errorf("no container uses %s", name)
		}
		for _, c := range uses[name] {
			d := &ecs.TaskDefinition{ContainerDefinitions: []ecs.ContainerDefinition{c}}
			if got := d.NativeRequirements(nil); !slices.Equal(got, []string{name}) {
				t.Errorf("%s: required %v", name, got)
			}
			err := unsupported(d, &c, nil)
			if has := slices.Contains(NativeFeatures, name); has != (err == nil) {
				t.Errorf("%s: advertised is %t, the engine says %v", name, has, err)
			}
		}
	}
}
