package execcmd

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for command, want := range map[string][]string{
		"":                            nil,
		" \t\r\n":                     nil,
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
		if got, err := split(command); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", command, got, err)
		}
	}
	for command, want := range map[string]error{`'a`: errQuote, `"a\"`: errQuote, `a\`: errEscape, `"\`: errEscape} {
		if got, err := split(command); !errors.Is(err, want) {
			t.Errorf("%q: %q, %v", command, got, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`sh -c "echo \"$A\" '\\'" # x`)
	f.Add("a'b\\")
	f.Fuzz(func(t *testing.T, command string) {
		words, err := split(command)
		if err != nil {
			return
		}
		// Words that are quoted are the same words again.
		var quoted strings.Builder
		for _, w := range words {
			quoted.WriteString("'" + strings.ReplaceAll(w, "'", `'\''`) + "' ")
		}
		if again, err := split(quoted.String()); err != nil || !slices.Equal(words, again) {
			t.Errorf("%q became %q and then %q, %v", command, words, again, err)
		}
	})
}
