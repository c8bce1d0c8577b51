package engine

import (
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
)

// TestRouterOrder: what is routed starts after the router and is waited for by its end, unless the router waits for others.
func TestRouterOrder(t *testing.T) {
	d := &ecs.TaskDefinition{
		Family: "web", NetworkMode: "none", ContainerDefinitions: []ecs.ContainerDefinition{
			{Name: "app", LogConfiguration: &ecs.LogConfiguration{LogDriver: "awsfirelens"}},
			{Name: "router", FirelensConfiguration: &ecs.FirelensConfiguration{Type: "fluentbit"}},
		},
	}
	if needs := makeTask(t, d, nil).seen.containers[0].needs; len(needs) != 1 || needs[0] != (dependency{on: 1, condition: conditionStart, logs: true}) {
		t.Errorf("needs %+v", needs)
	}
	d.ContainerDefinitions[1].DependsOn = []ecs.ContainerDependency{{ContainerName: "app", Condition: "START"}}
	if needs := makeTask(t, d, nil).seen.containers[0].needs; len(needs) != 0 {
		t.Errorf("needs %+v", needs)
	}
}
