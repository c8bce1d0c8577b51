package simnode

import "strings"

// scriptCommand is one simple command of a script; join is what stands before it: ;, && or ||.
type scriptCommand struct {
	join  string
	words []string
	// odd says that there is more to it than its words: a pipe, a redirection.
	odd bool
}

// parse takes a shell's script apart: commands separated by ;, newlines, && and ||; words with quotes, backslashes and
// variables, and output sent to standard error. It knows no compound commands: their words come out as they are, as
// commands that nobody knows.
func parse(text string, lookup func(string) string) []scriptCommand {
	s := scanner{text: text, lookup: lookup, current: scriptCommand{join: ";"}}
	for s.at < len(s.text) {
		s.next()
	}
	s.endCommand("")
	return s.commands
}

type scanner struct {
	text     string
	at       int
	lookup   func(string) string
	commands []scriptCommand
	current  scriptCommand
	word     strings.Builder
	// inWord says that a word has begun, which may be empty still: ''.
	inWord bool
}

func (s *scanner) next() {
	c := s.text[s.at]
	s.at++
	switch {
	case c == ' ' || c == '\t':
		s.endWord()
	case c == ';' || c == '\n':
		s.endCommand(";")
	case (c == '&' || c == '|') && s.at < len(s.text) && s.text[s.at] == c:
		s.at++
		s.endCommand(string([]byte{c, c}))
	case c == '#' && !s.inWord:
		for s.at < len(s.text) && s.text[s.at] != '\n' {
			s.at++
		}
	case c == '\'':
		s.inWord = true
		end := strings.IndexByte(s.text[s.at:], '\'')
		if end < 0 {
			end = len(s.text) - s.at
		}
		s.word.WriteString(s.text[s.at : s.at+end])
		s.at = min(s.at+end+1, len(s.text))
	case c == '"':
		s.quoted()
	case c == '>' && strings.HasPrefix(s.text[s.at:], "&2"):
		s.at += 2
		s.word.Reset() // the 1 of 1>&2
		s.inWord = false
	case strings.IndexByte("|&<>()`", c) >= 0:
		s.current.odd = true
	default:
		s.plain(c)
	}
}

// quoted reads what is between double quotes.
func (s *scanner) quoted() {
	s.inWord = true
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		if c == '"' {
			return
		}
		s.plain(c)
	}
}

// plain takes one character of a word, which may begin an escape or a variable.
func (s *scanner) plain(c byte) {
	s.inWord = true
	switch {
	case c == '\\' && s.at < len(s.text):
		s.word.WriteByte(s.text[s.at])
		s.at++
	case c == '$':
		s.variable()
	default:
		s.word.WriteByte(c)
	}
}

func (s *scanner) variable() {
	rest := s.text[s.at:]
	braces := strings.HasPrefix(rest, "{")
	if braces {
		rest = rest[1:]
	}
	n := 0
	for n < len(rest) && (rest[n] == '_' || rest[n] >= 'a' && rest[n] <= 'z' || rest[n] >= 'A' && rest[n] <= 'Z' || n > 0 && rest[n] >= '0' && rest[n] <= '9') {
		n++
	}
	if n == 0 || braces && !strings.HasPrefix(rest[n:], "}") {
		s.word.WriteByte('$')
		return
	}
	s.word.WriteString(s.lookup(rest[:n]))
	s.at += n
	if braces {
		s.at += 2
	}
}

func (s *scanner) endWord() {
	if s.inWord {
		s.current.words = append(s.current.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}

func (s *scanner) endCommand(join string) {
	s.endWord()
	if len(s.current.words) > 0 {
		s.commands = append(s.commands, s.current)
		s.current = scriptCommand{}
	}
	s.current.join = join
}
