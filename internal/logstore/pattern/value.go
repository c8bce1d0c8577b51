package pattern

import (
	"regexp"
	"strconv"
	"strings"
)

// operators, the longer ones first.
var operators = []string{"!=", "<=", ">=", "=", "<", ">"}

// value is what a field is compared with: a number, a text with an asterisk at one or both ends, or a regular expression.
type value struct {
	op       string
	regex    *regexp.Regexp
	number   float64
	isNumber bool
	text     string
	anyStart bool // an asterisk before the text
	anyEnd   bool // and after it
}

// comparison reads an operator and a value. stop tells which bytes end an unquoted value.
func (s *scanner) comparison(stop string) (*value, error) {
	v := &value{}
	for _, op := range operators {
		if s.take(op) {
			v.op = op
			break
		}
	}
	if v.op == "" {
		return nil, invalid("a comparison is missing at %d", s.pos)
	}
	if err := s.value(v, stop); err != nil {
		return nil, err
	}
	if v.op != "=" && v.op != "!=" && !v.isNumber {
		return nil, invalid("%s compares with numbers only", v.op)
	}
	return v, nil
}

func (s *scanner) value(v *value, stop string) error {
	s.space()
	switch s.peek() {
	case '%':
		re, err := s.regex()
		v.regex = re
		return err
	case '"':
		text, err := s.quoted()
		if err != nil {
			return err
		}
		v.wildcards(text)
		return nil
	}
	start := s.pos
	for !s.end() && !isSpace(s.peek()) && strings.IndexByte(stop, s.peek()) < 0 && !strings.HasPrefix(s.text[s.pos:], "&&") && !strings.HasPrefix(s.text[s.pos:], "||") {
		if c := s.peek(); c == '"' || c == '%' || c == '=' || c == '<' || c == '>' {
			return invalid("%q at %d needs quotation marks", c, s.pos)
		}
		s.pos++
	}
	text := s.text[start:s.pos]
	if text == "" {
		return invalid("a value is missing at %d", start)
	}
	if n, ok := parseNumber(text); ok {
		v.number, v.isNumber = n, true
	}
	v.wildcards(text)
	return nil
}

// wildcards takes the asterisks off the ends; one elsewhere stands for itself.
func (v *value) wildcards(text string) {
	if strings.HasPrefix(text, "*") {
		v.anyStart, text = true, text[1:]
	}
	if strings.HasSuffix(text, "*") {
		v.anyEnd, text = true, text[:len(text)-1]
	}
	v.text = text
}

// parseNumber reads a number as AWS writes them: digits, a point, a sign, an exponent; nothing else that Go would take.
func parseNumber(text string) (float64, bool) {
	if text == "" || len(text) > 64 || strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// matchText compares a field that is a text. A number in the pattern is compared with the number that the text says, if it
// says one.
func (v *value) matchText(field string) bool {
	if v.isNumber {
		if n, ok := parseNumber(field); ok {
			return v.matchNumber(n)
		}
		if v.op != "=" && v.op != "!=" {
			return false
		}
	}
	return v.like(field) == (v.op == "=")
}

func (v *value) matchNumber(n float64) bool {
	switch v.op {
	case "=":
		return n == v.number
	case "!=":
		return n != v.number
	case "<":
		return n < v.number
	case "<=":
		return n <= v.number
	case ">":
		return n > v.number
	default:
		return n >= v.number
	}
}

// like tells whether the text fits the value, the operator aside.
func (v *value) like(field string) bool {
	switch {
	case v.regex != nil:
		return v.regex.MatchString(field)
	case v.anyStart && v.anyEnd:
		return strings.Contains(field, v.text)
	case v.anyStart:
		return strings.HasSuffix(field, v.text)
	case v.anyEnd:
		return strings.HasPrefix(field, v.text)
	default:
		return field == v.text
	}
}
