//lint:file-ignore ST1005 refusals are in EventBridge's own words

// Package pattern is EventBridge's language of event patterns.
//
// A pattern is a JSON object of the shape of the events it matches, with a list of conditions in the place of each value. All
// keys of an object must match, and one of a list's conditions. Where an event has a list, one of its elements must match.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Pattern is a parsed event pattern. It may be used by many goroutines.
type Pattern struct{ root *object }

// object is the conditions on an object's fields, all of which must hold, and alternatives, of each of which one must.
type object struct {
	fields []field
	or     [][]*object
}

// field has a nested object or a list of conditions, one of which must hold.
type field struct {
	name   string
	object *object
	leaf   []condition
}

// condition is one element of a list. has tells whether it accepts a value that is there; absent whether it accepts that there
// is none.
type condition struct {
	has    func(v any) bool
	absent bool
}

// Match tells whether an event, as Decode gives it, matches.
func (p *Pattern) Match(event map[string]any) bool { return p.root.match(event) }

// Decode reads an event for Match.
func Decode(event string) (map[string]any, error) {
	v, err := decode(event)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("an event is a JSON object")
	}
	return m, nil
}

func decode(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the JSON value")
	}
	return v, nil
}

func (o *object) match(event map[string]any) bool {
	for i := range o.fields {
		v, ok := event[o.fields[i].name]
		if !o.fields[i].match(v, ok) {
			return false
		}
	}
	for _, alternatives := range o.or {
		found := false
		for _, a := range alternatives {
			found = found || a.match(event)
		}
		if !found {
			return false
		}
	}
	return true
}

func (f *field) match(v any, ok bool) bool {
	if f.object != nil {
		return f.object.inside(v)
	}
	values, there := leaves(nil, v, ok)
	for i := range f.leaf {
		c := &f.leaf[i]
		if c.absent && !there {
			return true
		}
		if c.has == nil {
			continue
		}
		for _, v := range values {
			if c.has(v) {
				return true
			}
		}
	}
	return false
}

// inside matches what is below a field: an object, one of a list of objects, or none at all, which a pattern of absences alone
// accepts.
func (o *object) inside(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return o.match(v)
	case []any:
		for _, e := range v {
			if o.inside(e) {
				return true
			}
		}
		return len(v) == 0 && o.match(nil)
	}
	return o.match(nil)
}

// leaves gives the values of a field; an object is none, nor is an empty list.
func leaves(out []any, v any, ok bool) ([]any, bool) {
	if !ok {
		return out, false
	}
	switch v := v.(type) {
	case map[string]any:
		return out, false
	case []any:
		for _, e := range v {
			out, _ = leaves(out, e, true)
		}
		return out, len(out) > 0
	}
	return append(out, v), true
}

// maxDepth keeps patterns from being so deep that they cannot be read.
const maxDepth = 64

// Parse reads a pattern. Its errors are in the words that EventBridge has for the reason.
func Parse(text string) (*Pattern, error) {
	v, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("invalid JSON: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("Filter is not an object")
	}
	if len(m) == 0 {
		return nil, errors.New("Empty objects are not allowed")
	}
	o, err := parseObject(m, 0)
	if err != nil {
		return nil, err
	}
	return &Pattern{o}, nil
}

func parseObject(m map[string]any, depth int) (*object, error) {
	if len(m) == 0 {
		return nil, errors.New("Empty objects are not allowed")
	}
	if depth > maxDepth {
		return nil, errors.New("the pattern is too deep")
	}
	o := &object{}
	for name, v := range m {
		if alternatives, ok := alternativesOf(name, v); ok {
			list, err := parseOr(alternatives, depth)
			if err != nil {
				return nil, err
			}
			o.or = append(o.or, list)
			continue
		}
		f := field{name: name}
		var err error
		switch v := v.(type) {
		case map[string]any:
			f.object, err = parseObject(v, depth+1)
		case []any:
			f.leaf, err = parseList(v)
		default:
			err = fmt.Errorf("%q must be an object or an array", name)
		}
		if err != nil {
			return nil, err
		}
		o.fields = append(o.fields, f)
	}
	return o, nil
}

// alternativesOf tells whether a key is the operator $or: it is where it has a list of at least two objects that are not
// conditions; else it is a field of that name.
func alternativesOf(name string, v any) ([]any, bool) {
	list, ok := v.([]any)
	if name != "$or" || !ok || len(list) < 2 {
		return nil, false
	}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, false
		}
		for key := range m {
			if operator(key) != nil {
				return nil, false
			}
		}
	}
	return list, true
}

func parseOr(list []any, depth int) ([]*object, error) {
	out := make([]*object, 0, len(list))
	for _, e := range list {
		o, err := parseObject(e.(map[string]any), depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func parseList(list []any) ([]condition, error) {
	if len(list) == 0 {
		return nil, errors.New("Empty arrays are not allowed")
	}
	out := make([]condition, 0, len(list))
	for _, e := range list {
		switch e := e.(type) {
		case []any:
			return nil, errors.New("Match value must be String, number, true, false, or null")
		case map[string]any:
			c, err := parseOperator(e)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		default:
			// Numbers are compared as they are written: 300 is not 300.0.
			out = append(out, condition{has: func(v any) bool { return v == e }})
		}
	}
	return out, nil
}
