package ecs_test

import (
	"encoding/json"
	"slices"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
)

func TestNativeRequirements(t *testing.T) {
	var seen []string
	for _, c := range []struct {
		container string
		want      []string
	}{
		{`{"cpu":1,"environmentFiles":[{"type":"s3"}],"dockerSecurityOptions":["label:x","apparmor:y"],"resourceRequirements":[{"type":"GPU","value":"1"}],"linuxParameters":{"initProcessEnabled":true}}`, nil},
		{`{"links":["b"],"volumesFrom":[{"sourceContainer":"b"}]}`, []string{ecs.FeatureLinks, ecs.FeatureVolumesFrom}},
		{`{"dockerSecurityOptions":["label:x","no-new-privileges"]}`, []string{ecs.FeatureSecurityOptions}},
		{`{"resourceRequirements":[{"type":"NeuronDevice","value":"1"}]}`, []string{ecs.FeatureAccelerators}},
		{`{"linuxParameters":{"devices":[{}],"tmpfs":[{}],"maxSwap":1,"sharedMemorySize":1}}`,
			[]string{ecs.FeatureDevices, ecs.FeatureSharedMemory, ecs.FeatureSwap, ecs.FeatureTmpfs}},
		{`{"linuxParameters":{"swappiness":0}}`, []string{ecs.FeatureSwap}},
	} {
		var def ecs.ContainerDefinition
		if err := json.Unmarshal([]byte(c.container), &def); err != nil {
			t.Fatal(err)
		}
		d := &ecs.TaskDefinition{ContainerDefinitions: []ecs.ContainerDefinition{def, def}}
		if got := d.NativeRequirements(nil); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.container, got, c.want)
		}
		seen = append(seen, c.want...)
	}
	slices.Sort(seen)
	if seen = slices.Compact(seen); !slices.Equal(seen, ecs.NativeFeatures()) {
		t.Errorf("seen are %q, all are %q", seen, ecs.NativeFeatures())
	}
	files := &ecs.TaskOverride{ContainerOverrides: []ecs.ContainerOverride{{EnvironmentFiles: make([]ecs.EnvironmentFile, 1)}}}
	if got := new(ecs.TaskDefinition).NativeRequirements(files); !slices.Equal(got, []string{"ecs.capability.env-files.s3"}) {
		t.Errorf("environment files of an override need %q", got)
	}
}
