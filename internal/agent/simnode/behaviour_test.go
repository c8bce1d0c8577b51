package simnode

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
)

func TestCommands(t *testing.T) {
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	line := func(at time.Duration, text string) fake.Line { return fake.Line{At: at, Text: text} }
	for _, c := range []struct {
		args []string
		want fake.Behaviour
	}{
		{[]string{"nginx", "-g", "daemon off;"}, fake.Behaviour{After: -1}},
		{[]string{"true"}, fake.Behaviour{}},
		{[]string{"/bin/false"}, fake.Behaviour{ExitCode: 1}},
		{[]string{"exit", "3"}, fake.Behaviour{ExitCode: 3}},
		{[]string{"sleep", "2"}, fake.Behaviour{After: 2 * time.Second}},
		{[]string{"sleep", "infinity"}, fake.Behaviour{After: -1}},
		{[]string{"echo", "a", "b"}, fake.Behaviour{Lines: []fake.Line{line(0, "a b")}}},
		{sh("echo x; sleep 1; exit 3"), fake.Behaviour{After: time.Second, ExitCode: 3, Lines: []fake.Line{line(0, "x")}}},
		{sh("sleep 0.5 && echo \"a  $NAME ${NAME}s\" && false || echo 'no $NAME'"), fake.Behaviour{
			After: 500 * time.Millisecond, Lines: []fake.Line{line(500*time.Millisecond, "a  ann anns"), line(500*time.Millisecond, "no $NAME")}}},
		{sh("false && echo x"), fake.Behaviour{ExitCode: 1}},
		{sh("exit 2 # comment\necho never"), fake.Behaviour{ExitCode: 2}},
		{sh("echo up 1>&2\nexec server"), fake.Behaviour{After: -1, Lines: []fake.Line{line(0, "up")}}},
		{sh("while true; do sleep 1; done"), fake.Behaviour{After: -1}},
		{sh("echo a | cat"), fake.Behaviour{After: -1}},
		{[]string{"bash", "-ec", "exit 9"}, fake.Behaviour{ExitCode: 9}},
	} {
		got := Behaviour(&runtime.Spec{Args: c.args, Env: []string{"NAME=ann"}})
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q: %s", c.args, d)
		}
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		labels map[string]string
		want   fake.Behaviour
	}{
		{map[string]string{labelExitCode: "4"}, fake.Behaviour{ExitCode: 4}},
		{map[string]string{labelExitAfter: "5"}, fake.Behaviour{After: 5 * time.Second}},
		{map[string]string{labelStartDelay: "1s", labelStartFail: "broken"}, fake.Behaviour{After: -1, StartDelay: time.Second, StartError: "broken"}},
		{map[string]string{labelLog: "a\nb\n"}, fake.Behaviour{After: -1, Lines: []fake.Line{{Text: "a"}, {Text: "b"}}}},
		{map[string]string{labelIgnoreTerm: "true"}, fake.Behaviour{After: -1, IgnoreTerm: true}},
		{map[string]string{labelStopDelay: "2", labelStopCode: "0"}, fake.Behaviour{After: -1, TermDelay: 2 * time.Second}},
		{map[string]string{labelOOM: "true"}, fake.Behaviour{OOM: true}},
	} {
		if d := cmp.Diff(c.want, Behaviour(&runtime.Spec{Args: []string{"server"}, Labels: c.labels})); d != "" {
			t.Errorf("%v: %s", c.labels, d)
		}
	}
}

// FuzzScript: no script makes the reader fail, or run backwards.
func FuzzScript(f *testing.F) {
	for _, s := range []string{"echo a; sleep 1; exit 3", "a && b || c", `echo "$A ${B" '`, "echo \\", "exit", "sleep -1", "exec exec exec sleep 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		b := Behaviour(&runtime.Spec{Args: []string{"sh", "-c", script}})
		at := time.Duration(0)
		for _, l := range b.Lines {
			if l.At < at {
				t.Errorf("%q goes back in time", script)
			}
			at = l.At
		}
	})
}
