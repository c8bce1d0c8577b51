package query

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SyntaxError says where an expression is wrong and what was expected there.
type SyntaxError struct {
	// Offset is in bytes, from 0.
	Offset   int
	Expected string
	// Found is what stands there; empty at the end.
	Found string
}

func (e *SyntaxError) Error() string {
	found := "the end"
	if e.Found != "" {
		found = strconv.Quote(e.Found)
	}
	return fmt.Sprintf("at offset %d: expected %s, found %s", e.Offset, e.Expected, found)
}

// maxDepth bounds parentheses and negations within each other.
const maxDepth = 64

// maxPattern bounds the program of a pattern, in instructions: repetitions within repetitions make a short one large, and it
// is run for every instance.
const maxPattern = 4096

// Parse reads an expression. Its errors are *SyntaxError.
func Parse(text string) (*Expr, error) {
	p := &parser{text: text}
	if len(text) > MaxLength {
		return nil, &SyntaxError{Offset: MaxLength, Expected: fmt.Sprintf("at most %d characters", MaxLength), Found: p.found(MaxLength)}
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, p.expected("and, or, or the end")
	}
	return &Expr{root: root}, nil
}

// parser reads by recursive descent:
//
//	or    = and { ("or" | "||") and }
//	and   = unary { ("and" | "&&") unary }
//	unary = ("not" | "!") unary | "(" or ")" | test
//	test  = subject operator [value | "[" value { "," value } "]"]
type parser struct {
	text  string
	at    int
	depth int
}

func (p *parser) or() (node, error) { return p.chain(isOr, "or", "||", p.and) }

func (p *parser) and() (node, error) { return p.chain(isAnd, "and", "&&", p.unary) }

func (p *parser) chain(kind nodeKind, word, symbol string, operand func() (node, error)) (node, error) {
	first, err := operand()
	if err != nil {
		return node{}, err
	}
	n := node{kind: kind, below: []node{first}}
	for p.symbol(symbol) || p.keyword(word) {
		next, err := operand()
		if err != nil {
			return node{}, err
		}
		n.below = append(n.below, next)
	}
	if len(n.below) == 1 {
		return first, nil
	}
	return n, nil
}

func (p *parser) unary() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return node{}, p.expected(fmt.Sprintf("at most %d levels of parentheses and negations", maxDepth))
	}
	defer func() { p.depth-- }()
	switch {
	case p.symbol("!") || p.keyword("not"):
		n, err := p.unary()
		return node{kind: isNot, below: []node{n}}, err
	case p.symbol("("):
		n, err := p.or()
		if err == nil && !p.symbol(")") {
			err = p.expected("and, or, or a closing parenthesis")
		}
		return n, err
	}
	t, err := p.test()
	return node{test: t}, err
}

func (p *parser) test() (t test, err error) {
	if err = p.subject(&t); err != nil {
		return t, err
	}
	p.space()
	start := p.at
	if !p.operator(&t) {
		return t, p.expected("an operator such as == or in")
	}
	if !t.subject.takes(t.op) {
		p.at = start
		return t, p.expected("an operator that " + subjects[t.subject] + " takes")
	}
	switch t.op {
	case exists, notExists:
		return t, nil
	case in, notIn:
		return t, p.list(&t)
	}
	p.space()
	start = p.at
	v, err := p.value("")
	if err != nil {
		return t, err
	}
	t.args = []string{v}
	return t, p.prepare(&t, start)
}

func (p *parser) subject(t *test) error {
	p.space()
	start := p.at
	for p.at < len(p.text) && (isNameByte(p.text[p.at]) || p.text[p.at] == ':') {
		p.at++
	}
	word := p.text[start:p.at]
	if name, ok := strings.CutPrefix(word, attributePrefix); ok && name != "" && !strings.Contains(name, ":") {
		t.subject, t.attribute = attribute, name
		return nil
	}
	for s, name := range subjects {
		if word == name && subject(s) != attribute {
			t.subject = subject(s)
			return nil
		}
	}
	p.at = start
	return p.expected("a subject such as attribute:NAME, task:group or agentConnected")
}

// operator reads the longest that stands here.
func (p *parser) operator(t *test) bool {
	best := ""
	for op, o := range operators {
		for _, s := range []string{o.symbol, o.word} {
			if len(s) > len(best) && p.stands(s) {
				best, t.op = s, operator(op)
			}
		}
	}
	p.at += len(best)
	return best != ""
}

// stands tells whether an operator is next; one that ends in a letter must end there.
func (p *parser) stands(s string) bool {
	if len(p.text)-p.at < len(s) || !strings.EqualFold(p.text[p.at:p.at+len(s)], s) {
		return false
	}
	end := p.at + len(s)
	return !isNameByte(s[len(s)-1]) || end == len(p.text) || !isNameByte(p.text[end])
}

func (p *parser) list(t *test) error {
	if !p.symbol("[") {
		return p.expected("a list in brackets")
	}
	for {
		p.space()
		start := p.at
		v, err := p.value(",]")
		if err != nil {
			return err
		}
		t.args = append(t.args, v)
		if err := p.prepare(t, start); err != nil {
			return err
		}
		if p.symbol("]") {
			return nil
		}
		if !p.symbol(",") {
			return p.expected("a comma or a closing bracket")
		}
	}
}

// value reads a quoted value, or a bare one up to a space, a parenthesis, && or ||, or one of ends.
func (p *parser) value(ends string) (string, error) {
	if p.at < len(p.text) && (p.text[p.at] == '\'' || p.text[p.at] == '"') {
		return p.quoted()
	}
	start := p.at
	for p.at < len(p.text) {
		c, rest := p.text[p.at], p.text[p.at:]
		if isSpace(c) || c == '(' || c == ')' || strings.IndexByte(ends, c) >= 0 || strings.HasPrefix(rest, "&&") || strings.HasPrefix(rest, "||") {
			break
		}
		p.at++
	}
	if p.at == start {
		return "", p.expected("a value")
	}
	return p.text[start:p.at], nil
}

func (p *parser) quoted() (string, error) {
	quote := p.text[p.at]
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c == quote:
			p.at = i + 1
			return b.String(), nil
		case c == '\\' && i+1 < len(p.text) && (p.text[i+1] == '\'' || p.text[i+1] == '"' || p.text[i+1] == '\\'):
			i++
			c = p.text[i]
		}
		b.WriteByte(c)
	}
	p.at = len(p.text)
	return "", p.expected("a closing " + string(quote))
}

// prepare checks the last value read and makes it ready; start is where it stands.
func (p *parser) prepare(t *test, start int) error {
	v := t.args[len(t.args)-1]
	ok, expected := true, ""
	switch {
	case t.op == matches || t.op == notMatches:
		t.pattern, ok = compile(v)
		expected = "a regular expression"
	case t.subject == agentConnected:
		v = strings.ToLower(v)
		t.args[len(t.args)-1] = v
		ok, expected = v == "true" || v == "false", "true or false"
	case t.subject == runningTasksCount || t.subject == pendingTasksCount:
		n, err := strconv.ParseInt(v, 10, 32)
		t.number, ok, expected = n, err == nil, "a whole number"
	case t.subject == registeredAt:
		t.number, ok = seconds(v)
		expected = "a date such as 2018-06-18T22:28:28Z or 2018-06-18"
	case t.subject == agentVersion:
		ok, expected = isVersion(v), "a version such as 1.14.5"
	case t.subject == attribute:
		t.decimal, t.numeric = decimal(v)
	}
	if !ok {
		p.at = start
		return p.expected(expected)
	}
	return nil
}

func compile(pattern string) (*regexp.Regexp, bool) {
	// By itself first, so that it cannot close the parenthesis around it.
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, false
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxPattern {
		return nil, false
	}
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	return re, err == nil
}

// seconds reads a moment in one of ECS's forms, which are UTC unless they say otherwise, in seconds since 1970.
func seconds(v string) (int64, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(form, v); err == nil {
			return t.Unix(), true
		}
	}
	return 0, false
}

func (p *parser) space() {
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
}

// symbol takes s if it is next.
func (p *parser) symbol(s string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

// keyword takes a word if it is next and ends there.
func (p *parser) keyword(word string) bool {
	p.space()
	if !p.stands(word) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) expected(what string) *SyntaxError {
	p.space()
	return &SyntaxError{Offset: p.at, Expected: what, Found: p.found(p.at)}
}

// found is the beginning of what stands at an offset.
func (p *parser) found(at int) string {
	const most = 20
	rest := []rune(p.text[at:min(len(p.text), at+4*most)])
	if i := slices.IndexFunc(rest, func(r rune) bool { return r < 128 && isSpace(byte(r)) }); i > 0 {
		rest = rest[:i]
	}
	return string(rest[:min(len(rest), most)])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// isNameByte tells whether a byte may stand in an attribute's name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '/' || c == '\\'
}
