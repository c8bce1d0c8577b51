package taskdef

import (
	"regexp"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

var portName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,63}$`)

// maxRanges is how many port ranges a container may have.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
const maxRanges = 100

// validateNetwork holds ports, links and names against the network mode.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#network_mode
func validateNetwork(d *ecs.TaskDefinition) error {
	names, host := map[string]bool{}, map[ecs.Port]bool{}
	var ranges []ports
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if err := validateMode(d, c); err != nil {
			return err
		}
		if n := countRanges(c); n > maxRanges {
			return refuse("Invalid 'containerPortRange' setting for container '%s'. You can specify at most %d port ranges.", c.Name, maxRanges)
		}
		for j := range c.PortMappings {
			p := &c.PortMappings[j]
			if err := validatePort(d.NetworkMode, c, p); err != nil {
				return err
			}
			if p.Name != "" && names[p.Name] {
				return refuse("Port mapping names must be unique within a Task Definition.")
			}
			names[p.Name] = true
			taken, ok := hostPort(d.NetworkMode, p)
			if ok && host[taken] {
				return refuse("%s host port '%d' is mapped multiple times in task.", protocol(p), taken.Number)
			}
			host[taken] = ok
			if low, high, ok := p.Range(); ok {
				for _, r := range ranges {
					if low <= r.high && r.low <= high && r.protocol == protocol(p) {
						return refuse("Invalid 'containerPortRange' setting for container '%s'. A container port is used multiple times in task.", c.Name)
					}
				}
				ranges = append(ranges, ports{low, high, protocol(p)})
			}
		}
	}
	return nil
}

func countRanges(c *ecs.ContainerDefinition) (n int) {
	for i := range c.PortMappings {
		if c.PortMappings[i].ContainerPortRange != "" {
			n++
		}
	}
	return n
}

// ports are a range of container ports.
type ports struct {
	low, high int
	protocol  string
}

func protocol(p *ecs.PortMapping) string {
	if p.Protocol == "udp" {
		return "UDP"
	}
	return "TCP"
}

// hostPort is the port that a mapping takes of the instance, or in the mode awsvpc of the task's own interface, if that is known
// beforehand.
func hostPort(mode string, p *ecs.PortMapping) (ecs.Port, bool) {
	n := p.HostPort
	if mode == ecs.NetworkHost || mode == ecs.NetworkAwsvpc {
		n = p.ContainerPort
	}
	if n == nil || *n == 0 {
		return ecs.Port{}, false
	}
	return ecs.Port{Number: uint16(*n), UDP: p.Protocol == "udp"}, true
}

func validateMode(d *ecs.TaskDefinition, c *ecs.ContainerDefinition) error {
	mode := d.NetworkMode
	if mode == "" {
		mode = ecs.NetworkBridge
	}
	switch {
	case mode == ecs.NetworkNone && len(c.PortMappings) > 0:
		return refuse("Port mappings are not supported when networkMode=none.")
	case mode != ecs.NetworkBridge && len(c.Links) > 0:
		return refuse("Links are not supported when networkMode=%s.", mode)
	case mode == ecs.NetworkAwsvpc && c.Hostname != "":
		return refuse("hostname is not supported on container when networkMode=awsvpc.")
	case mode == ecs.NetworkHost && c.Hostname != "":
		return refuse("Hostname is not supported on container when networkMode=host.")
	case mode == ecs.NetworkAwsvpc && c.DisableNetworking != nil && *c.DisableNetworking:
		return refuse("Disable Networking is not supported on container when networkMode=awsvpc.")
	case mode == ecs.NetworkAwsvpc && len(c.ExtraHosts) > 0:
		return refuse("Extra hosts are not supported on container when networkMode=awsvpc.")
	case mode == ecs.NetworkAwsvpc && len(c.DnsServers) > 0:
		return refuse("DNS servers are not supported on container when networkMode=awsvpc.")
	case mode == ecs.NetworkAwsvpc && len(c.DnsSearchDomains) > 0:
		return refuse("DNS search domains are not supported on container when networkMode=awsvpc.")
	}
	return nil
}

func validatePort(mode string, c *ecs.ContainerDefinition, p *ecs.PortMapping) error {
	bad := func(field string) error { return refuse("Invalid '%s' setting for container '%s'.", field, c.Name) }
	if p.Protocol != "" && p.Protocol != "tcp" && p.Protocol != "udp" {
		return bad("protocol")
	}
	if p.AppProtocol != "" && p.AppProtocol != "http" && p.AppProtocol != "http2" && p.AppProtocol != "grpc" {
		return bad("appProtocol")
	}
	if p.Name != "" && !portName.MatchString(p.Name) {
		return bad("name")
	}
	if p.ContainerPortRange != "" {
		if p.ContainerPort != nil || p.HostPort != nil {
			return refuse("Invalid 'containerPortRange' setting for container '%s'. You cannot specify both single port and port range.", c.Name)
		}
		if _, _, ok := p.Range(); !ok {
			return bad("containerPortRange")
		}
		return nil
	}
	switch {
	case p.ContainerPort == nil || *p.ContainerPort < 1 || *p.ContainerPort > 65535:
		return bad("containerPort")
	case p.HostPort != nil && (*p.HostPort < 0 || *p.HostPort > 65535):
		return bad("hostPort")
	case mode == ecs.NetworkAwsvpc && p.HostPort != nil && *p.HostPort != *p.ContainerPort,
		mode == ecs.NetworkHost && p.HostPort != nil && *p.HostPort != 0 && *p.HostPort != *p.ContainerPort:
		return refuse("When networkMode=%s, the host ports and container ports in port mappings must match.", mode)
	}
	return nil
}

// validateDependencies holds dependsOn and links against the containers that are there, and refuses cycles.
func validateDependencies(d *ecs.TaskDefinition) error {
	depends, links := map[string][]string{}, map[string][]string{}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		for _, on := range c.DependsOn {
			if err := validateDependency(d, c, on); err != nil {
				return err
			}
			depends[c.Name] = append(depends[c.Name], on.ContainerName)
		}
		for _, l := range c.Links {
			name, _, _ := strings.Cut(l, ":")
			if containerNamed(d, name) == nil {
				return refuse("Invalid 'links' setting for container '%s'. Container '%s' does not exist.", c.Name, name)
			}
			links[c.Name] = append(links[c.Name], name)
		}
	}
	if hasCycle(depends) {
		return refuse("Container dependencies should not have a cycle")
	}
	if hasCycle(links) {
		return refuse("Container links should not have a cycle")
	}
	return nil
}

func validateDependency(d *ecs.TaskDefinition, c *ecs.ContainerDefinition, on ecs.ContainerDependency) error {
	target := containerNamed(d, on.ContainerName)
	if target == nil {
		return refuse("Cannot depend on container + '%s' because it does not exist", on.ContainerName)
	}
	switch on.Condition {
	case "START":
	case "COMPLETE", "SUCCESS":
		if target.Essential == nil || *target.Essential {
			return refuse("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
		}
	case "HEALTHY":
		if target.HealthCheck == nil || slices.Equal(target.HealthCheck.Command, []string{"NONE"}) {
			return refuse("A dependency container with HEALTHY condition must have health check configured")
		}
	default:
		return refuse("Invalid 'condition' setting for container '%s'.", c.Name)
	}
	return nil
}

func hasCycle(edges map[string][]string) bool {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(string) bool
	visit = func(n string) bool {
		switch state[n] {
		case visiting:
			return true
		case done:
			return false
		}
		state[n] = visiting
		for _, m := range edges[n] {
			if visit(m) {
				return true
			}
		}
		state[n] = done
		return false
	}
	for n := range edges {
		if visit(n) {
			return true
		}
	}
	return false
}
