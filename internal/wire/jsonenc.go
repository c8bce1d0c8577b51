package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	smithydocument "github.com/aws/smithy-go/document"
	"github.com/go-json-experiment/json/jsontext"
)

// appendJSON writes a struct, given as an addressable or plain value of the shape's type.
//
// A member is left out when it is a nil pointer, slice, map or union, or an empty enum; a number or boolean that isn't a
// pointer is always written, as AWS gives runningTasksCount 0.
func appendJSON(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	b = append(b, '{')
	first := true
	var err error
	for i := range s.fields {
		f := &s.fields[i]
		fv := v.Field(f.index)
		if f.absent(fv) {
			continue
		}
		if f.pointer {
			fv = fv.Elem()
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, f.label...)
		if b, err = appendJSONValue(b, f.shape, fv); err != nil {
			return b, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return append(b, '}'), nil
}

// absent tells whether a member isn't set. A pointer's target is set, whatever it is.
func (f *field) absent(v reflect.Value) bool {
	if f.pointer {
		return v.IsNil()
	}
	switch f.shape.kind {
	case kindString:
		return v.Len() == 0
	case kindList, kindMap, kindBlob, kindUnion, kindDocument:
		return v.IsNil()
	}
	return false
}

func appendJSONValue(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	switch s.kind {
	case kindString:
		return appendString(b, v.String()), nil
	case kindBool:
		return strconv.AppendBool(b, v.Bool()), nil
	case kindInt:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case kindFloat:
		return appendFloat(b, v.Float(), s.typ.Bits()), nil
	case kindTime:
		return appendEpoch(b, timeOf(v)), nil
	case kindBlob:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		return append(b, '"'), nil
	case kindDocument:
		return appendDocument(b, v)
	case kindStruct:
		return appendJSON(b, s, v)
	case kindUnion:
		return appendJSONUnion(b, s, v)
	case kindList:
		return appendJSONList(b, s, v)
	}
	return appendJSONMap(b, s, v)
}

func appendJSONList(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	b = append(b, '[')
	var err error
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSONElem(b, s, v.Index(i)); err != nil {
			return b, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return append(b, ']'), nil
}

func appendJSONElem(b []byte, s *shape, e reflect.Value) ([]byte, error) {
	if s.pointers {
		if e.IsNil() {
			return append(b, "null"...), nil
		}
		e = e.Elem()
	}
	return appendJSONValue(b, s.elem, e)
}

func appendJSONMap(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	// The commonest map needs no reflection.
	if m, ok := v.Interface().(map[string]string); ok {
		b = append(b, '{')
		first := true
		for k, e := range m {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(appendString(b, k), ':')
			b = appendString(b, e)
		}
		return append(b, '}'), nil
	}
	b = append(b, '{')
	first := true
	var err error
	for it := v.MapRange(); it.Next(); {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, it.Key().String()), ':')
		if b, err = appendJSONElem(b, s, it.Value()); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func appendJSONUnion(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	f, value, err := s.choice(v)
	if err != nil {
		return b, err
	}
	b = append(b, '{')
	b = append(b, f.label...)
	if b, err = appendJSONValue(b, f.shape, value); err != nil {
		return b, err
	}
	return append(b, '}'), nil
}

// choice finds which of a union's struct types an interface holds, and its Value.
func (s *shape) choice(v reflect.Value) (*field, reflect.Value, error) {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
		for i := range s.fields {
			if f := &s.fields[i]; f.member == v.Type() {
				value := v.FieldByName("Value")
				if f.pointer {
					value = value.Elem()
				}
				return f, value, nil
			}
		}
	}
	return nil, v, fmt.Errorf("%s holds a %v, which is no choice of it", s.name, v)
}

// appendString replaces what isn't UTF-8 by U+FFFD: a container's name for a failure must not make the answer unreadable.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its only error says that it replaced
	return b
}

func timeOf(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time)
	}
	return v.Interface().(time.Time)
}

// appendEpoch writes seconds since 1970 with up to three decimals, Smithy's epoch-seconds.
func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		b = append(b, '-')
		ms = -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms %= 1000; ms != 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b
}

// appendFloat writes numbers that JSON lacks as Smithy has them, in strings.
func appendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, bits)
}

func appendDocument(b []byte, v reflect.Value) ([]byte, error) {
	j, err := v.Interface().(smithydocument.Marshaler).MarshalSmithyDocument()
	if err != nil {
		return b, fmt.Errorf("document: %w", err)
	}
	return append(b, j...), nil
}
