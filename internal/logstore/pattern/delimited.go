package pattern

import (
	"strings"
)

// column is one field of a space-delimited pattern: its name and what is asked of it, nil for nothing.
type column struct {
	name string
	test func(field string) bool
	rest bool // an ellipsis: any number of fields
}

// parseDelimited reads [ip, user, ..., status = 4* && status != 404, bytes > 1000].
func parseDelimited(text string) (func([]byte) bool, error) {
	s := &scanner{text: text, pos: 1}
	var cols []column
	rest := -1
	for {
		c, err := s.column()
		if err != nil {
			return nil, err
		}
		if c.rest {
			if rest >= 0 {
				return nil, invalid("more than one ellipsis")
			}
			rest = len(cols)
		}
		cols = append(cols, c)
		if s.take(",") {
			continue
		}
		if !s.take("]") {
			return nil, invalid("] is missing at %d", s.pos)
		}
		break
	}
	if s.space(); !s.end() {
		return nil, invalid("text after ] at %d", s.pos)
	}
	return func(m []byte) bool { return matchColumns(cols, rest, string(m)) }, nil
}

// matchColumns compares field by field. Without an ellipsis the numbers of fields must agree.
func matchColumns(cols []column, rest int, message string) bool {
	fields := split(message)
	before, after := cols, []column(nil)
	if rest >= 0 {
		before, after = cols[:rest], cols[rest+1:]
		if len(fields) < len(before)+len(after) {
			return false
		}
	} else if len(fields) != len(cols) {
		return false
	}
	for i, c := range before {
		if c.test != nil && !c.test(fields[i]) {
			return false
		}
	}
	for i, c := range after {
		if c.test != nil && !c.test(fields[len(fields)-len(after)+i]) {
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
func (s *scanner) column() (column, error) {
	if s.take("...") || s.take("…") {
		return column{rest: true}, nil
	}
	c := column{}
	s.space()
	if b := s.peek(); b == ',' || b == ']' {
		return c, nil
	}
	test, err := s.anyOf(&c, 0)
	c.test = test
	return c, err
}

type test = func(string) bool

func (s *scanner) anyOf(c *column, depth int) (test, error) {
	if depth > maxDepth {
		return nil, invalid("nested deeper than %d", maxDepth)
	}
	left, err := s.allOf(c, depth)
	for err == nil && s.take("||") {
		var right test
		if right, err = s.allOf(c, depth); err == nil {
			a, b := always(left), always(right)
			left = func(f string) bool { return a(f) || b(f) }
		}
	}
	return left, err
}

func (s *scanner) allOf(c *column, depth int) (test, error) {
	left, err := s.one(c, depth)
	for err == nil && s.take("&&") {
		var right test
		if right, err = s.one(c, depth); err == nil {
			a, b := always(left), always(right)
			left = func(f string) bool { return a(f) && b(f) }
		}
	}
	return left, err
}

func always(t test) test {
	if t == nil {
		return func(string) bool { return true }
	}
	return t
}

// one reads a parenthesis, or a name with or without a comparison. All names in a column must be the same.
func (s *scanner) one(c *column, depth int) (test, error) {
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
	name := s.text[start:s.pos]
	if name == "" {
		return nil, invalid("a field's name is missing at %d", start)
	}
	if c.name != "" && c.name != name {
		return nil, invalid("the condition on %q stands in the field %q", name, c.name)
	}
	c.name = name
	if s.space(); strings.IndexByte("=!<>", s.peek()) < 0 || s.end() {
		return nil, nil
	}
	v, err := s.comparison(",])")
	if err != nil {
		return nil, err
	}
	return v.matchText, nil
}
