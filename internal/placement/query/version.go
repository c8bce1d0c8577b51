package query

import (
	"cmp"
	"strings"
)

// isVersion tells whether a version begins with numbers between points, after an optional v: 1.14.5, v2.0-beta.
func isVersion(v string) bool {
	numbers, _ := splitVersion(v)
	if numbers == "" {
		return false
	}
	for part := range strings.SplitSeq(numbers, ".") {
		if part == "" || len(part) > 18 {
			return false
		}
	}
	return true
}

// splitVersion parts the numbers from what comes behind them.
func splitVersion(v string) (numbers, rest string) {
	v = strings.TrimPrefix(v, "v")
	for i := range len(v) {
		if c := v[i]; c != '.' && (c < '0' || c > '9') {
			if c != '-' && c != '+' {
				return "", ""
			}
			return v[:i], v[i:]
		}
	}
	return v, ""
}

// compareVersions orders by the numbers, missing ones being 0; a pre-release (1.0-beta) is before its version, and what follows
// a plus does not count. https://semver.org/#spec-item-11
func compareVersions(a, b string) int {
	x, xRest := splitVersion(a)
	y, yRest := splitVersion(b)
	for x != "" || y != "" {
		var m, n int64
		m, x = nextNumber(x)
		n, y = nextNumber(y)
		if m != n {
			return cmp.Compare(m, n)
		}
	}
	xRest, _, _ = strings.Cut(xRest, "+")
	yRest, _, _ = strings.Cut(yRest, "+")
	switch {
	case xRest == "" && yRest != "":
		return 1
	case xRest != "" && yRest == "":
		return -1
	}
	return strings.Compare(xRest, yRest)
}

func nextNumber(v string) (n int64, rest string) {
	part, rest, _ := strings.Cut(v, ".")
	for i := range len(part) {
		n = n*10 + int64(part[i]-'0')
	}
	return n, rest
}
