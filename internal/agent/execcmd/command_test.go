package execcmd

import (
	"slices"
	"testing"

	"github.com/google/shlex"
)

// TestSplit: commands are taken apart as Amazon's agent does, which uses the same library.
func TestSplit(t *testing.T) {
	for command, want := range map[string][]string{
		"":                            {},
		" \t\r\n":                     {},
		"/bin/sh":                     {"/bin/sh"},
		"  ls   -l\t/tmp\n":           {"ls", "-l", "/tmp"},
		`sh -c 'echo "$A" | wc'`:      {"sh", "-c", `echo "$A" | wc`},
		`sh -c "echo \"$A\" '\\'"`:    {"sh", "-c", `echo "$A" '\'`},
		`a'b'"c"d\ e`:                 {"abcd e"},
		`'' ""`:                       {"", ""},
		`'a\b'`:                       {`a\b`},
		`a#b # a comment ' \` + "\nc": {"a#b", "c"},
		"ls && pwd":                   {"ls", "&&", "pwd"},
		"é 日本":                        {"é", "日本"},
	} {
		if got, err := shlex.Split(command); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", command, got, err)
		}
	}
	const quote, escape = "EOF found when expecting closing quote", "EOF found after escape character"
	for command, want := range map[string]string{`'a`: quote, `"a\"`: quote, `a\`: escape, `"\`: escape} {
		if got, err := shlex.Split(command); err == nil || err.Error() != want {
			t.Errorf("%q: %q, %v", command, got, err)
		}
	}
}
