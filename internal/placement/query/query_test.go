package query_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement/query"
)

type groups []string

func (g groups) Has(s string) bool             { return slices.Contains(g, s) }
func (g groups) Any(is func(string) bool) bool { return slices.ContainsFunc(g, is) }

func facts() *query.Facts {
	return &query.Facts{
		Instance: &ecs.Instance{
			HostID: "i-abcd1234", AgentVersion: "1.14.5",
			RegisteredAt: ecs.MillisOf(time.Date(2018, 6, 18, 22, 28, 28, 5e8, time.UTC)),
			Attributes: []ecs.Attribute{
				{Name: "ecs.instance-type", Value: "t2.small"}, {Name: "ecs.availability-zone", Value: "us-east-1a"}, {Name: "stack", Value: "it's (a) [b]"},
				{Name: "size", Value: "10"}, {Name: "empty"},
			},
		},
		Connected: true, Running: 3, Pending: 1, Groups: groups{"service:production", "database"},
	}
}

// TestMatches holds the developer guide's examples and every operator against one instance.
func TestMatches(t *testing.T) {
	for expr, want := range map[string]bool{
		"attribute:ecs.instance-type == t2.small":                                               true,
		"attribute:ecs.availability-zone in [us-east-1a, us-east-1b]":                           true,
		"attribute:ecs.availability-zone !in [us-east-1a,us-east-1b]":                           false,
		"attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d": false,
		"attribute:ecs.instance-type =~ t2.* and attribute:ecs.availability-zone != us-east-1d": true,
		"task:group == service:production":                                                      true,
		"not(task:group == database)":                                                           false,
		"task:group != database":                                                                false,
		"task:group not_in [a, b]":                                                              true,
		"task:group in [a, database]":                                                           true,
		"task:group =~ service:.*":                                                              true,
		"task:group !~ service:.*":                                                              false,
		"task:group exists":                                                                     true,
		"task:group !exists":                                                                    false,
		"runningTasksCount == 3":                                                                true,
		"runningTasksCount equals 1":                                                            false,
		"pendingTasksCount<=1":                                                                  true,
		"agentVersion < 1.14.5":                                                                 false,
		"agentVersion <= 1.14.5":                                                                true,
		"agentVersion greater_than 1.9.9":                                                       true,
		"agentVersion less_than 1.14.5.1":                                                       true,
		"agentVersion > 1.14.5-beta":                                                            true,
		"registeredAt < 2018-02-13":                                                             false,
		"registeredAt greater_than_equal 2018-06-18":                                            true,
		"registeredAt == 2018-06-18T22:28:28Z":                                                  true,
		"registeredAt == 2018-06-18T22:28:28":                                                   true,
		"registeredAt == 2018-06-19T00:28:28+02:00":                                             true,
		"ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']":                                         true,
		`ec2InstanceId not_equals "i-abcd1234"`:                                                 false,
		"ec2InstanceId not_matches i-.*":                                                        false,
		"agentConnected == true":                                                                true,
		"agentConnected != TRUE":                                                                false,
		"agentConnected in [false]":                                                             false,
		"agentConnected matches t.*":                                                            true,
		"attribute:stack exists":                                                                true,
		"attribute:empty exists && attribute:none !exists":                                      true,
		"attribute:none not_exists":                                                             true,
		"attribute:stack != prod":                                                               true,
		"attribute:none != prod":                                                                false,
		"attribute:none !~ prod":                                                                false,
		"attribute:none not_in [prod]":                                                          false,
		"attribute:empty == ''":                                                                 true,
		`attribute:stack == 'it\'s (a) [b]'`:                                                    true,
		`attribute:stack == "it's (a) [b]"`:                                                     true,
		"attribute:size > 9":                                                                    true,
		"attribute:size >= 10.0":                                                                true,
		"attribute:size > abc":                                                                  false,
		"attribute:ecs.instance-type > t1":                                                      true,
		`attribute:ecs.instance-type =~ t2\.sm\w+`:                                              true,
		`attribute:ecs.instance-type =~ '(t2|t3)\.small'`:                                       true,
		"attribute:ecs.instance-type =~ t2":                                                     false,
		"attribute:size==10||attribute:size==11":                                                true,
		"attribute:size==11 or attribute:size==10 and attribute:stack exists":                   true,
		"(attribute:size==10 or attribute:size==11) and attribute:none exists":                  false,
		"!(attribute:size==11) AND NOT attribute:size == 12":                                    true,
		"!attribute:size==10":                                                                   false,
		"not not attribute:size==10":                                                            true,
		" ( ( attribute:size == 10 ) ) ":                                                        true,
		"attribute:in == x || attribute:size in [10]":                                           true,
	} {
		e, err := query.Parse(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := e.Matches(facts()); got != want {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
		if again, err := query.Parse(e.String()); err != nil || again.Matches(facts()) != want {
			t.Errorf("%s was written as %s, which does not mean the same: %v", expr, e, err)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for expr, want := range map[string]string{
		"":                                            "at offset 0: expected a subject such as attribute:NAME, task:group or agentConnected, found the end",
		"foo == 1":                                    `at offset 0: expected a subject such as attribute:NAME, task:group or agentConnected, found "foo"`,
		"attribute: == 1":                             `at offset 0: expected a subject such as attribute:NAME, task:group or agentConnected, found "attribute:"`,
		"attribute:a b":                               `at offset 12: expected an operator such as == or in, found "b"`,
		"attribute:a existsnot":                       `at offset 12: expected an operator such as == or in, found "existsnot"`,
		"attribute:a ==":                              "at offset 14: expected a value, found the end",
		"attribute:a == (b)":                          `at offset 15: expected a value, found "(b)"`,
		"attribute:a == b c":                          `at offset 17: expected and, or, or the end, found "c"`,
		"attribute:a == b and":                        "at offset 20: expected a subject such as attribute:NAME, task:group or agentConnected, found the end",
		"(attribute:a == b":                           "at offset 17: expected and, or, or a closing parenthesis, found the end",
		"attribute:a == b)":                           `at offset 16: expected and, or, or the end, found ")"`,
		"attribute:a in b":                            `at offset 15: expected a list in brackets, found "b"`,
		"attribute:a in []":                           `at offset 16: expected a value, found "]"`,
		"attribute:a in [b c]":                        `at offset 18: expected a comma or a closing bracket, found "c]"`,
		"attribute:a in [b":                           "at offset 17: expected a comma or a closing bracket, found the end",
		"attribute:a == 'b":                           "at offset 17: expected a closing ', found the end",
		"attribute:a =~ '(b'":                         `at offset 15: expected a regular expression, found "'(b'"`,
		"attribute:a =~ 'b)(c'":                       `at offset 15: expected a regular expression, found "'b)(c'"`,
		"attribute:a =~ '((b{100}){10}){99}'":         `at offset 15: expected a regular expression, found "'((b{100}){10}){99}'"`,
		"runningTasksCount == x":                      `at offset 21: expected a whole number, found "x"`,
		"runningTasksCount exists":                    `at offset 18: expected an operator that runningTasksCount takes, found "exists"`,
		"agentConnected > true":                       `at offset 15: expected an operator that agentConnected takes, found ">"`,
		"agentConnected == yes":                       `at offset 18: expected true or false, found "yes"`,
		"registeredAt > yesterday":                    `at offset 15: expected a date such as 2018-06-18T22:28:28Z or 2018-06-18, found "yesterday"`,
		"agentVersion > latest":                       `at offset 15: expected a version such as 1.14.5, found "latest"`,
		strings.Repeat("(", 70):                       `at offset 64: expected at most 64 levels of parentheses and negations, found "(((((("`,
		"attribute:a == " + strings.Repeat("b", 1999): `at offset 2000: expected at most 2000 characters, found "bbbbbbbbbbbbbb"`,
	} {
		_, err := query.Parse(expr)
		var syntax *query.SyntaxError
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", expr, err, want)
		}
	}
}

func TestNothingKnown(t *testing.T) {
	for expr, want := range map[string]bool{
		"task:group == a": false, "task:group != a": true, "task:group exists": false, "task:group !exists": true,
		"agentVersion != 1.0": false, "ec2InstanceId != i-1": false, "runningTasksCount == 0": true,
	} {
		e, err := query.Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Matches(&query.Facts{Instance: &ecs.Instance{}}); got != want {
			t.Errorf("%s: %v", expr, got)
		}
	}
}

func TestGroupsAndCounts(t *testing.T) {
	e, err := query.Parse("task:group in [a, b] or not(task:group == a or task:group =~ x.*)")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, e.Groups()); diff != "" || !e.Counts() {
		t.Error(diff, e.Counts())
	}
	if e, _ := query.Parse("attribute:a exists"); e.Counts() || e.Groups() != nil {
		t.Error("an expression of attributes counts nothing")
	}
}

// expression draws a well-formed expression.
func expression(t *rapid.T, depth int) string {
	value := rapid.OneOf(rapid.SampledFrom([]string{"a", "t2.*", "in", "us-east-1a"}), rapid.Map(rapid.String(), func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
	}))
	if depth == 0 || rapid.Bool().Draw(t, "leaf") {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return "attribute:a.b/c exists"
		case 1:
			return "task:group not_in [" + value.Draw(t, "one") + ", " + value.Draw(t, "two") + "]"
		case 2:
			return "runningTasksCount >= 4"
		case 3:
			return "agentConnected equals True"
		case 4:
			return `attribute:x =~ '\\d+(a|b)'`
		}
		return "attribute:x " + rapid.SampledFrom([]string{"==", "!=", "<", ">="}).Draw(t, "op") + " " + value.Draw(t, "value")
	}
	switch rapid.IntRange(0, 3).Draw(t, "form") {
	case 0:
		return "not " + expression(t, depth-1)
	case 1:
		return expression(t, depth-1) + " and " + expression(t, depth-1)
	case 2:
		return expression(t, depth-1) + " || " + expression(t, depth-1)
	}
	return "(" + expression(t, depth-1) + ")"
}

// TestWrittenAndRead: what String writes parses to the same.
func TestWrittenAndRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := expression(t, 4)
		e, err := query.Parse(text)
		if err != nil && len(text) <= query.MaxLength {
			t.Fatalf("%s: %v", text, err)
		}
		if err == nil {
			roundTrip(t, e)
		}
	})
}

func roundTrip(t interface{ Fatalf(string, ...any) }, e *query.Expr) {
	text := e.String()
	if len(text) > query.MaxLength {
		return
	}
	again, err := query.Parse(text)
	if err != nil || !query.Same(e, again) {
		t.Fatalf("%s: %v, %v", text, again, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"attribute:a == b", "not(task:group == database)", "ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']", `attribute:a =~ "x\"[0-9]+"`,
		"(attribute:a exists || !attribute:b !exists) && registeredAt < 2018-02-13", "agentVersion < 1.14.5 or runningTasksCount > 3", strings.Repeat("(", 100), strings.Repeat("!", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := query.Parse(s)
		if err != nil {
			var syntax *query.SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(s) {
				t.Fatalf("%v", err)
			}
			return
		}
		e.Matches(facts())
		roundTrip(t, e)
	})
}

func TestMatchesWithoutAllocation(t *testing.T) {
	e, err := query.Parse("attribute:size > 9 and attribute:ecs.instance-type =~ t2.* and agentVersion >= 1.14 and agentConnected == true and runningTasksCount < 9 and task:group in [x, database]")
	if err != nil {
		t.Fatal(err)
	}
	f := facts()
	if n := testing.AllocsPerRun(100, func() {
		if !e.Matches(f) {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatches(b *testing.B) {
	e, err := query.Parse("attribute:ecs.instance-type =~ t2.* and attribute:ecs.availability-zone in [us-east-1a, us-east-1b]")
	if err != nil {
		b.Fatal(err)
	}
	f := facts()
	for b.Loop() {
		if !e.Matches(f) {
			b.Fatal("no match")
		}
	}
}
