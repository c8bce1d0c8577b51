package engine

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// TestLinks: a container with links starts after those it names, and has their addresses and variables under its names for them.
func TestLinks(t *testing.T) {
	d := definition("serve", "serve")
	d.NetworkMode = ecs.NetworkBridge
	d.ContainerDefinitions[0].Links = []string{"b:my-db", "b"}
	b := &d.ContainerDefinitions[1]
	b.Hostname, b.Environment = "dbhost", []ecs.KeyValuePair{{Name: "USER", Value: ptr("u")}, {Name: "PATH", Value: ptr("/x")}}
	b.PortMappings = []ecs.PortMapping{{ContainerPort: ptr(int32(9)), Protocol: "udp"}, {ContainerPort: ptr(int32(9))}}
	tk := makeTask(t, d, nil)
	if needs := tk.seen.containers[0].needs; len(needs) != 2 || needs[0] != (dependency{on: 1, condition: conditionStart}) {
		t.Errorf("needs %+v", needs)
	}
	spec := &runtime.Spec{Env: []string{"MY_DB_NAME=mine", "A=1"}}
	if _, err := tk.link(spec, &d.ContainerDefinitions[0]); err == nil || err.Error() != "Cannot link to a non running container: /b AS /a/my-db" {
		t.Error("a link to a container that does not run:", err)
	}
	tk.state.Containers[1].Address, tk.state.Containers[1].LastStatus = "172.20.0.9", ecs.TaskRunning
	hosts, err := tk.link(spec, &d.ContainerDefinitions[0])
	if err != nil || hosts != "172.20.0.9\tmy-db dbhost b\n172.20.0.9\tb dbhost\n" {
		t.Errorf("%q, %v", hosts, err)
	}
	var of []string
	for _, kv := range spec.Env {
		if !strings.HasPrefix(kv, "B_") {
			of = append(of, kv)
		}
	}
	want := []string{"MY_DB_PORT=tcp://172.20.0.9:9", "MY_DB_PORT_9_TCP=tcp://172.20.0.9:9", "MY_DB_PORT_9_TCP_ADDR=172.20.0.9", "MY_DB_PORT_9_TCP_PORT=9",
		"MY_DB_PORT_9_TCP_PROTO=tcp", "MY_DB_PORT_9_UDP=udp://172.20.0.9:9", "MY_DB_PORT_9_UDP_ADDR=172.20.0.9", "MY_DB_PORT_9_UDP_PORT=9",
		"MY_DB_PORT_9_UDP_PROTO=udp", "MY_DB_ENV_USER=u", "MY_DB_NAME=mine", "A=1"}
	if diff := gocmp.Diff(want, of); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"none", "b:x y", "b:x\n6.6.6.6 evil"} {
		d.ContainerDefinitions[0].Links = []string{bad}
		if _, err := newTask(runOf(d), d); err == nil {
			t.Errorf("link %q is taken", bad)
		}
	}
}
