package firelens

import (
	"fmt"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// language writes the sections of a configuration as a kind of router reads them. host is where the router listens on the task's
// network, empty for not at all.
type language interface {
	file() string
	// any is the pattern behind a tag that stands for all that follows, plugin the option that names an output, and variable what
	// stands for an environment variable.
	any() string
	plugin() string
	variable(name string) string

	inputs(b *strings.Builder, host string, router *ecs.ContainerDefinition)
	grep(b *strings.Builder, tag string, exclude bool, pattern string)
	record(b *strings.Builder, fields []string)
	include(b *strings.Builder, path string)
	output(b *strings.Builder, tag, plugin string, options []string)
	// ownOutput is that of what the router itself takes in.
	ownOutput(b *strings.Builder, host string)
}

// indent is before each line of a section.
const indent = "    "

// fluentd is Fluentd's.
//
// https://docs.fluentd.org/configuration/config-file
type fluentd struct{}

// section writes <kind tag>, the lines and </kind>.
func (fluentd) section(b *strings.Builder, kind, tag string, lines ...string) {
	b.WriteString(strings.TrimRight("<"+kind+" "+tag, " ") + ">\n")
	for _, l := range lines {
		b.WriteString(indent + l + "\n")
	}
	b.WriteString("</" + kind + ">\n")
}

func (fluentd) file() string                { return "/fluentd/etc/fluent.conf" }
func (fluentd) any() string                 { return "**" }
func (fluentd) plugin() string              { return "@type" }
func (fluentd) variable(name string) string { return `"#{ENV['` + name + `']}"` }

func (l fluentd) inputs(b *strings.Builder, host string, _ *ecs.ContainerDefinition) {
	l.section(b, "source", "", "@type unix", "path "+Socket)
	if host != "" {
		l.section(b, "source", "", "@type forward", "bind "+host, "port "+Port)
	}
}

func (l fluentd) grep(b *strings.Builder, tag string, exclude bool, pattern string) {
	part := "regexp"
	if exclude {
		part = "exclude"
	}
	l.section(b, "filter", tag, "@type grep", "<"+part+">", indent+"key log", indent+"pattern "+pattern, "</"+part+">")
}

func (l fluentd) record(b *strings.Builder, fields []string) {
	lines := []string{"@type record_transformer", "<record>"}
	for _, f := range fields {
		lines = append(lines, indent+f)
	}
	l.section(b, "filter", l.any(), append(lines, "</record>")...)
}

func (fluentd) include(b *strings.Builder, path string) { b.WriteString("@include " + path + "\n") }

func (l fluentd) output(b *strings.Builder, tag, plugin string, options []string) {
	l.section(b, "match", tag, append([]string{"@type " + plugin}, options...)...)
}

func (fluentd) ownOutput(*strings.Builder, string) {}

// fluentBit is Fluent Bit's classic one.
//
// https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/classic-mode/configuration-file
type fluentBit struct{}

// section writes [KIND] and the lines.
func (fluentBit) section(b *strings.Builder, kind string, lines ...string) {
	b.WriteString("[" + kind + "]\n")
	for _, l := range lines {
		b.WriteString(indent + l + "\n")
	}
}

// healthTag is of what comes in by health checks.
const healthTag = "firelens-healthcheck"

func (fluentBit) file() string                { return "/fluent-bit/etc/fluent-bit.conf" }
func (fluentBit) any() string                 { return "*" }
func (fluentBit) plugin() string              { return "Name" }
func (fluentBit) variable(name string) string { return "${" + name + "}" }

func (l fluentBit) inputs(b *strings.Builder, host string, router *ecs.ContainerDefinition) {
	l.section(b, "INPUT", "Name forward", fmt.Sprintf("Mem_Buf_Limit %dMB", memory(router)), "unix_path "+Socket)
	if host != "" {
		l.section(b, "INPUT", "Name forward", "Listen "+host, "Port "+Port)
		l.section(b, "INPUT", "Name tcp", "Tag "+healthTag, "Listen 127.0.0.1", "Port 8877")
	}
}

// memory is how much Fluent Bit may buffer in memory, in MB: half of what it has.
func memory(router *ecs.ContainerDefinition) int32 {
	const byDefault = 25
	for _, m := range []*int32{router.MemoryReservation, router.Memory} {
		if m != nil && *m/2 > 0 {
			return *m / 2
		}
	}
	return byDefault
}

func (l fluentBit) grep(b *strings.Builder, tag string, exclude bool, pattern string) {
	verb := "Regex"
	if exclude {
		verb = "Exclude"
	}
	l.section(b, "FILTER", "Name grep", "Match "+tag, verb+" log "+pattern)
}

func (l fluentBit) record(b *strings.Builder, fields []string) {
	lines := []string{"Name record_modifier", "Match " + l.any()}
	for _, f := range fields {
		lines = append(lines, "Record "+f)
	}
	l.section(b, "FILTER", lines...)
}

func (fluentBit) include(b *strings.Builder, path string) { b.WriteString("@INCLUDE " + path + "\n") }

func (l fluentBit) output(b *strings.Builder, tag, plugin string, options []string) {
	l.section(b, "OUTPUT", append([]string{"Name " + plugin, "Match " + tag}, options...)...)
}

func (l fluentBit) ownOutput(b *strings.Builder, host string) {
	if host != "" {
		l.output(b, healthTag, "null", nil)
	}
}
