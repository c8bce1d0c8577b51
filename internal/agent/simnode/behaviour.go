package simnode

import (
	"path"
	"strconv"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
)

// The docker labels that say what a container does. docs/dev.md has them for users.
const (
	labelPrefix     = "roadstead.dev/"
	labelPullDelay  = labelPrefix + "pull-delay"
	labelPullFail   = labelPrefix + "pull-fail"
	labelStartDelay = labelPrefix + "start-delay"
	labelStartFail  = labelPrefix + "start-fail"
	labelLog        = labelPrefix + "log"
	labelExitAfter  = labelPrefix + "exit-after"
	labelExitCode   = labelPrefix + "exit-code"
	labelOOM        = labelPrefix + "oom"
	labelIgnoreTerm = labelPrefix + "ignore-sigterm"
	labelStopDelay  = labelPrefix + "stop-delay"
	labelStopCode   = labelPrefix + "stop-code"
	labelHealth     = labelPrefix + "health"
	labelWellAfter  = labelPrefix + "healthy-after"
	labelIllAfter   = labelPrefix + "unhealthy-after"
)

// Behaviour reads what a container does from its command, and then from its labels, which have the last word.
func Behaviour(spec *runtime.Spec) fake.Behaviour {
	b := command(spec)
	l := spec.Labels
	b.StartDelay = duration(l[labelStartDelay], 0)
	if text, ok := l[labelStartFail]; ok && text != "false" {
		b.StartError = wording(text, "failed to create task for container: failed to create shim task: OCI runtime create failed: exec: \""+spec.Args[0]+"\": executable file not found in $PATH")
	}
	if text := l[labelLog]; text != "" {
		var lines []fake.Line
		for line := range strings.Lines(text) {
			lines = append(lines, fake.Line{Text: strings.TrimRight(line, "\r\n")})
		}
		b.Lines = append(lines, b.Lines...)
	}
	if v, ok := l[labelExitAfter]; ok {
		b.After = duration(v, 0)
	}
	if v, ok := l[labelExitCode]; ok {
		b.ExitCode = code(v)
		b.After = max(b.After, 0)
	}
	if b.OOM = truth(l[labelOOM]); b.OOM {
		b.After = max(b.After, 0)
	}
	b.IgnoreTerm = truth(l[labelIgnoreTerm])
	b.TermDelay = duration(l[labelStopDelay], 0)
	b.TermCode = code(l[labelStopCode])
	return b
}

// command reads a command. A shell's script is read as far as it is made of commands that are known; what follows one that
// is not known does not happen: that command runs until it is stopped, as anything unknown does.
func command(spec *runtime.Spec) fake.Behaviour {
	args := spec.Args
	p := player{env: spec.Env}
	forever := false
	if script, ok := scriptOf(args); ok {
		forever = !p.script(script)
	} else {
		forever = !p.run(args)
	}
	b := fake.Behaviour{After: p.at, ExitCode: p.status, Lines: p.lines}
	if forever {
		b.After, b.ExitCode = -1, 0
	}
	return b
}

// scriptOf finds the script of a shell's -c.
func scriptOf(args []string) (string, bool) {
	if len(args) < 3 {
		return "", false
	}
	switch path.Base(args[0]) {
	case "sh", "bash", "ash", "dash":
	default:
		return "", false
	}
	for i, a := range args[1 : len(args)-1] {
		if strings.HasPrefix(a, "-") && strings.HasSuffix(a, "c") {
			return args[i+2], true
		}
	}
	return "", false
}

// player goes through commands: what they say, when, and how they end.
type player struct {
	env    []string
	at     time.Duration
	status int
	lines  []fake.Line
	exited bool
}

// run plays one command; false says that it does not end by itself.
func (p *player) run(words []string) bool {
	if len(words) == 0 {
		return true
	}
	args := words[1:]
	p.status = 0
	switch path.Base(words[0]) {
	case "true", ":":
	case "false":
		p.status = 1
	case "exit":
		p.exited = true
		if len(args) > 0 {
			p.status = code(args[0])
		}
	case "exec":
		p.exited = true
		return p.run(args)
	case "sleep":
		if len(args) != 1 {
			return false
		}
		d := duration(args[0], -1)
		if d < 0 {
			return false
		}
		p.at += d
	case "echo":
		p.echo(args)
	default:
		return false
	}
	return true
}

func (p *player) echo(args []string) {
	if len(args) > 0 && (args[0] == "-n" || args[0] == "-e") {
		args = args[1:]
	}
	for line := range strings.Lines(strings.Join(args, " ")) {
		p.lines = append(p.lines, fake.Line{At: p.at, Text: strings.TrimSuffix(line, "\n")})
	}
}

// script plays a script; false says that it comes to a command that does not end by itself.
func (p *player) script(text string) bool {
	for _, c := range parse(text, p.lookup) {
		if c.join == "&&" && p.status != 0 || c.join == "||" && p.status == 0 {
			continue
		}
		if c.odd || !p.run(c.words) {
			return false
		}
		if p.exited {
			return true
		}
	}
	return true
}

func (p *player) lookup(name string) string {
	for _, kv := range p.env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// wording is a label's text, or one that stands for it where the label only says that there is something.
func wording(label, otherwise string) string {
	if label == "" || label == "true" {
		return otherwise
	}
	return label
}

func truth(s string) bool { return s != "" && s != "false" && s != "0" }

// code reads an exit code: 0 to 255, as the low eight bits.
func code(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n & 0xff
}

// duration reads seconds without a unit, or a Go duration.
func duration(s string, otherwise time.Duration) time.Duration {
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second))
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d
	}
	return otherwise
}
