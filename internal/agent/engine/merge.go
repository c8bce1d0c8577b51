package engine

import (
	"fmt"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

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

// taskSize reads a task's own limits, of cpu in cores and of memory in bytes, with an override's in place of the
// definition's. 0 is no limit.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
func taskSize(d *ecs.TaskDefinition, o *ecs.TaskOverride) (cores float64, bytes int64, err error) {
	cpu, memory := d.Cpu, d.Memory
	if o != nil {
		cpu, memory = first(o.Cpu, cpu), first(o.Memory, memory)
	}
	if cpu != "" {
		units, ok := ecs.CPUUnits(cpu)
		if !ok {
			return 0, 0, fmt.Errorf("task cpu %q is not an amount", cpu)
		}
		cores = float64(units) / 1024
	}
	if memory != "" {
		n, ok := ecs.MemoryMiB(memory)
		if !ok {
			return 0, 0, fmt.Errorf("task memory %q is not an amount", memory)
		}
		bytes = int64(n) * mib
	}
	return cores, bytes, nil
}
