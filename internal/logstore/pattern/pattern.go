// Package pattern reads and applies the filter patterns of CloudWatch Logs: terms, regular expressions, JSON patterns and
// space-delimited patterns.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
//
// Matching takes time linear in the message for a given pattern, whatever both are: regular expressions are RE2's, wildcards
// stand only at the ends of a value, and JSON is read once.
package pattern

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrInvalid is wrapped by all errors of Parse, whose text is for the caller.
var ErrInvalid = errors.New("invalid filter pattern")

// MaxLen is the longest pattern, in characters, that AWS takes.
const MaxLen = 1024

// maxRegexes is how many regular expressions one pattern may have.
const maxRegexes = 2

// Pattern is a parsed filter pattern. It may be used from many goroutines.
type Pattern struct {
	match func(message []byte) bool
	cost  int
}

// Match tells whether a message is wanted.
func (p *Pattern) Match(message []byte) bool { return p.match(message) }

// Cost is about how much longer matching takes than looking for a word does, at least 1. A search spends it from its budget.
func (p *Pattern) Cost() int { return p.cost }

// Parse reads a pattern. An empty one matches everything.
func Parse(text string) (*Pattern, error) {
	if !utf8.ValidString(text) {
		return nil, invalid("not UTF-8")
	}
	if utf8.RuneCountInString(text) > MaxLen {
		return nil, invalid("longer than %d characters", MaxLen)
	}
	p := &Pattern{cost: 1}
	var err error
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == "":
		p.match = func([]byte) bool { return true }
	case trimmed[0] == '{':
		err = p.parseJSON(trimmed)
	case trimmed[0] == '[':
		err = p.parseDelimited(trimmed)
	default:
		err = p.parseTerms(trimmed)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// invalidError is a refusal in words for the caller.
type invalidError struct{ said string }

func (e *invalidError) Error() string { return e.said }
func (e *invalidError) Unwrap() error { return ErrInvalid }

func invalid(format string, args ...any) error {
	return &invalidError{"Invalid filter pattern: " + fmt.Sprintf(format, args...)}
}

// badTerm is a refusal in AWS's own words.
func badTerm(term string) error { return &invalidError{"Invalid character(s) in term '" + term + "'"} }
