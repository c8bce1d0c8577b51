// Package bench measures a control plane: `roadstead server`, a process of its own, under a simulated fleet (package fleet) and
// callers in this one. What it writes down are figures beside their goals, a table, JSON and a picture.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options say what to measure and how.
type Options struct {
	// Binary is the roadstead that is measured; empty is this program's own.
	Binary string
	// Dir is where servers keep their data, made if it is empty and removed at the end.
	Dir string
	// Only names the measurements; empty is all.
	Only []string
	// Scale multiplies the numbers of nodes and tasks: 1 is what the goals are for, and less is quicker.
	Scale float64
	// Rounds is how often each rate is measured; the median counts. 0 is 5.
	Rounds int
	// Profiles, if set, is a directory that gets a CPU profile of the server in each measurement.
	Profiles string
	// EtcdEndpoints are of an etcd for the servers to use in place of the one inside them.
	EtcdEndpoints []string
	// Progress is where it says what goes on, if set; Terminal that lines there can be written over.
	Progress io.Writer
	Terminal bool
	Log      *slog.Logger
}

// Figure is one number that was measured.
type Figure struct {
	// Measurement names what was measured, With the conditions.
	Measurement string  `json:"measurement"`
	With        string  `json:"with"`
	Value       float64 `json:"value"`
	Unit        string  `json:"unit"`
	// Goal is what it should be at least, or for AtMost at most; 0 is none.
	Goal   float64 `json:"goal,omitempty"`
	AtMost bool    `json:"atMost,omitempty"`
	// Note says more where the number alone would mislead.
	Note string `json:"note,omitempty"`
}

// Met tells whether the goal is; a figure without one has met it.
func (f *Figure) Met() bool {
	return f.Goal == 0 || f.AtMost && f.Value <= f.Goal || !f.AtMost && f.Value >= f.Goal
}

// Sample is how a run stands at a moment.
type Sample struct {
	Seconds  float64 `json:"seconds"`
	Assigned int64   `json:"assigned"`
	Running  int64   `json:"running"`
}

// Series are the samples of one measurement.
type Series struct {
	Name    string   `json:"name"`
	Samples []Sample `json:"samples"`
}

// Report is what was measured.
type Report struct {
	Machine string    `json:"machine"`
	At      time.Time `json:"at"`
	Scale   float64   `json:"scale"`
	Figures []Figure  `json:"figures"`
	Series  []Series  `json:"series,omitempty"`
}

// measurement is one of those that can be asked for.
type measurement struct {
	name, about string
	run         func(context.Context, *run) error
}

// measurements are in the order in which they are made: the short ones first.
func measurements() []measurement {
	return []measurement{
		{"etcd", "what a bare embedded etcd writes, the reference for the rates", measureEtcd},
		{"placements", "durable placements a second of one service, as nodes grow", measurePlacements},
		{"spread", "the same, spread over zones then packed, and with constraints", measureSpread},
		{"services", "the same tasks in a hundred services", measureServices},
		{"runtask", "one-task RunTask calls of one caller and of 64, and DescribeTasks", measureRunTask},
		{"assignment", "from RunTask to the assignment at an agent", measureAssignment},
		{"registrations", "container instances registered a second", measureRegistrations},
		{"steady", "what many nodes and tasks cost at rest", measureSteady},
		{"kill", "SIGKILL of the server, to the next placement", measureKill},
		{"reconnect", "all agents come back after a restart", measureReconnect},
		{"million", "a million tasks: placed, running, read, and read again at a start", measureMillion},
	}
}

// Names gives the measurements, each with a line about it.
func Names() [][2]string {
	var out [][2]string
	for _, m := range measurements() {
		out = append(out, [2]string{m.name, m.about})
	}
	return out
}

// Run makes the measurements. On an error the report has what was measured before it.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "roadstead-bench-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		o.Dir = dir
	}
	report := &Report{Machine: machine(), At: time.Now().UTC().Truncate(time.Second), Scale: o.Scale}
	for _, m := range measurements() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, m.name) {
			continue
		}
		r := &run{Options: o, name: m.name, dir: filepath.Join(o.Dir, m.name), report: report}
		r.say("%s", m.about)
		err := m.run(ctx, r)
		r.say("")
		if err != nil {
			return report, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return report, nil
}

func (o *Options) setDefaults() error {
	for _, name := range o.Only {
		if !slices.ContainsFunc(measurements(), func(m measurement) bool { return m.name == name }) {
			return fmt.Errorf("there is no measurement %q", name)
		}
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	if o.Scale < 0 || o.Scale > 10 {
		return errors.New("the scale is more than 0 and at most 10")
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		o.Binary = self
	}
	return nil
}

// run is one measurement under way.
type run struct {
	Options
	name, dir string
	report    *Report
	servers   int
}

// scaled is a number of nodes or tasks by the scale, at least one.
func (r *run) scaled(n int) int { return max(1, int(float64(n)*r.Scale)) }

// figure writes a number down.
func (r *run) figure(f Figure) {
	f.Measurement = r.name
	r.report.Figures = append(r.report.Figures, f)
	r.say("")
	fmt.Fprintf(r.Progress, "%-14s %s\n", r.name, f.line())
}

// say tells what goes on, over what was said before.
func (r *run) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !r.Terminal {
		return
	}
	if text != "" {
		text = r.name + ": " + text
	}
	fmt.Fprintf(r.Progress, "\r\x1b[K%s", text)
}

func (f *Figure) line() string {
	s := fmt.Sprintf("%s %s, %s", number(f.Value), f.Unit, f.With)
	if f.Goal != 0 {
		s += " (goal " + f.goal() + ")"
	}
	return s
}

func (f *Figure) goal() string {
	switch {
	case f.Goal == 0:
		return ""
	case f.AtMost:
		return "at most " + number(f.Goal)
	}
	return number(f.Goal)
}

// machine describes this one: its processors and memory.
func machine() string {
	var parts []string
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		model, n := "", 0
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%d × %s", n, model))
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err == nil {
			parts = append(parts, fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20)))
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts = append(parts, "Linux "+strings.TrimSpace(string(b)))
	}
	return strings.Join(parts, ", ")
}
