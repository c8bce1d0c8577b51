package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds the nesting of a request; the deepest of AWS's own shapes has some ten levels.
const maxDepth = 100

// maxDecoded bounds what one request may become in memory, in bytes: "[{},{},...]" is three bytes for a struct of hundreds.
const maxDecoded = 64 << 20

type jsonDecoder struct {
	d      *jsontext.Decoder
	buf    bytes.Buffer
	budget int
}

var jsonDecoders = sync.Pool{New: func() any { return &jsonDecoder{d: new(jsontext.Decoder)} }}

// decodeJSON reads a whole body into a struct, given by a settable value of the shape's type. Members that the shape hasn't are
// skipped, nulls are as if absent, an empty body is as {}. The error is a *decodeError.
func decodeJSON(body []byte, s *shape, v reflect.Value) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if tooDeep(body) {
		return &decodeError{msg: fmt.Sprintf("the request body is nested more than %d levels deep", maxDepth)}
	}
	j := jsonDecoders.Get().(*jsonDecoder)
	defer jsonDecoders.Put(j)
	j.buf = *bytes.NewBuffer(body) // the decoder reads a bytes.Buffer's bytes where they are
	defer func() {
		j.buf = bytes.Buffer{}
		j.d.Reset(&j.buf) // the pool keeps no body
	}()
	j.d.Reset(&j.buf, jsontext.AllowDuplicateNames(true))
	j.budget = maxDecoded
	err := j.structure(s, v)
	if err == nil {
		if _, err = j.d.ReadToken(); err == io.EOF {
			return nil
		}
		err = &decodeError{msg: "there is something after the end of the JSON value"}
	}
	return plain(err)
}

// tooDeep counts brackets outside of strings. On a body that isn't JSON its answer means nothing and does no harm.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// plain turns the tokenizer's errors into the caller's words.
func plain(err error) error {
	var d *decodeError
	if errors.As(err, &d) {
		return d
	}
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		return &decodeError{msg: fmt.Sprintf("the request body is not valid JSON: %v at byte %d", syn.Err, syn.ByteOffset)}
	}
	return &decodeError{msg: "the request body is not valid JSON: it ends too early"}
}

// open reads a '{' or '['; false is a null.
func (j *jsonDecoder) open(want jsontext.Kind) (bool, error) {
	k := j.d.PeekKind()
	tok, err := j.d.ReadToken()
	switch {
	case err != nil:
		return false, err
	case k == 'n':
		return false, nil
	case k == want:
		return true, nil
	case tok.Kind() == '{':
		return false, wrongType("Start of structure or map found where not expected.")
	case tok.Kind() == '[':
		return false, wrongType("Start of list found where not expected.")
	case want == '[':
		return false, wrongType("Expected list or null")
	}
	return false, wrongType("Expected structure, map or null")
}

// name reads a member's name as raw bytes, valid until the next read; nil at the end of the object.
func (j *jsonDecoder) name() ([]byte, error) {
	if j.d.PeekKind() == '}' {
		_, err := j.d.ReadToken()
		return nil, err
	}
	raw, err := j.d.ReadValue()
	if err != nil {
		return nil, err
	}
	return unquote(raw)
}

// unquote gives a JSON string's text, the same memory when nothing is escaped.
func unquote(raw jsontext.Value) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jsontext.AppendUnquote([]byte(nil), raw)
}

func (j *jsonDecoder) structure(s *shape, v reflect.Value) error {
	ok, err := j.open('{')
	if !ok {
		return err
	}
	for {
		name, err := j.name()
		if name == nil || err != nil {
			return err
		}
		f := s.byName[string(name)]
		if f == nil {
			if err := j.d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := j.field(f, v.Field(f.index)); err != nil {
			return under(err, f.name)
		}
	}
}

func (j *jsonDecoder) field(f *field, v reflect.Value) error {
	if j.d.PeekKind() == 'n' {
		_, err := j.d.ReadToken()
		return err
	}
	if !f.pointer {
		return j.value(f.shape, v)
	}
	if p, ok := v.Addr().Interface().(**string); ok {
		str, err := j.str()
		if err == nil {
			*p = &str
		}
		return err
	}
	p, err := j.alloc(f.shape)
	if err != nil {
		return err
	}
	v.Set(p)
	return j.value(f.shape, p.Elem())
}

// alloc makes a zero value, counted against the request's budget.
func (j *jsonDecoder) alloc(s *shape) (reflect.Value, error) {
	if j.budget -= int(s.typ.Size()); j.budget < 0 {
		return reflect.Value{}, errTooBig.clone()
	}
	return reflect.New(s.typ), nil
}

func (j *jsonDecoder) value(s *shape, v reflect.Value) error {
	switch s.kind {
	case kindString:
		str, err := j.str()
		v.SetString(str)
		return err
	case kindBool:
		return j.boolean(v)
	case kindInt:
		return j.integer(v)
	case kindFloat:
		return j.float(v)
	case kindTime:
		return j.time(v)
	case kindBlob:
		return j.blob(v)
	case kindDocument:
		return j.document(s, v)
	case kindStruct:
		return j.structure(s, v)
	case kindUnion:
		return j.union(s, v)
	case kindList:
		return j.list(s, v)
	}
	return j.mapping(s, v)
}

func (j *jsonDecoder) list(s *shape, v reflect.Value) error {
	ok, err := j.open('[')
	if !ok {
		return err
	}
	v.Set(reflect.MakeSlice(s.typ, 0, 0))
	for i := 0; ; i++ {
		k := j.d.PeekKind()
		if k == ']' {
			_, err := j.d.ReadToken()
			return err
		}
		if k == 'n' && !s.pointers {
			if _, err := j.d.ReadToken(); err != nil {
				return err
			}
			continue // AWS drops nulls from lists that can't hold them
		}
		if j.budget -= int(s.typ.Elem().Size()); j.budget < 0 {
			return errTooBig.clone()
		}
		n := v.Len()
		if n == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(n + 1)
		if err := j.element(s, v.Index(n)); err != nil {
			return under(err, "["+strconv.Itoa(i)+"]")
		}
	}
}

func (j *jsonDecoder) element(s *shape, v reflect.Value) error {
	if !s.pointers {
		return j.value(s.elem, v)
	}
	if j.d.PeekKind() == 'n' {
		_, err := j.d.ReadToken()
		return err
	}
	p, err := j.alloc(s.elem)
	if err != nil {
		return err
	}
	v.Set(p)
	return j.value(s.elem, p.Elem())
}

func (j *jsonDecoder) mapping(s *shape, v reflect.Value) error {
	ok, err := j.open('{')
	if !ok {
		return err
	}
	m := reflect.MakeMap(s.typ)
	v.Set(m)
	for {
		raw, err := j.name()
		if raw == nil || err != nil {
			return err
		}
		key := string(raw)
		if j.d.PeekKind() == 'n' && !s.pointers {
			if _, err := j.d.ReadToken(); err != nil {
				return err
			}
			continue
		}
		// A map's slot costs about twice its key and value.
		if j.budget -= 2 * int(s.typ.Key().Size()+s.typ.Elem().Size()); j.budget < 0 {
			return errTooBig.clone()
		}
		e := reflect.New(s.typ.Elem()).Elem()
		if err := j.element(s, e); err != nil {
			return under(err, clipped(key))
		}
		m.SetMapIndex(reflect.ValueOf(key).Convert(s.typ.Key()), e)
	}
}

func (j *jsonDecoder) union(s *shape, v reflect.Value) error {
	ok, err := j.open('{')
	if !ok {
		return err
	}
	for {
		name, err := j.name()
		if name == nil || err != nil {
			return err
		}
		f := s.byName[string(name)]
		if f == nil || j.d.PeekKind() == 'n' {
			if err := j.d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if !v.IsNil() {
			return wrongType("the union %s has more than one member set", s.name)
		}
		p := reflect.New(f.member)
		if err := j.field(f, p.Elem().FieldByName("Value")); err != nil {
			return under(err, f.name)
		}
		v.Set(p)
	}
}

func (j *jsonDecoder) document(s *shape, v reflect.Value) error {
	raw, err := j.d.ReadValue()
	if err != nil {
		return err
	}
	if j.budget -= 32 * len(raw); j.budget < 0 {
		return errTooBig.clone()
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var x any
	if err := dec.Decode(&x); err != nil {
		return err
	}
	v.Set(reflect.ValueOf(s.document(documentValue(x))))
	return nil
}
