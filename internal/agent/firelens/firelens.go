// Package firelens makes the configuration of a task's log router: a container with a firelensConfiguration, to which the output of
// containers with the awsfirelens driver goes by fluentd's forward protocol. It has the sections that Amazon's agent gives it.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_firelens.html
package firelens

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

const (
	// Driver is the log driver of containers whose output is routed.
	Driver = "awsfirelens"
	// Port is where the router listens on the task's network.
	Port = "24224"
	// Socket is where it listens in its own files, for the agent.
	Socket = "/var/run/fluent.sock"

	// bufferLimit is the option that bounds the driver's buffer; ours is the container's log files.
	bufferLimit = "log-driver-buffer-limit"
)

// Router is the place of the task's log router among its containers, -1 for none.
func Router(d *ecs.TaskDefinition) int {
	return slices.IndexFunc(d.ContainerDefinitions, func(c ecs.ContainerDefinition) bool { return c.FirelensConfiguration != nil })
}

// Routed tells whether a container's output goes to the router.
func Routed(c *ecs.ContainerDefinition) bool {
	return c.LogConfiguration != nil && c.LogConfiguration.LogDriver == Driver
}

// Host is where the task's containers find the router, on its port: empty if only its socket is there. address is the router's own
// on the bridge.
func Host(network, address string) string {
	switch network {
	case ecs.NetworkAwsvpc:
		return "127.0.0.1"
	case ecs.NetworkBridge:
		return address
	}
	return ""
}

// Variable names the router's environment variable that holds a secret log option of the container at a place in the definition.
func Variable(option string, container int) string { return fmt.Sprintf("%s_%d", option, container) }

// Task is what a configuration is made for.
type Task struct {
	Definition *ecs.TaskDefinition
	// Network is the definition's network mode, or what stands for none.
	Network      string
	Cluster, ARN string
}

// File is where a router of the definition's type reads its configuration.
func (t *Task) File() string { return t.language().file() }

func (t *Task) router() *ecs.ContainerDefinition {
	return &t.Definition.ContainerDefinitions[Router(t.Definition)]
}

func (t *Task) language() language {
	if t.router().FirelensConfiguration.Type == "fluentd" {
		return fluentd{}
	}
	return fluentBit{}
}

// Config writes the configuration of the task's router, which must be there, in the language of its type. It fails for options that
// cannot be configured, in the words of Amazon's agent.
func (t *Task) Config() (string, error) {
	f, l := t.router().FirelensConfiguration, t.language()
	var b strings.Builder
	l.inputs(&b, Host(t.Network, "0.0.0.0"), t.router())
	outputs, err := t.routes(&b, l)
	if err != nil {
		return "", err
	}
	if f.Options["enable-ecs-log-metadata"] != "false" {
		l.record(&b, []string{"ecs_cluster " + t.Cluster, "ecs_task_arn " + t.ARN, fmt.Sprintf("ecs_task_definition %s:%d", t.Definition.Family, t.Definition.Revision)})
	}
	if f.Options["config-file-type"] == "file" {
		if f.Options["config-file-value"] == "" {
			return "", errors.New("option config-file-type is specified but config-file-value is not specified")
		}
		l.include(&b, f.Options["config-file-value"])
	}
	return b.String() + outputs, nil
}

// routes writes the filters that the routed containers' options ask for, and gives the outputs, which stand behind all else.
func (t *Task) routes(b *strings.Builder, l language) (outputs string, err error) {
	var out strings.Builder
	l.ownOutput(&out, Host(t.Network, "0.0.0.0"))
	for i := range t.Definition.ContainerDefinitions {
		c := &t.Definition.ContainerDefinitions[i]
		if !Routed(c) {
			continue
		}
		tag := c.Name + "-firelens" + l.any()
		options := options(c, i, l)
		for _, name := range []string{"include-pattern", "exclude-pattern"} {
			if pattern, ok := options[name]; ok {
				l.grep(b, tag, name == "exclude-pattern", pattern)
				delete(options, name)
			}
		}
		plugin, ok := options[l.plugin()]
		delete(options, l.plugin())
		if !ok && len(options) > 0 {
			return "", fmt.Errorf("unable to apply log options of container %s to firelens config: missing output key %s which is required for firelens configuration of type %s",
				c.Name, l.plugin(), t.router().FirelensConfiguration.Type)
		}
		if !ok { // the configuration that is included has the outputs
			continue
		}
		var lines []string
		for _, k := range slices.Sorted(maps.Keys(options)) {
			lines = append(lines, k+" "+options[k])
		}
		l.output(&out, tag, plugin, lines)
	}
	return out.String(), nil
}

// options are a container's log options, with variables in place of the secret ones.
func options(c *ecs.ContainerDefinition, i int, l language) map[string]string {
	options := map[string]string{}
	maps.Copy(options, c.LogConfiguration.Options)
	delete(options, bufferLimit)
	for _, s := range c.LogConfiguration.SecretOptions {
		options[s.Name] = l.variable(Variable(s.Name, i))
	}
	return options
}
