//lint:file-ignore ST1005 refusals are in EventBridge's own words

package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// operator gives the reader of a condition that is not a plain value, by its key, or nil.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
func operator(key string) func(v any) (condition, error) {
	switch key {
	case "prefix":
		return func(v any) (condition, error) { return affix(key, v, strings.HasPrefix) }
	case "suffix":
		return func(v any) (condition, error) { return affix(key, v, strings.HasSuffix) }
	case "equals-ignore-case":
		return ignoreCase
	case "wildcard":
		return wildcard
	case "anything-but":
		return anythingBut
	case "numeric":
		return numeric
	case "exists":
		return exists
	case "cidr":
		return cidr
	}
	return nil
}

func parseOperator(m map[string]any) (condition, error) {
	if len(m) != 1 {
		return condition{}, errors.New("Only one key allowed in match expression")
	}
	for key, v := range m {
		parse := operator(key)
		if parse == nil {
			return condition{}, fmt.Errorf("Unrecognized match type %s", key)
		}
		return parse(v)
	}
	panic("unreachable")
}

// onText is a condition on texts.
func onText(f func(string) bool) condition {
	return condition{has: func(v any) bool { s, ok := v.(string); return ok && f(s) }}
}

// affix is prefix and suffix, of a text or of {"equals-ignore-case": text}.
func affix(name string, v any, is func(s, part string) bool) (condition, error) {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		if part, ok := m["equals-ignore-case"].(string); ok {
			part = fold(part)
			return onText(func(s string) bool { return is(fold(s), part) }), nil
		}
	}
	part, ok := v.(string)
	if !ok {
		return condition{}, fmt.Errorf("%s match pattern must be a string", name)
	}
	return onText(func(s string) bool { return is(s, part) }), nil
}

// fold makes texts that differ in case alone equal.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

func ignoreCase(v any) (condition, error) {
	want, ok := v.(string)
	if !ok {
		return condition{}, errors.New("equals-ignore-case match pattern must be a string")
	}
	return onText(func(s string) bool { return strings.EqualFold(s, want) }), nil
}

func wildcard(v any) (condition, error) {
	text, ok := v.(string)
	if !ok {
		return condition{}, errors.New("wildcard match pattern must be a string")
	}
	parts, err := wildcardParts(text)
	if err != nil {
		return condition{}, err
	}
	return onText(func(s string) bool { return wild(parts, s) }), nil
}

// wildcardParts cuts a pattern at its asterisks; \* and \\ stand for the characters.
func wildcardParts(text string) ([]string, error) {
	var parts []string
	var part strings.Builder
	star := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i+1 == len(text) || text[i+1] != '*' && text[i+1] != '\\' {
				return nil, fmt.Errorf("Invalid escape character at pos %d", i)
			}
			i++
			part.WriteByte(text[i])
			star = false
		case '*':
			if star {
				return nil, fmt.Errorf("Consecutive wildcard characters at pos %d", i-1)
			}
			parts, star = append(parts, part.String()), true
			part.Reset()
		default:
			part.WriteByte(text[i])
			star = false
		}
	}
	return append(parts, part.String()), nil
}

// wild matches a text against parts with anything between them. Taking each part as early as it comes is enough.
func wild(parts []string, s string) bool {
	if len(parts) == 1 {
		return s == parts[0]
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[last])
}

// anythingBut accepts values that are there and none of those named: values, or what an operator on texts accepts.
func anythingBut(v any) (condition, error) {
	if m, ok := v.(map[string]any); ok {
		return anythingButOperator(m)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		return condition{}, errors.New("Empty arrays are not allowed")
	}
	texts, numbers := 0, 0
	for _, e := range list {
		switch e.(type) {
		case string:
			texts++
		case json.Number:
			numbers++
		}
	}
	if texts != len(list) && numbers != len(list) {
		return condition{}, errors.New("Inside anything but list, either all values are number or string, mixed type is not supported")
	}
	return condition{has: func(v any) bool {
		for _, e := range list {
			if e == v {
				return false
			}
		}
		return true
	}}, nil
}

func anythingButOperator(m map[string]any) (condition, error) {
	if len(m) != 1 {
		return condition{}, errors.New("Only one key allowed in match expression")
	}
	for key, v := range m {
		switch key {
		case "prefix", "suffix", "equals-ignore-case", "wildcard":
		default:
			return condition{}, fmt.Errorf("Unsupported anything-but pattern: %s", key)
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		if len(list) == 0 {
			return condition{}, errors.New("Empty arrays are not allowed")
		}
		var but []condition
		for _, e := range list {
			c, err := operator(key)(e)
			if err != nil {
				return condition{}, err
			}
			but = append(but, c)
		}
		return condition{has: func(v any) bool {
			for _, c := range but {
				if c.has(v) {
					return false
				}
			}
			return true
		}}, nil
	}
	panic("unreachable")
}

// exists accepts a value of any kind, or that there is none.
func exists(v any) (condition, error) {
	want, ok := v.(bool)
	if !ok {
		return condition{}, errors.New("exists match pattern must be either true or false.")
	}
	if !want {
		return condition{absent: true}, nil
	}
	return condition{has: func(any) bool { return true }}, nil
}

func cidr(v any) (condition, error) {
	text, ok := v.(string)
	if !ok {
		return condition{}, errors.New("prefix match pattern must be a string")
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return condition{}, fmt.Errorf("Malformed CIDR, one '/' required: %s", text)
	}
	p = p.Masked()
	return onText(func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && p.Contains(a)
	}), nil
}

// maxNumber is how large numbers may be in numeric conditions.
const maxNumber = 5e9

// numeric is one or two comparisons: [op, number] or a range, the lower end first.
func numeric(v any) (condition, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return condition{}, errors.New("Value of numeric must be an array.")
	}
	if len(list) != 2 && len(list) != 4 {
		return condition{}, errors.New("Bad numeric range: too many or too few terms")
	}
	var tests []func(float64) bool
	var ops []string
	var bounds []float64
	for i := 0; i < len(list); i += 2 {
		op, _ := list[i].(string)
		n, ok := list[i+1].(json.Number)
		if !ok {
			return condition{}, errors.New("Value of " + op + " must be numeric")
		}
		bound, err := n.Float64()
		if err != nil || bound > maxNumber || bound < -maxNumber {
			return condition{}, errors.New("Value must be between -5.0E9 and 5.0E9, inclusive")
		}
		test := comparison(op, bound)
		if test == nil {
			return condition{}, fmt.Errorf("Unrecognized numeric range operator: %s", op)
		}
		tests, ops, bounds = append(tests, test), append(ops, op), append(bounds, bound)
	}
	if len(ops) == 2 && (ops[0][0] != '>' || ops[1][0] != '<' || bounds[0] >= bounds[1]) {
		return condition{}, errors.New("Bottom must be less than top")
	}
	return condition{has: func(v any) bool {
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		f, err := n.Float64()
		if err != nil || f > maxNumber || f < -maxNumber {
			return false
		}
		for _, test := range tests {
			if !test(f) {
				return false
			}
		}
		return true
	}}, nil
}

func comparison(op string, bound float64) func(float64) bool {
	switch op {
	case "=":
		return func(f float64) bool { return f == bound }
	case "<":
		return func(f float64) bool { return f < bound }
	case "<=":
		return func(f float64) bool { return f <= bound }
	case ">":
		return func(f float64) bool { return f > bound }
	case ">=":
		return func(f float64) bool { return f >= bound }
	}
	return nil
}
