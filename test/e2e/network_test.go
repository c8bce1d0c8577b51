package e2e

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestNetworkSettings looks at what a container on the bridge sees of its definition, and at a link to another.
func TestNetworkSettings(t *testing.T) {
	in := up(t)
	in.register("settings", types.NetworkModeBridge,
		types.ContainerDefinition{Name: aws.String("server"), Image: aws.String("roadstead/hello:latest"), StopTimeout: aws.Int32(2), Essential: aws.Bool(false),
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}}},
		types.ContainerDefinition{Name: aws.String("c"), Hostname: aws.String("ship"), LogConfiguration: awslogs("/settings"), Links: []string{"server:web"},
			ExtraHosts: []types.HostEntry{{Hostname: aws.String("pier"), IpAddress: aws.String("192.0.2.7")}},
			DnsServers: []string{"192.0.2.53"}, DnsSearchDomains: []string{"harbour.test"},
			Command: []string{"sh", "-c", `cat /etc/hosts /etc/resolv.conf; echo host=$(hostname) port=$WEB_PORT_8080_TCP_PORT
				until wget -qO- http://web:8080/; do sleep 0.05; done; ls /sys/class/net`}})
	in.register("alone", types.NetworkModeBridge, types.ContainerDefinition{Name: aws.String("c"), DisableNetworking: aws.Bool(true), LogConfiguration: awslogs("/alone"),
		Command: []string{"sh", "-c", "ls /sys/class/net; echo end"}})
	settings, alone := in.runTask("settings"), in.runTask("alone")
	task := in.wait(settings, "STOPPED")
	in.wait(alone, "STOPPED")
	got := in.events("/settings")
	for _, want := range []string{"192.0.2.7\tpier", "nameserver 192.0.2.53", "search harbour.test", "host=ship port=8080", "Hello from Roadstead", "eth0"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s\n%+v", want, got, task.Containers)
		}
	}
	if !regexp.MustCompile(`(?m)^[0-9.]+\tweb [0-9a-f]{12} server$`).MatchString(got) {
		t.Errorf("no link in\n%s", got)
	}
	if got := in.events("/alone"); got != "lo\nend\n" {
		t.Errorf("a container without a network has interfaces %q", got)
	}
}

// TestPorts reaches a container by a range of ports, and finds that DescribeTasks tells the range, and a port of UDP, as ECS does.
func TestPorts(t *testing.T) {
	in := up(t)
	in.register("ports", types.NetworkModeBridge, types.ContainerDefinition{Name: aws.String("c"), StopTimeout: aws.Int32(2),
		PortMappings: []types.PortMapping{{ContainerPortRange: aws.String("7000-7009")}, {ContainerPort: aws.Int32(53), Protocol: types.TransportProtocolUdp}},
		Command:      []string{"sh", "-c", "trap exit TERM; while :; do nc -l -p 7009 -e echo last; done & while :; do sleep 0.1; done"}})
	task := in.wait(in.runTask("ports"), "RUNNING")
	b := task.Containers[0].NetworkBindings
	if len(b) != 2 || aws.ToString(b[0].ContainerPortRange) != "7000-7009" || b[0].ContainerPort != nil || b[0].HostPort != nil || b[1].HostPort == nil || b[1].Protocol != types.TransportProtocolUdp {
		t.Fatalf("bindings %+v", b)
	}
	var first, last int
	if _, err := fmt.Sscanf(*b[0].HostPortRange, "%d-%d", &first, &last); err != nil || last-first != 9 {
		t.Fatalf("range %q: %v", *b[0].HostPortRange, err)
	}
	eventually(t, "an answer by the range's last port", func() bool { return answer(last) == "last\n" })
	in.stopTask(*task.TaskArn, "")
	if names := in.networks(); len(names) > 0 {
		t.Errorf("networks of a task that has stopped: %v", names)
	}
}

// answer is what a port of this machine says.
func answer(port int) string {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 100)
	n, _ := c.Read(b) // no answer is as empty as an error
	return string(b[:n])
}
