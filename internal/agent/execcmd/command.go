package execcmd

import (
	"errors"
	"strings"
)

var (
	errQuote  = errors.New("EOF found when expecting closing quote")
	errEscape = errors.New("EOF found after escape character")
)

// split takes a command apart as Amazon's agent does in a container (github.com/google/shlex): words between white space, of which
// quotes and backslashes make one; # at the beginning of a word begins a comment. There is no shell: a pipe is a word as any other.
func split(command string) ([]string, error) {
	var (
		words            []string
		word             strings.Builder
		inWord, comment  bool
		quote            rune // the one that is open, 0 for none
		escaped, content = false, false
	)
	for _, r := range command {
		content = false
		switch {
		case comment:
			comment = r != '\n'
		case escaped:
			escaped, content = false, true
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if content = r != quote; !content {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case strings.ContainsRune(" \t\r\n", r):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case r == '#' && !inWord:
			comment = true
		default:
			content = true
		}
		if content {
			word.WriteRune(r)
			inWord = true
		}
	}
	switch {
	case escaped:
		return nil, errEscape
	case quote != 0:
		return nil, errQuote
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}
