// Package schedule reads EventBridge's schedule expressions, rate(...) and cron(...), whose times are UTC.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule tells when a rule is due.
type Schedule struct {
	every time.Duration // 0 for cron
	cron  *cron
}

// Next is the first moment after t; the zero time if there is none any more.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return t.Add(s.every)
	}
	return s.cron.next(t.UTC())
}

// Parse reads an expression.
func Parse(text string) (*Schedule, error) {
	if in, ok := inside(text, "rate"); ok {
		d, err := parseRate(in)
		return &Schedule{every: d}, err
	}
	if in, ok := inside(text, "cron"); ok {
		c, err := parseCron(in)
		return &Schedule{cron: c}, err
	}
	return nil, errors.New("neither rate(...) nor cron(...)")
}

func inside(text, name string) (string, bool) {
	rest, ok := strings.CutPrefix(text, name+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ")")
}

// parseRate reads VALUE UNIT; the unit is singular for 1 and plural else.
func parseRate(text string) (time.Duration, error) {
	parts := strings.Fields(text)
	if len(parts) != 2 {
		return 0, errors.New("a rate is a number and a unit")
	}
	n, err := strconv.ParseUint(parts[0], 10, 31)
	if err != nil || n == 0 {
		return 0, errors.New("a rate's number is positive")
	}
	unit, plural := parts[1], strings.HasSuffix(parts[1], "s")
	if plural == (n == 1) {
		return 0, errors.New("a rate's unit is singular for 1 and plural for more")
	}
	d := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(unit, "s")]
	if d == 0 || time.Duration(n) > 100*365*24*time.Hour/d {
		return 0, errors.New("a rate's unit is minutes, hours or days, and no more than a hundred years")
	}
	return time.Duration(n) * d, nil
}

// cron has the six fields. Of the two day fields one is nil: it was "?".
type cron struct {
	minute, hour, month, year set
	day                       func(t time.Time) bool
}

// set has the values of a field that match.
type set map[int]bool

var (
	months = names("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
	days   = names("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
)

func names(list ...string) map[string]int {
	m := map[string]int{}
	for i, n := range list {
		m[n] = i + 1
	}
	return m
}

const firstYear, lastYear = 1970, 2199

func parseCron(text string) (*cron, error) {
	f := strings.Fields(text)
	if len(f) != 6 {
		return nil, fmt.Errorf("cron has six fields, not %d", len(f))
	}
	if (f[2] == "?") == (f[4] == "?") {
		return nil, errors.New("one of day-of-month and day-of-week is ?, and not both")
	}
	c := &cron{}
	var err error
	for _, field := range []struct {
		to       *set
		text     string
		min, max int
		names    map[string]int
	}{{&c.minute, f[0], 0, 59, nil}, {&c.hour, f[1], 0, 23, nil}, {&c.month, f[3], 1, 12, months}, {&c.year, f[5], firstYear, lastYear, nil}} {
		if *field.to, err = parseSet(field.text, field.min, field.max, field.names); err != nil {
			return nil, err
		}
	}
	if f[4] == "?" {
		c.day, err = parseDayOfMonth(f[2])
	} else {
		c.day, err = parseDayOfWeek(strings.ToUpper(f[4]))
	}
	return c, err
}

// parseSet reads lists of values, ranges and steps: 1,3-5,*/10.
func parseSet(text string, least, most int, names map[string]int) (set, error) {
	out := set{}
	for part := range strings.SplitSeq(strings.ToUpper(text), ",") {
		span, step, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			var err error
			if by, err = strconv.Atoi(step); err != nil || by < 1 {
				return nil, fmt.Errorf("%q is no step", step)
			}
		}
		from, to := least, most
		if span != "*" {
			a, b, isRange := strings.Cut(span, "-")
			var err error
			if from, err = value(a, least, most, names); err != nil {
				return nil, err
			}
			if isRange {
				if to, err = value(b, least, most, names); err != nil {
					return nil, err
				}
			} else if !stepped {
				to = from
			}
		}
		if from > to {
			return nil, fmt.Errorf("the range %q is empty", span)
		}
		for v := from; v <= to; v += by {
			out[v] = true
		}
	}
	return out, nil
}

func value(text string, least, most int, names map[string]int) (int, error) {
	n, ok := names[text]
	if !ok {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			return 0, fmt.Errorf("%q is no value of its field", text)
		}
	}
	if n < least || n > most {
		return 0, fmt.Errorf("%d is not between %d and %d", n, least, most)
	}
	return n, nil
}

// lastDay is the last day of t's month.
func lastDay(t time.Time) int { return time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day() }

// parseDayOfMonth also reads L, the last day, LW, the last weekday, and nW, the weekday nearest to n within the month.
func parseDayOfMonth(text string) (func(time.Time) bool, error) {
	switch text {
	case "L":
		return func(t time.Time) bool { return t.Day() == lastDay(t) }, nil
	case "LW":
		return func(t time.Time) bool { return t.Day() == weekday(t, lastDay(t)) }, nil
	}
	if n, ok := strings.CutSuffix(text, "W"); ok {
		want, err := value(n, 1, 31, nil)
		if err != nil {
			return nil, err
		}
		return func(t time.Time) bool { return want <= lastDay(t) && t.Day() == weekday(t, want) }, nil
	}
	s, err := parseSet(text, 1, 31, nil)
	return func(t time.Time) bool { return s[t.Day()] }, err
}

// weekday is the day from Monday to Friday that is nearest to a day of t's month, in that month.
func weekday(t time.Time, day int) int {
	switch time.Date(t.Year(), t.Month(), day, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if day == 1 {
			return 3
		}
		return day - 1
	case time.Sunday:
		if day == lastDay(t) {
			return day - 2
		}
		return day + 1
	}
	return day
}

// parseDayOfWeek also reads nL, the month's last n, and n#k, its k-th. Sunday is 1.
func parseDayOfWeek(text string) (func(time.Time) bool, error) {
	is := func(t time.Time, day int) bool { return int(t.Weekday())+1 == day }
	if text == "L" {
		return func(t time.Time) bool { return is(t, 7) }, nil
	}
	if n, ok := strings.CutSuffix(text, "L"); ok {
		day, err := value(n, 1, 7, days)
		return func(t time.Time) bool { return is(t, day) && t.Day() > lastDay(t)-7 }, err
	}
	if n, k, ok := strings.Cut(text, "#"); ok {
		day, err := value(n, 1, 7, days)
		if err != nil {
			return nil, err
		}
		nth, err := value(k, 1, 5, nil)
		return func(t time.Time) bool { return is(t, day) && (t.Day()-1)/7+1 == nth }, err
	}
	s, err := parseSet(text, 1, 7, days)
	return func(t time.Time) bool { return s[int(t.Weekday())+1] }, err
}

// next goes up from t by the largest unit that does not match.
func (c *cron) next(t time.Time) time.Time {
	t = t.Truncate(time.Minute).Add(time.Minute)
	for t.Year() <= lastYear {
		switch {
		case !c.year[t.Year()]:
			t = time.Date(t.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
		case !c.month[int(t.Month())]:
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case !c.day(t):
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		case !c.hour[t.Hour()]:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case !c.minute[t.Minute()]:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}
