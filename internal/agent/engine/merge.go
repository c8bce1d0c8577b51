package engine

import (
	"fmt"
	"strconv"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// overrideOf finds what RunTask changes of a container; nil for nothing.
func overrideOf(o *ecs.TaskOverride, name string) *ecs.ContainerOverride {
	if o == nil {
		return nil
	}
	for i := range o.ContainerOverrides {
		if o.ContainerOverrides[i].Name == name {
			return &o.ContainerOverrides[i]
		}
	}
	return nil
}

// merge lays an override over a container's definition. What it gives shares what was not changed with the definition.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerOverride.html
func merge(def *ecs.ContainerDefinition, o *ecs.ContainerOverride) *ecs.ContainerDefinition {
	if o == nil {
		return def
	}
	c := *def
	if len(o.Command) > 0 {
		c.Command = o.Command
	}
	if o.Cpu != nil {
		c.Cpu = *o.Cpu
	}
	if o.Memory != nil {
		c.Memory = o.Memory
	}
	if o.MemoryReservation != nil {
		c.MemoryReservation = o.MemoryReservation
	}
	if len(o.Environment) > 0 {
		c.Environment = append(append([]ecs.KeyValuePair(nil), def.Environment...), o.Environment...)
	}
	return &c
}

// arguments puts entry point and command together as Docker does: an entry point of the definition takes the image's
// command away with the image's entry point.
func arguments(c *ecs.ContainerDefinition, imageEntrypoint, imageCmd []string) []string {
	entrypoint, command := c.EntryPoint, c.Command
	if len(entrypoint) == 0 {
		entrypoint = imageEntrypoint
		if len(command) == 0 {
			command = imageCmd
		}
	}
	args := make([]string, 0, len(entrypoint)+len(command))
	return append(append(args, entrypoint...), command...)
}

// environment is a list of NAME=VALUE in which a later value takes an earlier one's place.
type environment struct {
	list  []string
	index map[string]int
}

func (e *environment) set(name, value string) {
	if name == "" {
		return
	}
	if e.index == nil {
		e.index = map[string]int{}
	}
	if i, ok := e.index[name]; ok {
		e.list[i] = name + "=" + value
		return
	}
	e.index[name] = len(e.list)
	e.list = append(e.list, name+"="+value)
}

// defaultPath is what Docker gives a container whose image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// env lays a container's environment out: Docker's defaults, the image's, ECS's, the definition's and the override's, each
// over the one before.
func env(c *ecs.ContainerDefinition, image []string, given []ecs.KeyValuePair) []string {
	var e environment
	e.set("PATH", defaultPath)
	if set(c.PseudoTerminal) {
		e.set("TERM", "xterm")
	}
	for _, kv := range image {
		name, value, _ := strings.Cut(kv, "=")
		e.set(name, value)
	}
	for _, list := range [][]ecs.KeyValuePair{given, c.Environment} {
		for _, kv := range list {
			value := ""
			if kv.Value != nil {
				value = *kv.Value
			}
			e.set(kv.Name, value)
		}
	}
	return e.list
}

// taskCPU reads a task's cpu, in cores: units of 1/1024 core, or vCPUs where it says so ("1 vCPU", ".5 vcpu"). 0 is no limit.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
func taskCPU(s string) (cores float64, err error) {
	if s = strings.ToLower(strings.TrimSpace(s)); s == "" {
		return 0, nil
	}
	number, vcpu := strings.CutSuffix(s, "vcpu")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("task cpu %q is not an amount", s)
	}
	if vcpu {
		return n, nil
	}
	return n / 1024, nil
}

// taskMemory reads a task's memory, in bytes: MiB, or GiB where it says so ("2GB"). 0 is no limit.
func taskMemory(s string) (bytes int64, err error) {
	if s = strings.ToLower(strings.TrimSpace(s)); s == "" {
		return 0, nil
	}
	number, gb := strings.CutSuffix(s, "gb")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("task memory %q is not an amount", s)
	}
	if gb {
		n *= 1024
	}
	return int64(n * (1 << 20)), nil
}
