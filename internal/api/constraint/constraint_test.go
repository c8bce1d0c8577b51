package constraint_test

import (
	"regexp"
	"strings"
	"testing"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/fault"
)

func TestChecks(t *testing.T) {
	form := constraint.Form{Min: 1, Max: 3, Pattern: regexp.MustCompile(`^[a-z]+$`)}
	var c constraint.Checks
	for _, good := range []string{"a", "abc"} {
		if c.Text(&good, "name", form) != good || c.Optional(nil, "name", form) != "" {
			t.Error("a value is not given back")
		}
	}
	c.Enum("", "kind", "A")
	c.Enum("A", "kind", "A")
	c.Count(2, "'[]'", "list", 1, 2)
	if n := constraint.Number(&c, (*int32)(nil), "limit", 1, 5, 4); n != 4 || c.Err(fault.Validation) != nil || c.Found() != 0 {
		t.Errorf("preset %d, %v", n, c.Err(fault.Validation))
	}
	for _, one := range []struct {
		check func(*constraint.Checks)
		want  string
	}{
		{func(c *constraint.Checks) { c.Text(nil, "name", form) }, "Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{func(c *constraint.Checks) { c.Value("", "name", form) }, "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{func(c *constraint.Checks) { c.Value("ab1", "name", form) }, "Value 'ab1' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{func(c *constraint.Checks) { c.Value("a\xff", "name", form) }, "regular expression pattern"},
		{func(c *constraint.Checks) { c.Value("äöü", "name", constraint.Form{Max: 2}) }, "Member must have length less than or equal to 2"},
		{func(c *constraint.Checks) { c.Value(strings.Repeat("x", 1<<20), "name", form) }, "xxx...' at 'name'"},
		{func(c *constraint.Checks) { constraint.Number(c, new(int64(9)), "limit", 1, 5, 4) }, "Value '9' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 5"},
		{func(c *constraint.Checks) { c.Enum("B", "kind", "A", "C") }, "Member must satisfy enum value set: [A, C]"},
	} {
		var c constraint.Checks
		one.check(&c)
		err := c.Err(fault.Validation)
		if err == nil || !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "1 validation error detected: ") || !strings.Contains(err.Error(), one.want) || len(err.Error()) > 2000 {
			t.Errorf("%.200v; want %q", err, one.want)
		}
		c.Text(nil, "other", form)
		if err := c.Err(fault.InvalidParameter); !fault.Is(err, fault.InvalidParameter) || !strings.Contains(err.Error(), "2 validation errors detected: ") || !strings.Contains(err.Error(), "; Value null at 'other'") {
			t.Errorf("two: %.200v", err)
		}
	}
}
