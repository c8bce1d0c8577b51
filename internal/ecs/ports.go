package ecs

import (
	"slices"
	"strconv"
	"strings"
)

// HostPorts are the ports of its host that a task takes: those reserved beforehand and those that its agent chose and
// reported as bound. Each is there once. The list may be the task's own: it must not be modified.
func (t *Task) HostPorts() []Port {
	ports := t.Reserved.Ports
	own := true
	for i := range t.Containers {
		for _, b := range t.Containers[i].NetworkBindings {
			first, last := b.hostPorts()
			for n := first; n != 0 && n <= last; n++ {
				p := Port{Number: uint16(n), UDP: b.Protocol == "udp"}
				if slices.Contains(ports, p) {
					continue
				}
				if own {
					ports, own = slices.Clone(ports), false
				}
				ports = append(ports, p)
			}
		}
	}
	return ports
}

// hostPorts are the first and last port of a binding; 0 if it has none, or what it says is no port.
func (b *NetworkBinding) hostPorts() (first, last int) {
	if p := b.HostPort; p != nil && *p > 0 && *p < 1<<16 {
		return int(*p), int(*p)
	}
	first, last, _ = portRange(b.HostPortRange)
	return first, last
}

// Range is the range of container ports that a mapping names, if it names one.
func (p *PortMapping) Range() (first, last int, ok bool) { return portRange(p.ContainerPortRange) }

// portRange reads FIRST-LAST; ok says that both are ports and FIRST is the lower one.
func portRange(s string) (first, last int, ok bool) {
	from, to, _ := strings.Cut(s, "-")
	a, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, false
	}
	z, err := strconv.ParseUint(to, 10, 16)
	if err != nil {
		return 0, 0, false
	}
	return int(a), int(z), 0 < a && a < z
}
