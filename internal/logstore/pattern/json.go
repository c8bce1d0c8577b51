package pattern

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// node is an expression over a JSON message.
type node func(doc any) bool

// maxDepth bounds the nesting of parentheses in a pattern.
const maxDepth = 64

// jsonCost is what reading a message as JSON costs.
const jsonCost = 4

// parseJSON reads { $.a = "x" && ($.n > 3 || $.b NOT EXISTS) }.
func (p *Pattern) parseJSON(text string) error {
	s := &jsonParser{scanner: scanner{text: text, pos: 1}}
	expr, err := s.or(0)
	if err != nil {
		return err
	}
	if !s.take("}") {
		return invalid("} is missing at %d", s.pos)
	}
	if s.space(); !s.end() {
		return invalid("text after } at %d", s.pos)
	}
	p.cost = jsonCost + s.cost
	p.match = func(m []byte) bool {
		doc, ok := decode(m)
		return ok && expr(doc)
	}
	return nil
}

// decode reads a message that is one JSON object or array; numbers stay as they are written.
func decode(m []byte) (any, bool) {
	m = bytes.TrimSpace(m)
	if len(m) == 0 || m[0] != '{' && m[0] != '[' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(m))
	d.UseNumber()
	var doc any
	if d.Decode(&doc) != nil || d.InputOffset() != int64(len(m)) {
		return nil, false
	}
	return doc, true
}

type jsonParser struct{ scanner }

func (p *jsonParser) or(depth int) (node, error) {
	if depth > maxDepth {
		return nil, invalid("nested deeper than %d", maxDepth)
	}
	left, err := p.and(depth)
	for err == nil && p.take("||") {
		var right node
		if right, err = p.and(depth); err == nil {
			a, b := left, right
			left = func(doc any) bool { return a(doc) || b(doc) }
		}
	}
	return left, err
}

func (p *jsonParser) and(depth int) (node, error) {
	left, err := p.factor(depth)
	for err == nil && p.take("&&") {
		var right node
		if right, err = p.factor(depth); err == nil {
			a, b := left, right
			left = func(doc any) bool { return a(doc) && b(doc) }
		}
	}
	return left, err
}

func (p *jsonParser) factor(depth int) (node, error) {
	if !p.take("(") {
		return p.condition()
	}
	n, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, invalid(") is missing at %d", p.pos)
	}
	return n, nil
}

// condition reads a selector and what is said of it.
func (p *jsonParser) condition() (node, error) {
	sel, err := p.selector()
	if err != nil {
		return nil, err
	}
	switch {
	case p.word("IS"):
		return p.is(sel)
	case p.word("NOT"):
		if !p.word("EXISTS") {
			return nil, invalid("EXISTS is missing at %d", p.pos)
		}
		return func(doc any) bool { return !sel.find(doc, func(any) bool { return true }) }, nil
	case p.word("EXISTS"):
		return func(doc any) bool { return sel.find(doc, func(any) bool { return true }) }, nil
	}
	v, err := p.comparison("})")
	if err != nil {
		return nil, err
	}
	return func(doc any) bool { return sel.find(doc, v.matchJSON) }, nil
}

func (p *jsonParser) is(sel selector) (node, error) {
	var want any
	switch {
	case p.word("NULL"):
	case p.word("TRUE"):
		want = true
	case p.word("FALSE"):
		want = false
	default:
		return nil, invalid("NULL, TRUE or FALSE is missing at %d", p.pos)
	}
	return func(doc any) bool {
		return sel.find(doc, func(field any) bool {
			switch field.(type) {
			case nil, bool:
				return field == want
			}
			return false
		})
	}, nil
}

// matchJSON compares a field of a message. Objects, arrays, null and booleans match no comparison, not even !=, since "the
// log format doesn't match the filter".
func (v *value) matchJSON(field any) bool {
	switch f := field.(type) {
	case string:
		if v.isNumber && v.op != "=" && v.op != "!=" {
			return v.matchText(f)
		}
		return v.like(f) == (v.op == "=")
	case json.Number:
		if v.isNumber {
			n, err := strconv.ParseFloat(string(f), 64)
			return err == nil && v.matchNumber(n)
		}
		return v.like(string(f)) == (v.op == "=")
	}
	return false
}

// selector is the path to a field: names, indexes, or [*] and .* for any.
type selector []step

type step struct {
	name  string
	index int // -1 for a name
	any   bool
}

// selector reads $.a.b[0]['c d'].e and the like.
func (p *jsonParser) selector() (selector, error) {
	if !p.take("$") {
		return nil, invalid("a selector that begins with $ is missing at %d", p.pos)
	}
	sel := selector{}
	for {
		switch p.peek() {
		case '.':
			if p.pos++; p.peek() == '[' {
				continue // $.['a b'] is said as well as $['a b']
			}
			st, err := p.property()
			if err != nil {
				return nil, err
			}
			sel = append(sel, st)
		case '[':
			p.pos++
			st, err := p.element()
			if err != nil {
				return nil, err
			}
			sel = append(sel, st)
		default:
			if len(sel) == 0 {
				return nil, invalid("the selector at %d names no field", p.pos)
			}
			return sel, p.checkWildcards(sel)
		}
	}
}

// maxWildcards bounds what one selector can fan out to: AWS takes one wildcard in a selector.
const maxWildcards = 1

func (p *jsonParser) checkWildcards(sel selector) error {
	n := 0
	for _, st := range sel {
		if st.any {
			n++
		}
	}
	if n > maxWildcards {
		return invalid("more than %d wildcard in the selector before %d", maxWildcards, p.pos)
	}
	return nil
}

func (p *jsonParser) property() (step, error) {
	if p.peek() == '*' {
		p.pos++
		return step{any: true, index: -1}, nil
	}
	start := p.pos
	for !p.end() && (isAlnum(p.peek()) || strings.IndexByte("-_@:$/#", p.peek()) >= 0 || p.peek() >= 0x80) {
		p.pos++
	}
	if start == p.pos {
		return step{}, invalid("a property's name is missing at %d", start)
	}
	return step{name: p.text[start:p.pos], index: -1}, nil
}

func (p *jsonParser) element() (step, error) {
	var st step
	switch c := p.peek(); {
	case c == '*':
		p.pos++
		st = step{any: true}
	case c == '\'' || c == '"':
		end := strings.IndexByte(p.text[p.pos+1:], c)
		if end < 0 {
			return st, invalid("the quotation mark at %d is not closed", p.pos)
		}
		st = step{name: p.text[p.pos+1 : p.pos+1+end], index: -1}
		p.pos += end + 2
	default:
		start := p.pos
		for !p.end() && p.peek() >= '0' && p.peek() <= '9' {
			p.pos++
		}
		n, err := strconv.Atoi(p.text[start:p.pos])
		if err != nil {
			return st, invalid("an index is missing at %d", start)
		}
		st = step{index: n}
	}
	if p.peek() != ']' {
		return st, invalid("] is missing at %d", p.pos)
	}
	p.pos++
	return st, nil
}

// find tells whether a field that the selector points to satisfies f.
func (sel selector) find(doc any, f func(any) bool) bool {
	for i, st := range sel {
		if st.any {
			return sel[i+1:].findAny(doc, st.index < 0, f)
		}
		switch v := doc.(type) {
		case map[string]any:
			field, ok := v[st.name]
			if st.index >= 0 || !ok {
				return false
			}
			doc = field
		case []any:
			if st.index < 0 || st.index >= len(v) {
				return false
			}
			doc = v[st.index]
		default:
			return false
		}
	}
	return f(doc)
}

func (sel selector) findAny(doc any, ofObject bool, f func(any) bool) bool {
	switch v := doc.(type) {
	case map[string]any:
		if !ofObject {
			return false
		}
		for _, field := range v {
			if sel.find(field, f) {
				return true
			}
		}
	case []any:
		if ofObject {
			return false
		}
		for _, field := range v {
			if sel.find(field, f) {
				return true
			}
		}
	}
	return false
}
