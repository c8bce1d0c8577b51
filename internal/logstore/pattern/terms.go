package pattern

import (
	"bytes"
	"strings"
)

// terms is a pattern of plain words: all of must, none of never, and any of some. Question-marked terms beside others are
// ignored, as AWS documents.
type terms struct {
	must, never, some []func([]byte) bool
}

func (t *terms) match(m []byte) bool {
	for _, f := range t.must {
		if !f(m) {
			return false
		}
	}
	for _, f := range t.never {
		if f(m) {
			return false
		}
	}
	if len(t.some) == 0 || len(t.must)+len(t.never) > 0 {
		return true
	}
	for _, f := range t.some {
		if f(m) {
			return true
		}
	}
	return false
}

func (p *Pattern) parseTerms(text string) error {
	s := &scanner{text: text}
	t := &terms{}
	for s.space(); !s.end(); s.space() {
		list := &t.must
		switch s.peek() {
		case '-':
			s.pos++
			list = &t.never
		case '?':
			s.pos++
			list = &t.some
		}
		s.space() // AWS's own example has a space after the minus sign
		f, err := s.term()
		if err != nil {
			return err
		}
		*list = append(*list, f)
	}
	p.match, p.cost = t.match, 1+s.cost+(len(t.must)+len(t.never)+len(t.some))/8
	return nil
}

// term reads a word, a quoted phrase or a regular expression.
func (s *scanner) term() (func([]byte) bool, error) {
	switch {
	case s.end():
		return nil, invalid("a term is missing at the end")
	case s.peek() == '"':
		phrase, err := s.quoted()
		if err != nil {
			return nil, err
		}
		return contains(phrase), nil
	case s.peek() == '%':
		re, err := s.regex()
		if err != nil {
			return nil, err
		}
		return re.Match, nil
	}
	start := s.pos
	for !s.end() && !isSpace(s.peek()) {
		if s.peek() == '"' {
			return nil, invalid("a quotation mark within the word at %d", start)
		}
		s.pos++
	}
	word := s.text[start:s.pos]
	if i := strings.IndexFunc(word, func(r rune) bool { return !wordRune(r) }); i >= 0 {
		return nil, badTerm(word)
	}
	return contains(word), nil
}

func contains(phrase string) func([]byte) bool {
	want := []byte(phrase)
	return func(m []byte) bool { return bytes.Contains(m, want) }
}
