package query

import (
	"regexp"
	"slices"
	"strings"
)

// MaxLength is how many bytes an expression may have.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementConstraint.html
const MaxLength = 2000

// Expr is a parsed expression. It never changes.
type Expr struct{ root node }

// nodeKind says what a node does with the nodes below it.
type nodeKind uint8

const (
	isTest nodeKind = iota
	isAnd
	isOr
	isNot
)

type node struct {
	kind nodeKind
	// below are two or more of an and or an or, one of a not, none of a test.
	below []node
	test  test
}

// test is one comparison.
type test struct {
	subject subject
	// attribute is the name behind "attribute:".
	attribute string
	op        operator
	// args are the values as written: none of exists, any number of in, one of the rest.
	args []string
	// What the one value is, made ready.
	pattern *regexp.Regexp
	number  int64
	decimal float64
	numeric bool
}

type subject uint8

const (
	agentConnected subject = iota
	agentVersion
	attribute
	ec2InstanceID
	registeredAt
	runningTasksCount
	pendingTasksCount
	taskGroup
)

const attributePrefix = "attribute:"

// subjects are the names, in the order of the constants.
var subjects = [...]string{"agentConnected", "agentVersion", attributePrefix, "ec2InstanceId", "registeredAt", "runningTasksCount",
	"pendingTasksCount", "task:group"}

type operator uint8

const (
	equal operator = iota
	notEqual
	greater
	greaterEqual
	less
	lessEqual
	exists
	notExists
	in
	notIn
	matches
	notMatches
)

// operators are the two spellings, in the order of the constants.
var operators = [...]struct{ symbol, word string }{
	{"==", "equals"}, {"!=", "not_equals"}, {">", "greater_than"}, {">=", "greater_than_equal"}, {"<", "less_than"},
	{"<=", "less_than_equal"}, {"exists", "exists"}, {"!exists", "not_exists"}, {"in", "in"}, {"!in", "not_in"}, {"=~", "matches"},
	{"!~", "not_matches"},
}

var (
	nameOperators  = []operator{equal, notEqual, in, notIn, matches, notMatches}
	orderOperators = []operator{equal, notEqual, greater, greaterEqual, less, lessEqual}
)

// takes tells whether the guide gives the subject that operator.
func (s subject) takes(op operator) bool {
	switch s {
	case attribute:
		return true
	case agentConnected, ec2InstanceID:
		return slices.Contains(nameOperators, op)
	case taskGroup:
		return op == exists || op == notExists || slices.Contains(nameOperators, op)
	}
	return slices.Contains(orderOperators, op)
}

// Counts tells whether the expression depends on the tasks of an instance, which placing a task changes.
func (e *Expr) Counts() bool {
	return e.has(func(s subject) bool { return s == taskGroup || s == runningTasksCount || s == pendingTasksCount })
}

// Static tells whether the expression depends on what an instance is registered with alone.
func (e *Expr) Static() bool {
	return !e.Counts() && !e.has(func(s subject) bool { return s == agentConnected })
}

func (e *Expr) has(is func(subject) bool) bool {
	found := false
	e.root.each(func(t *test) { found = found || is(t.subject) })
	return found
}

// Groups are the task groups that the expression names as they are, without patterns; each once.
func (e *Expr) Groups() []string {
	var out []string
	e.root.each(func(t *test) {
		if t.subject == taskGroup && t.op != matches && t.op != notMatches {
			for _, g := range t.args {
				if !slices.Contains(out, g) {
					out = append(out, g)
				}
			}
		}
	})
	return out
}

func (n *node) each(do func(*test)) {
	if n.kind == isTest {
		do(&n.test)
	}
	for i := range n.below {
		n.below[i].each(do)
	}
}

// String gives an expression that means the same and parses to an equal one, in one spelling.
func (e *Expr) String() string {
	var b strings.Builder
	e.root.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.kind {
	case isTest:
		n.test.write(b)
	case isNot:
		b.WriteString("not ")
		n.below[0].writeBelow(b, n.below[0].kind == isAnd || n.below[0].kind == isOr)
	default:
		for i := range n.below {
			if i > 0 {
				b.WriteString(map[nodeKind]string{isAnd: " and ", isOr: " or "}[n.kind])
			}
			k := n.below[i].kind
			n.below[i].writeBelow(b, k == isOr || k == isAnd && n.kind == isAnd)
		}
	}
}

func (n *node) writeBelow(b *strings.Builder, parentheses bool) {
	if parentheses {
		b.WriteByte('(')
	}
	n.write(b)
	if parentheses {
		b.WriteByte(')')
	}
}

func (t *test) write(b *strings.Builder) {
	b.WriteString(subjects[t.subject])
	b.WriteString(t.attribute)
	b.WriteByte(' ')
	b.WriteString(operators[t.op].symbol)
	switch t.op {
	case exists, notExists:
	case in, notIn:
		b.WriteString(" [")
		for i, a := range t.args {
			if i > 0 {
				b.WriteString(", ")
			}
			writeValue(b, a)
		}
		b.WriteByte(']')
	default:
		b.WriteByte(' ')
		writeValue(b, t.args[0])
	}
}

func writeValue(b *strings.Builder, v string) {
	bare := v != ""
	for i := range len(v) {
		bare = bare && (isNameByte(v[i]) && v[i] != '\\' || v[i] == ':' || v[i] == '*' || v[i] == '@')
	}
	if bare {
		b.WriteString(v)
		return
	}
	b.WriteByte('\'')
	for i := range len(v) {
		if v[i] == '\'' || v[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	b.WriteByte('\'')
}
