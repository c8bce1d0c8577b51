package query

import "slices"

// Same tells whether two expressions were parsed to the same.
func Same(a, b *Expr) bool { return sameNode(&a.root, &b.root) }

func sameNode(a, b *node) bool {
	if a.kind != b.kind || len(a.below) != len(b.below) || !sameTest(&a.test, &b.test) {
		return false
	}
	for i := range a.below {
		if !sameNode(&a.below[i], &b.below[i]) {
			return false
		}
	}
	return true
}

func sameTest(a, b *test) bool {
	return a.subject == b.subject && a.attribute == b.attribute && a.op == b.op && slices.Equal(a.args, b.args) && a.number == b.number &&
		a.decimal == b.decimal && a.numeric == b.numeric && (a.pattern == nil) == (b.pattern == nil) &&
		(a.pattern == nil || a.pattern.String() == b.pattern.String())
}
