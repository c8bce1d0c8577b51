package ecs

import (
	"slices"
	"testing"
)

func TestHostPorts(t *testing.T) {
	number := func(n int32) *int32 { return &n }
	task := &Task{Reserved: Resources{Ports: []Port{{Number: 80}}}, Containers: []Container{
		{NetworkBindings: []NetworkBinding{
			{HostPort: number(80), BindIP: "0.0.0.0", Protocol: "tcp"},
			{HostPort: number(32768), BindIP: "0.0.0.0", Protocol: "tcp"},
			{HostPort: number(32768), BindIP: "::", Protocol: "tcp"},
		}},
		{NetworkBindings: []NetworkBinding{
			{HostPort: number(80), Protocol: "udp"},
			{HostPortRange: "65534-65535", Protocol: "udp"},
			{HostPortRange: "nonsense-1"}, {HostPortRange: "70000-70001"}, {HostPortRange: "9-3"}, {HostPort: number(-1)}, {},
		}},
	}}
	want := []Port{{Number: 80}, {Number: 32768}, {Number: 80, UDP: true}, {Number: 65534, UDP: true}, {Number: 65535, UDP: true}}
	if got := task.HostPorts(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(task.Reserved.Ports) != 1 {
		t.Error("the task's own list was changed")
	}
}
