package taskdef_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/ecs"
)

// drawn is a valid definition of one to four containers that use much of what there is.
func drawn(t *rapid.T) *ecs.TaskDefinition {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	d := &ecs.TaskDefinition{
		Family: rapid.StringMatching(`[a-zA-Z0-9_-]{1,20}`).Draw(t, "family"), NetworkMode: pick("mode", "", "bridge", "host", "awsvpc", "none"),
		Cpu: pick("cpu", "", "1024", "1 vCPU", "2 vcpu"), Memory: pick("memory", "", "4096", "4 GB"), ExecutionRoleArn: "role",
		PidMode: pick("pid", "", "task"), Volumes: []ecs.Volume{{Name: "v"}},
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "containers") {
		memory := rapid.Int32Range(6, 512).Draw(t, "memory of container")
		c := ecs.ContainerDefinition{Name: fmt.Sprint("c", i), Image: "i:1", Memory: &memory, Cpu: rapid.Int32Range(0, 256).Draw(t, "cpu units"), Environment: []ecs.KeyValuePair{}}
		if d.NetworkMode != "none" && rapid.Bool().Draw(t, "port") {
			n := int32(8000 + i)
			c.PortMappings = []ecs.PortMapping{{ContainerPort: &n, Name: pick("port name", "", c.Name), Protocol: pick("protocol", "", "tcp", "udp")}}
		}
		if rapid.Bool().Draw(t, "health") {
			c.HealthCheck = &ecs.HealthCheck{Command: []string{"CMD", "true"}}
		}
		if i > 0 {
			essential := rapid.Bool().Draw(t, "essential")
			c.Essential = &essential
			c.DependsOn = []ecs.ContainerDependency{{ContainerName: "c0", Condition: "START"}}
		}
		if rapid.Bool().Draw(t, "mount") {
			c.MountPoints = []ecs.MountPoint{{SourceVolume: "v", ContainerPath: "/v"}}
		}
		if rapid.Bool().Draw(t, "secret") {
			c.Secrets = []ecs.Secret{{Name: "S", ValueFrom: "arn:aws:ssm:us-east-1:000000000000:parameter/s"}}
		}
		d.ContainerDefinitions = append(d.ContainerDefinitions, c)
	}
	return d
}

// TestNoDrift: a valid definition is taken; what is described is taken too, and stays as it is.
func TestNoDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawn(t)
		if err := taskdef.Prepare(d); err != nil {
			t.Fatalf("refused: %v", err)
		}
		body, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again := &ecs.TaskDefinition{}
		if err := json.Unmarshal(body, again); err != nil {
			t.Fatal(err)
		}
		if err := taskdef.Prepare(again); err != nil {
			t.Fatalf("refused when it is registered as described: %v", err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkPrepare(b *testing.B) {
	const text = `{"family":"web","networkMode":"awsvpc","cpu":"1 vCPU","memory":"2GB","requiresCompatibilities":["FARGATE"],"executionRoleArn":"r","containerDefinitions":[
{"name":"web","image":"nginx:1.27","portMappings":[{"containerPort":80}],"environment":[{"name":"A","value":"b"},{"name":"C","value":"d"}],"secrets":[{"name":"S","valueFrom":"s"}],
"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"us-east-1","awslogs-stream-prefix":"web"}},"healthCheck":{"command":["CMD","true"]}},
{"name":"side","image":"busybox","essential":false,"dependsOn":[{"containerName":"web","condition":"HEALTHY"}]}]}`
	for b.Loop() {
		b.StopTimer()
		d := &ecs.TaskDefinition{}
		if err := json.Unmarshal([]byte(text), d); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := taskdef.Prepare(d); err != nil {
			b.Fatal(err)
		}
	}
}
