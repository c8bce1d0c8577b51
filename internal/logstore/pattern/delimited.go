package pattern

import (
	"strings"
)

// columns is a space-delimited pattern: named fields, perhaps with an ellipsis for any number of them, and conditions.
type columns struct {
	names []string
	rest  int // the ellipsis's place, -1 for none
	tests []test
}

// row is a message's fields against a pattern's columns.
type row struct {
	cols   *columns
	fields []string
}

// at is the field that stands in a column.
func (r row) at(col int) string {
	if r.cols.rest >= 0 && col > r.cols.rest {
		return r.fields[len(r.fields)-len(r.cols.names)+col]
	}
	return r.fields[col]
}

// column finds the field that a condition means: the one that has the name, or else the one in which the condition stands.
func (c *columns) column(name string, own int) int {
	for i, n := range c.names {
		if n == name && i != c.rest {
			return i
		}
	}
	return own
}

type test func(r row) bool

// parseDelimited reads [ip, user, ..., status = 4* && status != 404, bytes > 1000].
func (p *Pattern) parseDelimited(text string) error {
	s := &scanner{text: text, pos: 1}
	cols := &columns{rest: -1}
	for {
		if err := s.column(cols); err != nil {
			return err
		}
		if s.take(",") {
			continue
		}
		if !s.take("]") {
			return invalid("] is missing at %d", s.pos)
		}
		break
	}
	if s.space(); !s.end() {
		return invalid("text after ] at %d", s.pos)
	}
	p.cost = 2 + s.cost
	p.match = func(m []byte) bool { return cols.match(string(m)) }
	return nil
}

// match compares field by field. Without an ellipsis the numbers of fields must agree.
func (c *columns) match(message string) bool {
	r := row{c, split(message)}
	if c.rest < 0 && len(r.fields) != len(c.names) || len(r.fields) < len(c.names)-1 {
		return false
	}
	for _, t := range c.tests {
		if !t(r) {
			return false
		}
	}
	return true
}

// split cuts a message at white space; what stands in square brackets or quotation marks is one field, without them.
func split(m string) []string {
	var fields []string
	for i := 0; i < len(m); {
		if isSpace(m[i]) {
			i++
			continue
		}
		if c := closing(m[i]); c != 0 {
			if n := strings.IndexByte(m[i+1:], c); n >= 0 {
				fields = append(fields, m[i+1:i+1+n])
				i += n + 2
				continue
			}
		}
		start := i
		for i < len(m) && !isSpace(m[i]) {
			i++
		}
		fields = append(fields, m[start:i])
	}
	return fields
}

func closing(open byte) byte {
	switch open {
	case '[':
		return ']'
	case '"':
		return '"'
	}
	return 0
}

// column reads a field's name and conditions; an empty one stands for any field.
func (s *scanner) column(c *columns) error {
	if s.take("...") || s.take("…") {
		if c.rest >= 0 {
			return invalid("more than one ellipsis")
		}
		c.rest = len(c.names)
		c.names = append(c.names, "")
		return nil
	}
	c.names = append(c.names, "")
	s.space()
	if b := s.peek(); b == ',' || b == ']' {
		return nil
	}
	t, err := s.anyOf(c, 0)
	c.tests = append(c.tests, t)
	return err
}

func (s *scanner) anyOf(c *columns, depth int) (test, error) {
	if depth > maxDepth {
		return nil, invalid("nested deeper than %d", maxDepth)
	}
	left, err := s.allOf(c, depth)
	for err == nil && s.take("||") {
		var right test
		if right, err = s.allOf(c, depth); err == nil {
			a, b := left, right
			left = func(r row) bool { return a(r) || b(r) }
		}
	}
	return left, err
}

func (s *scanner) allOf(c *columns, depth int) (test, error) {
	left, err := s.one(c, depth)
	for err == nil && s.take("&&") {
		var right test
		if right, err = s.one(c, depth); err == nil {
			a, b := left, right
			left = func(r row) bool { return a(r) && b(r) }
		}
	}
	return left, err
}

// one reads a parenthesis, or a name with or without a comparison. The first name in a column is the column's.
func (s *scanner) one(c *columns, depth int) (test, error) {
	if s.take("(") {
		t, err := s.anyOf(c, depth+1)
		if err == nil && !s.take(")") {
			err = invalid(") is missing at %d", s.pos)
		}
		return t, err
	}
	s.space()
	start := s.pos
	for !s.end() && (isAlnum(s.peek()) || strings.IndexByte("_-.$@:/", s.peek()) >= 0 || s.peek() >= 0x80) {
		s.pos++
	}
	name, own := s.text[start:s.pos], len(c.names)-1
	if name == "" {
		return nil, invalid("a field's name is missing at %d", start)
	}
	if c.names[own] == "" {
		c.names[own] = name
	}
	if s.space(); strings.IndexByte("=!<>", s.peek()) < 0 || s.end() {
		return func(row) bool { return true }, nil
	}
	v, err := s.comparison(",])")
	if err != nil {
		return nil, err
	}
	return func(r row) bool { return v.matchText(r.at(c.column(name, own))) }, nil
}
