package query

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Facts are what an expression asks of an instance.
type Facts struct {
	Instance *ecs.Instance
	// Connected tells whether its agent is.
	Connected bool
	// Running and Pending count its tasks.
	Running, Pending int32
	// Groups are the groups of its tasks that are to run; nil is none.
	Groups Groups
}

// Groups is a set of task groups.
type Groups interface {
	Has(group string) bool
	// Any tells whether is holds for one of them.
	Any(is func(group string) bool) bool
}

// Matches evaluates the expression. The facts are only read.
func (e *Expr) Matches(f *Facts) bool { return e.root.matches(f) }

func (n *node) matches(f *Facts) bool {
	switch n.kind {
	case isAnd:
		for i := range n.below {
			if !n.below[i].matches(f) {
				return false
			}
		}
		return true
	case isOr:
		for i := range n.below {
			if n.below[i].matches(f) {
				return true
			}
		}
		return false
	case isNot:
		return !n.below[0].matches(f)
	}
	return n.test.holds(f)
}

func (t *test) holds(f *Facts) bool {
	switch t.subject {
	case attribute:
		v, ok := f.Instance.Attribute(t.attribute)
		return t.ofAttribute(v, ok)
	case agentConnected:
		return t.ofName(strconv.FormatBool(f.Connected))
	case ec2InstanceID:
		return f.Instance.HostID != "" && t.ofName(f.Instance.HostID)
	case agentVersion:
		return isVersion(f.Instance.AgentVersion) && t.ordered(compareVersions(f.Instance.AgentVersion, t.args[0]))
	case registeredAt:
		return t.ordered(cmp.Compare(int64(f.Instance.RegisteredAt)/1000, t.number))
	case runningTasksCount:
		return t.ordered(cmp.Compare(int64(f.Running), t.number))
	case pendingTasksCount:
		return t.ordered(cmp.Compare(int64(f.Pending), t.number))
	case taskGroup:
		return t.ofGroups(f.Groups)
	}
	return false
}

func (t *test) ofAttribute(v string, ok bool) bool {
	switch t.op {
	case exists:
		return ok
	case notExists:
		return !ok
	case greater, greaterEqual, less, lessEqual:
		return ok && t.ordered(t.compareAttribute(v))
	}
	return ok && t.ofName(v)
}

// compareAttribute compares numbers as numbers and anything else as text.
func (t *test) compareAttribute(v string) int {
	if t.numeric {
		if n, ok := decimal(v); ok {
			return cmp.Compare(n, t.decimal)
		}
	}
	return strings.Compare(v, t.args[0])
}

func (t *test) ofName(v string) bool {
	switch t.op {
	case equal:
		return v == t.args[0]
	case notEqual:
		return v != t.args[0]
	case in:
		return slices.Contains(t.args, v)
	case notIn:
		return !slices.Contains(t.args, v)
	case matches:
		return t.pattern.MatchString(v)
	case notMatches:
		return !t.pattern.MatchString(v)
	}
	return false
}

func (t *test) ordered(c int) bool {
	switch t.op {
	case equal:
		return c == 0
	case notEqual:
		return c != 0
	case greater:
		return c > 0
	case greaterEqual:
		return c >= 0
	case less:
		return c < 0
	case lessEqual:
		return c <= 0
	}
	return false
}

func (t *test) ofGroups(g Groups) bool {
	if g == nil {
		return t.op == notEqual || t.op == notIn || t.op == notMatches || t.op == notExists
	}
	switch t.op {
	case exists:
		return g.Any(anyGroup)
	case notExists:
		return !g.Any(anyGroup)
	case equal, in:
		return slices.ContainsFunc(t.args, g.Has)
	case notEqual, notIn:
		return !slices.ContainsFunc(t.args, g.Has)
	case matches:
		return g.Any(t.pattern.MatchString)
	}
	return !g.Any(t.pattern.MatchString)
}

func anyGroup(string) bool { return true }

// decimal reads a plain number such as -1 or 2.5, without an exponent.
func decimal(v string) (float64, bool) {
	digits, points := 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '.':
			points++
		case (c == '-' || c == '+') && i == 0:
		default:
			return 0, false
		}
	}
	if digits == 0 || points > 1 {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	return n, err == nil
}
