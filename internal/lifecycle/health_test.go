package lifecycle

import (
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
)

// TestTaskHealth: a task's health is that of its essential containers that are checked.
func TestTaskHealth(t *testing.T) {
	no := false
	essential, other := ecs.ContainerDefinition{}, ecs.ContainerDefinition{Essential: &no}
	for name, c := range map[string]struct {
		definitions []ecs.ContainerDefinition
		health      []ecs.HealthStatus
		want        ecs.HealthStatus
	}{
		"no checks":                 {[]ecs.ContainerDefinition{essential, other}, []ecs.HealthStatus{"", ""}, ""},
		"all healthy":               {[]ecs.ContainerDefinition{essential, essential}, []ecs.HealthStatus{ecs.HealthHealthy, ecs.HealthHealthy}, ecs.HealthHealthy},
		"one unchecked":             {[]ecs.ContainerDefinition{essential, essential}, []ecs.HealthStatus{"", ecs.HealthHealthy}, ecs.HealthHealthy},
		"one unhealthy":             {[]ecs.ContainerDefinition{essential, essential}, []ecs.HealthStatus{ecs.HealthUnknown, ecs.HealthUnhealthy}, ecs.HealthUnhealthy},
		"one unknown":               {[]ecs.ContainerDefinition{essential, essential}, []ecs.HealthStatus{ecs.HealthHealthy, ecs.HealthUnknown}, ecs.HealthUnknown},
		"one unhealthy, no matter":  {[]ecs.ContainerDefinition{essential, other}, []ecs.HealthStatus{ecs.HealthHealthy, ecs.HealthUnhealthy}, ecs.HealthHealthy},
		"none essential is checked": {[]ecs.ContainerDefinition{essential, other}, []ecs.HealthStatus{"", ecs.HealthUnhealthy}, ""},
	} {
		task := &ecs.Task{}
		for _, h := range c.health {
			task.Containers = append(task.Containers, ecs.Container{HealthStatus: h})
		}
		if got := taskHealth(task, &ecs.TaskDefinition{ContainerDefinitions: c.definitions}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
