package fake

import (
	"strconv"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Behaviour is how a container fares. The zero value starts at once, runs until it is told to end and then ends at once.
type Behaviour struct {
	// StartDelay is how long Start takes, and StartError what it then fails with.
	StartDelay time.Duration
	StartError string
	// RestartError is what a restart fails with.
	RestartError string
	// After is how long the container runs before it ends with ExitCode; negative is for ever.
	After    time.Duration
	ExitCode int
	// OOM ends the container as the kernel does for want of memory.
	OOM bool
	// IgnoreTerm takes no notice of any signal but SIGKILL. TermDelay is the time another takes to end the container, and
	// TermCode its exit code then, 0 for 128 plus the signal.
	IgnoreTerm bool
	TermDelay  time.Duration
	TermCode   int
	// Log is written to the log as one line before the container runs.
	Log string
	// Echo copies a process's input to its output until that ends, before all else. Containers have no input.
	Echo bool
	// Lines are handed to Runtime.Output as the container runs, in order. Those past its end are not.
	Lines []Line
}

// Line is a line of output, without its newline, at a time since the container's start.
type Line struct {
	At   time.Duration
	Text string
}

// FromSpec reads a container's behaviour from its command, as far as it is one of these; anything else runs until stopped.
//
//	true, false              end at once with 0 or 1
//	exit N                   ends at once with N
//	cat                      a process copies its input to its output and ends with 0
//	sleep N                  ends after N seconds (or a Go duration) with 0; "infinity" does not
//	fake WORD...             after=10ms exit=3 oom ignore-term term-delay=1s term-code=0 start-delay=5ms start-error=TEXT restart-error=TEXT log=TEXT
//
// The words of the last form are also read from the label "fake", so that a task definition's dockerLabels can ask for them.
func FromSpec(spec *runtime.Spec) Behaviour {
	b := Behaviour{After: -1}
	args := spec.Args
	if label, ok := spec.Labels["fake"]; ok {
		args = append([]string{"fake"}, strings.Fields(label)...)
	}
	if len(args) == 0 {
		return b
	}
	switch args[0] {
	case "true":
		b.After = 0
	case "false":
		b.After, b.ExitCode = 0, 1
	case "exit":
		b.After = 0
		if len(args) > 1 {
			b.ExitCode, _ = strconv.Atoi(args[1])
		}
	case "sleep":
		if len(args) > 1 {
			b.After = duration(args[1], -1)
		}
	case "cat":
		b.Echo, b.After = true, 0
	case "fake":
		for _, word := range args[1:] {
			b.word(word)
		}
	}
	return b
}

func (b *Behaviour) word(word string) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "after":
		b.After = duration(value, -1)
	case "exit":
		b.ExitCode, _ = strconv.Atoi(value)
		b.After = max(b.After, 0)
	case "oom":
		b.OOM = true
		b.After = max(b.After, 0)
	case "ignore-term":
		b.IgnoreTerm = true
	case "term-delay":
		b.TermDelay = duration(value, 0)
	case "term-code":
		b.TermCode, _ = strconv.Atoi(value)
	case "start-delay":
		b.StartDelay = duration(value, 0)
	case "start-error":
		b.StartError = value
	case "restart-error":
		b.RestartError = value
	case "log":
		b.Log = value
	}
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
