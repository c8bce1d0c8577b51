package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// A container with a firelensConfiguration is its task's log router. Containers with the awsfirelens driver are shipped to it by
// fluentd's forward protocol, over a socket in a directory that is mounted into the router; its configuration is made here.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_firelens.html

const (
	driverFirelens = "awsfirelens"
	// routerBuffer is the option that bounds the driver's buffer; ours is the container's log files.
	routerBuffer = "log-driver-buffer-limit"
	routerPort   = "24224"
	// routerGrace is how long output is offered to a router that is gone, once the container has ended.
	routerGrace = 5 * time.Second
)

// router is the place of the task's log router among its containers, -1 for none.
func router(d *ecs.TaskDefinition) int {
	return slices.IndexFunc(d.ContainerDefinitions, func(c ecs.ContainerDefinition) bool { return c.FirelensConfiguration != nil })
}

func routed(c *ecs.ContainerDefinition) bool { return logDriver(c) == driverFirelens }

// needsOfRouter makes containers start after their log router, and the router end after their output is shipped. A router that itself
// waits for others is left out, as by Amazon's agent.
func (t *task) needsOfRouter() {
	r := router(t.definition)
	if r < 0 || len(t.definition.ContainerDefinitions[r].DependsOn) > 0 {
		return
	}
	for i := range t.definition.ContainerDefinitions {
		if i != r && routed(&t.definition.ContainerDefinitions[i]) {
			t.seen.containers[i].needs = append(t.seen.containers[i].needs, dependency{on: r, condition: conditionStart, logs: true})
		}
	}
}

// routerSource turns what the awsfirelens driver is told into what the fluentd driver is.
func (t *task) routerSource(s *logs.Source) {
	s.Driver, s.GiveUp = "fluentd", routerGrace
	s.Options = map[string]string{
		"fluentd-address": "unix://" + filepath.Join(t.engine.files.firelens(t.run.ID), "socket", "fluent.sock"), "fluentd-async": "true",
		"fluentd-sub-second-precision": "true", "tag": s.ContainerName + "-firelens-" + s.TaskID,
	}
}

// firelens adds what a router, or a container whose output is routed, has beside its definition.
func (e *Engine) firelens(t *task, i int, spec *runtime.Spec) error {
	r := router(t.definition)
	if r < 0 || e.cfg.Simulated {
		return nil
	}
	if i == r {
		return e.prepareRouter(t, r, spec)
	}
	if !routed(&t.definition.ContainerDefinitions[i]) {
		return nil
	}
	host := ""
	switch networkMode(t.definition) {
	case ecs.NetworkAwsvpc:
		host = "127.0.0.1"
	case ecs.NetworkBridge:
		t.mu.Lock()
		host = t.state.Containers[r].Address
		t.mu.Unlock()
	}
	if host != "" {
		spec.Env = withEnv(spec.Env, []string{"FLUENT_HOST=" + host, "FLUENT_PORT=" + routerPort})
	}
	return nil
}

// prepareRouter gives the router its configuration and its socket's directory.
func (e *Engine) prepareRouter(t *task, r int, spec *runtime.Spec) error {
	if e.files.none() {
		return errors.New("this agent keeps no files for a log router")
	}
	text, err := routerConfig(t.definition, t.run.Cluster, t.run.ARN)
	if err != nil {
		return err
	}
	dir := e.files.firelens(t.run.ID)
	socket, config := filepath.Join(dir, "socket"), filepath.Join(dir, "fluent.conf")
	if err := os.MkdirAll(socket, 0o700); err != nil {
		return fmt.Errorf("make the log router's directory: %w", err)
	}
	if err := os.Chmod(socket, 0o777); err != nil { // the router may be any user; the directories above keep others out
		return fmt.Errorf("make the log router's directory: %w", err)
	}
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the log router's configuration: %w", err)
	}
	c := &t.definition.ContainerDefinitions[r]
	target := "/fluent-bit/etc/fluent-bit.conf"
	if c.FirelensConfiguration.Type == "fluentd" {
		target = "/fluentd/etc/fluent.conf"
		if c.User == "" { // fluentd's image gives its root rights away otherwise
			spec.Env = withEnv(spec.Env, []string{"FLUENT_UID=0"})
		}
	}
	// First: the task's own mounts may be within them.
	spec.Mounts = append([]runtime.Mount{{Source: socket, Target: "/var/run"}, {Source: config, Target: target}}, spec.Mounts...)
	return nil
}

// routerSecrets are, for a router, the secret options of the containers whose output is routed, as variables that its configuration
// names.
func (e *Engine) routerSecrets(ctx context.Context, t *task, router int) ([]string, error) {
	if t.definition.ContainerDefinitions[router].FirelensConfiguration == nil || e.cfg.Simulated {
		return nil, nil
	}
	var env []string
	for i := range t.definition.ContainerDefinitions {
		c := &t.definition.ContainerDefinitions[i]
		if !routed(c) {
			continue
		}
		for _, s := range c.LogConfiguration.SecretOptions {
			value, err := e.secret(ctx, t, s.ValueFrom)
			if err != nil {
				return nil, err
			}
			env = append(env, routerVariable(s.Name, i)+"="+value)
		}
	}
	return env, nil
}

func routerVariable(option string, container int) string {
	return fmt.Sprintf("%s_%d", option, container)
}

// section is one of a router's configuration.
type section struct {
	kind, tag string
	// lines are options in order.
	lines []string
}

// routerConfig writes the router's configuration, with the sections that Amazon's agent gives it, in the language of its type.
func routerConfig(d *ecs.TaskDefinition, cluster, arn string) (string, error) {
	c := &d.ContainerDefinitions[router(d)]
	f := c.FirelensConfiguration
	fluentd := f.Type == "fluentd"
	any := "*"
	if fluentd {
		any = "**"
	}
	sections := routerInputs(d, c, fluentd)
	filters, outputs, err := routerOutputs(d, fluentd, any)
	if err != nil {
		return "", err
	}
	sections = append(sections, filters...)
	if f.Options["enable-ecs-log-metadata"] != "false" {
		fields := []string{"ecs_cluster " + cluster, "ecs_task_arn " + arn, fmt.Sprintf("ecs_task_definition %s:%d", d.Family, d.Revision)}
		sections = append(sections, recordSection(fluentd, any, fields))
	}
	if f.Options["config-file-type"] == "file" {
		if f.Options["config-file-value"] == "" {
			return "", errors.New("option config-file-type is specified but config-file-value is not specified")
		}
		sections = append(sections, section{kind: "include", tag: f.Options["config-file-value"]})
	}
	var b strings.Builder
	for _, s := range append(sections, outputs...) {
		s.write(&b, fluentd)
	}
	return b.String(), nil
}

// routerInputs are the socket, and where the task has a network a port and, for Fluent Bit, a port for its health checks.
func routerInputs(d *ecs.TaskDefinition, c *ecs.ContainerDefinition, fluentd bool) []section {
	const socket = "/var/run/fluent.sock"
	bind, network := "0.0.0.0", true
	switch networkMode(d) {
	case ecs.NetworkAwsvpc:
		bind = "127.0.0.1"
	case ecs.NetworkBridge:
	default:
		network = false
	}
	if fluentd {
		in := []section{{kind: "source", lines: []string{"@type unix", "path " + socket}}}
		if network {
			in = append(in, section{kind: "source", lines: []string{"@type forward", "bind " + bind, "port " + routerPort}})
		}
		return in
	}
	in := []section{{kind: "INPUT", lines: []string{"Name forward", fmt.Sprintf("Mem_Buf_Limit %dMB", routerMemory(c)), "unix_path " + socket}}}
	if network {
		in = append(in, section{kind: "INPUT", lines: []string{"Name forward", "Listen " + bind, "Port " + routerPort}},
			section{kind: "INPUT", lines: []string{"Name tcp", "Tag firelens-healthcheck", "Listen 127.0.0.1", "Port 8877"}})
	}
	return in
}

// routerMemory is how much Fluent Bit may buffer in memory, in MB: half of what it has.
func routerMemory(c *ecs.ContainerDefinition) int32 {
	const byDefault = 25
	for _, m := range []*int32{c.MemoryReservation, c.Memory} {
		if m != nil && *m/2 > 0 {
			return *m / 2
		}
	}
	return byDefault
}

// routerOutputs are the filters and outputs that the routed containers' options ask for.
func routerOutputs(d *ecs.TaskDefinition, fluentd bool, any string) (filters, outputs []section, err error) {
	if !fluentd && (networkMode(d) == ecs.NetworkBridge || networkMode(d) == ecs.NetworkAwsvpc) {
		outputs = append(outputs, section{kind: "OUTPUT", lines: []string{"Name null", "Match firelens-healthcheck"}})
	}
	plugin := "Name"
	if fluentd {
		plugin = "@type"
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if !routed(c) {
			continue
		}
		tag := c.Name + "-firelens" + any
		options := routedOptions(c, i, fluentd)
		for _, name := range []string{"include-pattern", "exclude-pattern"} {
			if pattern, ok := options[name]; ok {
				filters = append(filters, grepSection(fluentd, tag, name == "exclude-pattern", pattern))
				delete(options, name)
			}
		}
		name, ok := options[plugin]
		delete(options, plugin)
		if !ok && len(options) > 0 {
			return nil, nil, fmt.Errorf("unable to apply log options of container %s to firelens config: missing output key %s which is required for firelens configuration of type %s",
				c.Name, plugin, d.ContainerDefinitions[router(d)].FirelensConfiguration.Type)
		}
		if !ok { // the configuration that is included has the outputs
			continue
		}
		out := section{kind: "OUTPUT", lines: []string{"Name " + name, "Match " + tag}}
		if fluentd {
			out = section{kind: "match", tag: tag, lines: []string{"@type " + name}}
		}
		for _, k := range slices.Sorted(maps.Keys(options)) {
			out.lines = append(out.lines, k+" "+options[k])
		}
		outputs = append(outputs, out)
	}
	return filters, outputs, nil
}

// routedOptions are a container's log options, with variables in place of the secret ones.
func routedOptions(c *ecs.ContainerDefinition, i int, fluentd bool) map[string]string {
	options := map[string]string{}
	maps.Copy(options, c.LogConfiguration.Options)
	delete(options, routerBuffer)
	for _, s := range c.LogConfiguration.SecretOptions {
		options[s.Name] = "${" + routerVariable(s.Name, i) + "}"
		if fluentd {
			options[s.Name] = `"#{ENV['` + routerVariable(s.Name, i) + `']}"`
		}
	}
	return options
}

func grepSection(fluentd bool, tag string, exclude bool, pattern string) section {
	if !fluentd {
		verb := "Regex "
		if exclude {
			verb = "Exclude "
		}
		return section{kind: "FILTER", lines: []string{"Name grep", "Match " + tag, verb + "log " + pattern}}
	}
	part := "regexp"
	if exclude {
		part = "exclude"
	}
	return section{kind: "filter", tag: tag, lines: []string{"@type grep", "<" + part + ">", "    key log", "    pattern " + pattern, "</" + part + ">"}}
}

func recordSection(fluentd bool, any string, fields []string) section {
	if fluentd {
		s := section{kind: "filter", tag: any, lines: []string{"@type record_transformer", "<record>"}}
		for _, f := range fields {
			s.lines = append(s.lines, "    "+f)
		}
		s.lines = append(s.lines, "</record>")
		return s
	}
	s := section{kind: "FILTER", lines: []string{"Name record_modifier", "Match " + any}}
	for _, f := range fields {
		s.lines = append(s.lines, "Record "+f)
	}
	return s
}

// write writes a section in fluentd's language or in Fluent Bit's.
func (s section) write(b *strings.Builder, fluentd bool) {
	switch {
	case s.kind == "include" && fluentd:
		b.WriteString("@include " + s.tag + "\n")
		return
	case s.kind == "include":
		b.WriteString("@INCLUDE " + s.tag + "\n")
		return
	case fluentd:
		b.WriteString(strings.TrimRight("<"+s.kind+" "+s.tag, " ") + ">\n")
	default:
		b.WriteString("[" + s.kind + "]\n")
	}
	for _, l := range s.lines {
		b.WriteString("    " + l + "\n")
	}
	if fluentd {
		b.WriteString("</" + s.kind + ">\n")
	}
}
