package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/aws/smithy-go/document"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds the nesting of a request; the deepest of AWS's own shapes has some ten levels.
const maxDepth = 100

// maxDecoded bounds what one request may become in memory, in bytes: "[{},{},...]" is three bytes for a struct of hundreds.
const maxDecoded = 64 << 20

// decodeError says what of a request couldn't be read; it is meant for the caller.
type decodeError struct {
	path string
	msg  string
}

func (e *decodeError) Error() string {
	if e.path == "" {
		return e.msg
	}
	return e.msg + " (at " + e.path + ")"
}

// under puts a name in front of the path of a decodeError; other errors pass.
func under(err error, name string) error {
	var d *decodeError
	if errors.As(err, &d) {
		switch {
		case d.path == "":
			d.path = name
		case d.path[0] == '[':
			d.path = name + d.path
		default:
			d.path = name + "." + d.path
		}
	}
	return err
}

func wrongType(format string, args ...any) error {
	return &decodeError{msg: fmt.Sprintf(format, args...)}
}

// errTooBig says that a request within the body's limit becomes too much in memory.
var errTooBig = &decodeError{msg: "the request has too many elements"}

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
	defer func() { j.buf = bytes.Buffer{} }()
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

// clone gives each request its own error, since under() writes to it.
func (e *decodeError) clone() error { c := *e; return &c }

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

// scalar reads a value of a wanted kind. The bytes are good until the next read.
func (j *jsonDecoder) scalar(want jsontext.Kind, target string) (jsontext.Value, error) {
	k := j.d.PeekKind()
	if k == want {
		return j.d.ReadValue()
	}
	switch k {
	case '{':
		return nil, wrongType("Start of structure or map found where not expected.")
	case '[':
		return nil, wrongType("Start of list found where not expected.")
	case '"':
		return nil, wrongType("STRING_VALUE can not be converted to %s", target)
	case '0':
		return nil, wrongType("NUMBER_VALUE can not be converted to %s", target)
	case 't', 'f':
		return nil, wrongType("%s can not be converted to %s", map[jsontext.Kind]string{'t': "TRUE_VALUE", 'f': "FALSE_VALUE"}[k], target)
	case 'n':
		return nil, wrongType("null can not be converted to %s", target)
	}
	_, err := j.d.ReadToken()
	if err == nil {
		err = wrongType("Unexpected field type")
	}
	return nil, err
}

func (j *jsonDecoder) str() (string, error) {
	raw, err := j.scalar('"', "a String")
	if err != nil {
		return "", err
	}
	text, err := unquote(raw)
	return string(text), err
}

func (j *jsonDecoder) boolean(v reflect.Value) error {
	k := j.d.PeekKind()
	if k != 't' && k != 'f' {
		_, err := j.scalar('t', "a Boolean")
		return err
	}
	_, err := j.d.ReadToken()
	v.SetBool(k == 't')
	return err
}

func (j *jsonDecoder) integer(v reflect.Value) error {
	raw, err := j.scalar('0', "an Integer")
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		// 1.0 and 1e3 are integers too; clients of dynamic languages send them.
		f, ferr := strconv.ParseFloat(string(raw), 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
			return wrongType("NUMBER_VALUE %s can not be converted to an Integer", clipped(string(raw)))
		}
		n = int64(f)
	}
	if v.OverflowInt(n) {
		return wrongType("NUMBER_VALUE %d is out of range for an Integer of %d bits", n, v.Type().Bits())
	}
	v.SetInt(n)
	return nil
}

func (j *jsonDecoder) float(v reflect.Value) error {
	if j.d.PeekKind() == '"' {
		text, err := j.str()
		if err != nil {
			return err
		}
		switch text {
		case "NaN":
			v.SetFloat(math.NaN())
		case "Infinity":
			v.SetFloat(math.Inf(1))
		case "-Infinity":
			v.SetFloat(math.Inf(-1))
		default:
			return wrongType("STRING_VALUE can not be converted to a Double")
		}
		return nil
	}
	raw, err := j.scalar('0', "a Double")
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(raw), v.Type().Bits())
	if err != nil {
		return wrongType("NUMBER_VALUE is out of range for a Double")
	}
	v.SetFloat(f)
	return nil
}

// maxEpoch is the last second of the year 9999.
const maxEpoch = 253402300799

func (j *jsonDecoder) time(v reflect.Value) error {
	raw, err := j.scalar('0', "milliseconds since epoch")
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > maxEpoch {
		return wrongType("NUMBER_VALUE is out of range for a timestamp")
	}
	// Milliseconds are all the SDKs send, and all that a float64 keeps of a date of today.
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f * 1000))).UTC()))
	return nil
}

func (j *jsonDecoder) blob(v reflect.Value) error {
	raw, err := j.scalar('"', "a Blob")
	if err != nil {
		return err
	}
	text, err := unquote(raw)
	if err != nil {
		return err
	}
	out, err := base64.StdEncoding.AppendDecode([]byte{}, text)
	if err != nil {
		return wrongType("STRING_VALUE is not valid base64")
	}
	v.SetBytes(out)
	return nil
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

// documentValue turns encoding/json's numbers into those that the SDK's documents know.
func documentValue(x any) any {
	switch x := x.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		return document.Number(x)
	case []any:
		for i := range x {
			x[i] = documentValue(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = documentValue(x[k])
		}
	}
	return x
}

// clipped keeps what a caller sent from filling an error message.
func clipped(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
