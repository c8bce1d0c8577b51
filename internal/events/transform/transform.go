// Package transform makes a target's input of an event: a part of it, or a template filled with parts.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Path names a value within an event: $, .name, ['name'] and [0].
type Path []any // string keys and int indexes

// ParsePath reads a path.
func ParsePath(text string) (Path, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, errors.New("a JSON path begins with $")
	}
	var p Path
	for rest != "" {
		var name string
		switch {
		case strings.HasPrefix(rest, "['"):
			if name, rest, ok = strings.Cut(rest[2:], "']"); !ok || name == "" {
				return nil, errors.New("a name in brackets does not end")
			}
			p = append(p, name)
		case rest[0] == '[':
			if name, rest, ok = strings.Cut(rest[1:], "]"); !ok {
				return nil, errors.New("an index does not end")
			}
			n, err := strconv.ParseUint(name, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("%q is no index", name)
			}
			p = append(p, int(n))
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			if name, rest = rest[1:1+end], rest[1+end:]; name == "" || name == "*" {
				return nil, errors.New("a path has a name behind each dot, and no wildcards")
			}
			p = append(p, name)
		default:
			return nil, fmt.Errorf("%q is no part of a path", rest)
		}
	}
	return p, nil
}

// Of gives the value at the path; ok is false if there is none.
func (p Path) Of(v any) (any, bool) {
	for _, step := range p {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			var ok bool
			if v, ok = m[step]; !ok {
				return nil, false
			}
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil, false
			}
			v = l[step]
		}
	}
	return v, true
}

// Template fills a template's <names>. Within quotes a value stands as its text, elsewhere as JSON; what is not there is
// nothing within quotes and null elsewhere. A <word> that is no name stays.
func Template(text string, values map[string]any) (string, error) {
	var out strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			out.WriteString(text[i : i+2])
			i++
		case c == '"':
			quoted = !quoted
			out.WriteByte(c)
		case c == '<':
			name, _, ok := strings.Cut(text[i+1:], ">")
			v, known := values[name]
			if !ok || !known {
				out.WriteByte(c)
				continue
			}
			s, err := written(v, quoted)
			if err != nil {
				return "", err
			}
			out.WriteString(s)
			i += len(name) + 1
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

func written(v any, quoted bool) (string, error) {
	b, err := json.Marshal(v)
	if err != nil || !quoted {
		return string(b), err
	}
	if v == nil {
		return "", nil
	}
	if _, ok := v.(string); !ok {
		if b, err = json.Marshal(string(b)); err != nil {
			return "", err
		}
	}
	return string(b[1 : len(b)-1]), nil
}
