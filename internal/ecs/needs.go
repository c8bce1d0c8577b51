package ecs

import (
	"strconv"
	"strings"
)

// Needs is what a task of the definition takes of its instance: cpu and memory of the task if it says them, else the sum
// over its containers, where memoryReservation counts before memory. Host ports are those known beforehand; dynamic ones are
// the agent's to choose. In network mode awsvpc it takes a network interface. Which GPUs it takes is placement's to choose
// (see NeedsGPUs).
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_memory
func (d *TaskDefinition) Needs(o *TaskOverride) Resources {
	if o == nil {
		o = &noOverride
	}
	var n Resources
	var cpu, memory int64
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		over := containerOverride(o, c.Name)
		cpu += int64(containerCPU(c, over))
		memory += int64(containerMemory(c, over))
		n.Ports = appendPorts(n.Ports, d.NetworkMode, c)
	}
	if d.NetworkMode == NetworkAwsvpc {
		n.ENIs = 1
	}
	n.CPU, n.MemoryMiB = clamp(cpu), clamp(memory)
	if v, ok := CPUUnits(firstSet(o.Cpu, d.Cpu)); ok {
		n.CPU = v
	}
	if v, ok := MemoryMiB(firstSet(o.Memory, d.Memory)); ok {
		n.MemoryMiB = v
	}
	return n
}

// NeedsGPUs is how many GPUs each container asks for, in the definition's order, and their sum. A container without a
// number asks for none; an override's goes before the definition's.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ResourceRequirement.html
func (d *TaskDefinition) NeedsGPUs(o *TaskOverride) (each []int, sum int) {
	if o == nil {
		o = &noOverride
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		n := countGPUs(c.ResourceRequirements)
		if over := containerOverride(o, c.Name); over != nil && len(over.ResourceRequirements) > 0 {
			n = countGPUs(over.ResourceRequirements)
		}
		if n > 0 && each == nil {
			each = make([]int, len(d.ContainerDefinitions))
		}
		if n > 0 {
			each[i], sum = n, sum+n
		}
	}
	return each, sum
}

// maxGPUs is more than any machine has and keeps sums small.
const maxGPUs = 1 << 16

func countGPUs(requirements []ResourceRequirement) int {
	for _, r := range requirements {
		if n, err := strconv.Atoi(r.Value); r.Type == "GPU" && err == nil && n > 0 {
			return min(n, maxGPUs)
		}
	}
	return 0
}

// clamp keeps a sum of many large amounts from becoming a small one.
func clamp(n int64) int32 { return int32(max(0, min(n, 1<<31-1))) }

var noOverride TaskOverride

func firstSet(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func containerOverride(o *TaskOverride, name string) *ContainerOverride {
	for i := range o.ContainerOverrides {
		if o.ContainerOverrides[i].Name == name {
			return &o.ContainerOverrides[i]
		}
	}
	return nil
}

func containerCPU(c *ContainerDefinition, o *ContainerOverride) int32 {
	if o != nil && o.Cpu != nil {
		return *o.Cpu
	}
	return c.Cpu
}

func containerMemory(c *ContainerDefinition, o *ContainerOverride) int32 {
	memory, reservation := c.Memory, c.MemoryReservation
	if o != nil && o.Memory != nil {
		memory = o.Memory
	}
	if o != nil && o.MemoryReservation != nil {
		reservation = o.MemoryReservation
	}
	switch {
	case reservation != nil:
		return *reservation
	case memory != nil:
		return *memory
	}
	return 0
}

// appendPorts adds the host ports that a container asks for by number. In the modes awsvpc and none the host's ports are not used.
func appendPorts(ports []Port, mode string, c *ContainerDefinition) []Port {
	if mode == NetworkAwsvpc || mode == NetworkNone {
		return ports
	}
	for _, p := range c.PortMappings {
		number := p.HostPort
		if mode == NetworkHost && (number == nil || *number == 0) {
			number = p.ContainerPort
		}
		if number == nil || *number <= 0 || *number > 65535 {
			continue
		}
		ports = append(ports, Port{Number: uint16(*number), UDP: p.Protocol == "udp"})
	}
	return ports
}

// CPUUnits reads a task's cpu as ECS takes it: units ("1024") or vCPUs ("1 vCPU", ".5 vcpu"). 1024 units are one vCPU.
func CPUUnits(s string) (int32, bool) {
	return quantity(s, "vcpu", 1024)
}

// MemoryMiB reads a task's memory as ECS takes it: MiB ("512") or GB ("2 GB", "0.5GB").
func MemoryMiB(s string) (int32, bool) {
	return quantity(s, "gb", 1024)
}

func quantity(s, unit string, factor float64) (int32, bool) {
	if s == "" {
		return 0, false
	}
	lower := strings.ToLower(strings.TrimSpace(s))
	if number, ok := strings.CutSuffix(lower, unit); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(f > 0 && f*factor < 1<<31) {
			return 0, false
		}
		return int32(f * factor), true
	}
	n, err := strconv.ParseInt(lower, 10, 32)
	if err != nil || n <= 0 {
		return 0, false
	}
	return int32(n), true
}
