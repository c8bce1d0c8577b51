package wire

import (
	"encoding/base64"
	"math"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	smithytime "github.com/aws/smithy-go/time"
)

// queryNode is one part of the tree that the dotted names of a Query request make: Filter.1.Value.2 is four levels.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#request-serialization
type queryNode struct {
	value string
	set   bool
	kids  map[string]*queryNode
}

// maxNodes bounds a Query request's tree: a node with its map takes some 300 bytes, and a name may have a hundred parts.
const maxNodes = maxDecoded / 300

func queryTree(form url.Values) (*queryNode, error) {
	root, nodes := &queryNode{}, 0
	for name, values := range form {
		if strings.Count(name, ".") >= maxDepth {
			return nil, &decodeError{msg: "a parameter's name has more than 100 parts"}
		}
		n := root
		for rest, more := name, true; more; {
			var part string
			part, rest, more = strings.Cut(rest, ".")
			if n.kids == nil {
				n.kids = map[string]*queryNode{}
			}
			kid := n.kids[part]
			if kid == nil {
				if nodes++; nodes > maxNodes {
					return nil, errTooBig.clone()
				}
				kid = &queryNode{}
				n.kids[part] = kid
			}
			n = kid
		}
		// Of a parameter given twice, AWS takes the last.
		n.value, n.set = values[len(values)-1], true
	}
	return root, nil
}

type queryDecoder struct{ budget int }

// decodeQuery reads a form into a struct, given by a settable value of the shape's type. Parameters that the shape hasn't are
// skipped. The error is a *decodeError.
func decodeQuery(form url.Values, s *shape, v reflect.Value) error {
	root, err := queryTree(form)
	if err != nil {
		return err
	}
	return (&queryDecoder{budget: maxDecoded}).structure(s, root, v)
}

func (q *queryDecoder) structure(s *shape, n *queryNode, v reflect.Value) error {
	for i := range s.fields {
		f := &s.fields[i]
		kid := n.kids[f.reqName]
		if kid == nil {
			continue
		}
		if err := q.field(f, kid, v.Field(f.index)); err != nil {
			return under(err, f.reqName)
		}
	}
	return nil
}

func (q *queryDecoder) field(f *field, n *queryNode, v reflect.Value) error {
	if f.pointer {
		if q.budget -= int(f.shape.typ.Size()); q.budget < 0 {
			return errTooBig.clone()
		}
		v.Set(reflect.New(f.shape.typ))
		v = v.Elem()
	}
	return q.value(f, f.shape, n, v)
}

// value reads a node. f says how the lists in it are written.
func (q *queryDecoder) value(f *field, s *shape, n *queryNode, v reflect.Value) error {
	switch s.kind {
	case kindStruct:
		return q.structure(s, n, v)
	case kindUnion:
		return q.union(s, n, v)
	case kindList:
		return q.list(f, s, n, v)
	case kindMap:
		return q.mapping(f, s, n, v)
	case kindDocument:
		return &decodeError{msg: "a document has no form in a Query request"}
	}
	if len(n.kids) != 0 || !n.set {
		return &decodeError{msg: "a structure or list was given where a value is expected"}
	}
	return scalarText(s, n.value, v)
}

// scalarText reads a value from its text.
func scalarText(s *shape, text string, v reflect.Value) error {
	switch s.kind {
	case kindString:
		v.SetString(text)
	case kindBool:
		switch strings.ToLower(text) {
		case "true", "1":
			v.SetBool(true)
		case "false", "0":
			v.SetBool(false)
		default:
			return wrongType("Invalid value '%s' for a Boolean", clipped(text))
		}
	case kindInt:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, s.typ.Bits())
		if err != nil {
			return wrongType("Invalid value '%s' for an Integer", clipped(text))
		}
		v.SetInt(n)
	case kindFloat:
		f, err := strconv.ParseFloat(text, s.typ.Bits())
		if err != nil {
			return wrongType("Invalid value '%s' for a Double", clipped(text))
		}
		v.SetFloat(f)
	case kindTime:
		t, err := parseTime(text)
		if err != nil {
			return wrongType("Invalid value '%s' for a timestamp", clipped(text))
		}
		v.Set(reflect.ValueOf(t))
	case kindBlob:
		b, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(text))
		if err != nil {
			return wrongType("Invalid base64")
		}
		v.SetBytes(b)
	}
	return nil
}

// parseTime takes ISO 8601, as the SDKs send it, or seconds since 1970.
func parseTime(s string) (time.Time, error) {
	if t, err := smithytime.ParseDateTime(s); err == nil {
		return t, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > maxEpoch {
		return time.Time{}, &decodeError{msg: "not a timestamp"}
	}
	return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
}

func (q *queryDecoder) list(f *field, s *shape, n *queryNode, v reflect.Value) error {
	v.Set(reflect.MakeSlice(s.typ, 0, 0))
	items := n
	if !f.flat && n.kids[f.item] != nil {
		items = n.kids[f.item]
	}
	numbers, err := items.numbers()
	if err != nil {
		return err
	}
	if q.budget -= len(numbers) * int(s.typ.Elem().Size()); q.budget < 0 {
		return errTooBig.clone()
	}
	v.Set(reflect.MakeSlice(s.typ, len(numbers), len(numbers)))
	for i, no := range numbers {
		e := v.Index(i)
		if s.pointers {
			e.Set(reflect.New(s.elem.typ))
			e = e.Elem()
		}
		if err := q.value(f, s.elem, items.kids[no], e); err != nil {
			return under(err, no)
		}
	}
	return nil
}

// numbers gives the names of a list's items in the order of their numbers, which may have gaps.
func (n *queryNode) numbers() ([]string, error) {
	type item struct {
		name string
		no   uint64
	}
	items := make([]item, 0, len(n.kids))
	for name := range n.kids {
		no, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return nil, wrongType("'%s' is not the number of a list's item", clipped(name))
		}
		items = append(items, item{name, no})
	}
	sort.Slice(items, func(i, j int) bool { return items[i].no < items[j].no })
	out := make([]string, len(items))
	for i := range items {
		out[i] = items[i].name
	}
	return out, nil
}

func (q *queryDecoder) mapping(f *field, s *shape, n *queryNode, v reflect.Value) error {
	entries := n
	if n.kids["entry"] != nil {
		entries = n.kids["entry"]
	}
	numbers, err := entries.numbers()
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(s.typ, len(numbers))
	for _, no := range numbers {
		entry := entries.kids[no]
		key, value := entry.kids["key"], entry.kids["value"]
		if key == nil || value == nil {
			return under(wrongType("a map's entry needs a key and a value"), no)
		}
		if q.budget -= 2 * int(s.typ.Key().Size()+s.typ.Elem().Size()); q.budget < 0 {
			return errTooBig.clone()
		}
		e := reflect.New(s.typ.Elem()).Elem()
		if err := q.value(f, s.elem, value, e); err != nil {
			return under(err, no)
		}
		m.SetMapIndex(reflect.ValueOf(key.value).Convert(s.typ.Key()), e)
	}
	v.Set(m)
	return nil
}

func (q *queryDecoder) union(s *shape, n *queryNode, v reflect.Value) error {
	for i := range s.fields {
		f := &s.fields[i]
		kid := n.kids[f.reqName]
		if kid == nil {
			continue
		}
		if !v.IsNil() {
			return wrongType("the union %s has more than one member set", s.name)
		}
		p := reflect.New(f.member)
		if err := q.field(f, kid, p.Elem().FieldByName("Value")); err != nil {
			return under(err, f.reqName)
		}
		v.Set(p)
	}
	return nil
}
