package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"roadstead.dev/roadstead/internal/fault"
)

// xmlWriter writes Query's XML. There are no attributes but xmlns, and no namespaces' prefixes.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#response-serialization
type xmlWriter struct{ buf bytes.Buffer }

func (x *xmlWriter) open(name string) {
	x.buf.WriteByte('<')
	x.buf.WriteString(name)
	x.buf.WriteByte('>')
}
func (x *xmlWriter) close(name string) {
	x.buf.WriteString("</")
	x.buf.WriteString(name)
	x.buf.WriteByte('>')
}

func (x *xmlWriter) openNS(name, ns string) {
	x.buf.WriteByte('<')
	x.buf.WriteString(name)
	if ns != "" {
		x.buf.WriteString(` xmlns="`)
		x.text(ns)
		x.buf.WriteByte('"')
	}
	x.buf.WriteByte('>')
}

// text escapes; what XML can't hold (control characters, broken UTF-8) becomes U+FFFD.
func (x *xmlWriter) text(s string) {
	// A bytes.Buffer's writes don't fail.
	_ = xml.EscapeText(&x.buf, []byte(s))
}

func (x *xmlWriter) element(name, text string) {
	x.open(name)
	x.text(text)
	x.close(name)
}

// encodeXML writes an operation's answer.
func encodeXML(cfg *ServiceConfig, op, requestID string, s *shape, v reflect.Value) ([]byte, error) {
	var x xmlWriter
	root := op + "Response"
	x.openNS(root, cfg.XMLNamespace)
	if cfg.Protocol == EC2Query {
		x.element("requestId", requestID)
		if err := x.members(s, v); err != nil {
			return nil, err
		}
		x.close(root)
		return x.buf.Bytes(), nil
	}
	result := op + "Result"
	x.open(result)
	if err := x.members(s, v); err != nil {
		return nil, err
	}
	x.close(result)
	x.open("ResponseMetadata")
	x.element("RequestId", requestID)
	x.close("ResponseMetadata")
	x.close(root)
	return x.buf.Bytes(), nil
}

// encodeErrorXML writes an error; members of the exception's shape stand beside Code and Message.
func encodeErrorXML(cfg *ServiceConfig, f *fault.Error, status int, requestID string) []byte {
	var x xmlWriter
	inner := func() {
		x.open("Error")
		if cfg.Protocol != EC2Query {
			x.element("Type", faultType(status))
		}
		x.element("Code", code(cfg.Protocol, f.Kind))
		x.element("Message", f.Message)
		for _, k := range sortedKeys(f.Fields) {
			x.element(k, fmt.Sprint(f.Fields[k]))
		}
		x.close("Error")
	}
	if cfg.Protocol == EC2Query {
		x.buf.WriteString(xml.Header)
		x.open("Response")
		x.open("Errors")
		inner()
		x.close("Errors")
		x.element("RequestID", requestID)
		x.close("Response")
		return x.buf.Bytes()
	}
	x.openNS("ErrorResponse", cfg.XMLNamespace)
	inner()
	x.element("RequestId", requestID)
	x.close("ErrorResponse")
	return x.buf.Bytes()
}

func (x *xmlWriter) members(s *shape, v reflect.Value) error {
	for i := range s.fields {
		f := &s.fields[i]
		fv := v.Field(f.index)
		if f.absent(fv) {
			continue
		}
		if f.pointer {
			fv = fv.Elem()
		}
		if err := x.member(f, fv); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (x *xmlWriter) member(f *field, v reflect.Value) error {
	x.open(f.name)
	if err := x.value(f.shape, v, f.item); err != nil {
		return err
	}
	x.close(f.name)
	return nil
}

// value writes what stands inside an element. item names the elements of a list.
func (x *xmlWriter) value(s *shape, v reflect.Value, item string) error {
	switch s.kind {
	case kindString:
		x.text(v.String())
	case kindBool:
		x.buf.WriteString(strconv.FormatBool(v.Bool()))
	case kindInt:
		x.buf.WriteString(strconv.FormatInt(v.Int(), 10))
	case kindFloat:
		x.buf.WriteString(xmlFloat(v.Float(), s.typ.Bits()))
	case kindTime:
		x.buf.WriteString(xmlTime(timeOf(v)))
	case kindBlob:
		x.buf.WriteString(base64.StdEncoding.EncodeToString(v.Bytes()))
	case kindStruct:
		return x.members(s, v)
	case kindUnion:
		f, value, err := s.choice(v)
		if err != nil {
			return err
		}
		return x.member(f, value)
	case kindList:
		return x.list(s, v, item)
	case kindMap:
		return x.mapping(s, v, item)
	default:
		return fmt.Errorf("a document has no form in XML")
	}
	return nil
}

func (x *xmlWriter) list(s *shape, v reflect.Value, item string) error {
	for i := range v.Len() {
		e := v.Index(i)
		if s.pointers {
			if e.IsNil() {
				continue
			}
			e = e.Elem()
		}
		x.open(item)
		if err := x.value(s.elem, e, item); err != nil {
			return err
		}
		x.close(item)
	}
	return nil
}

func (x *xmlWriter) mapping(s *shape, v reflect.Value, item string) error {
	for it := v.MapRange(); it.Next(); {
		x.open("entry")
		x.element("key", it.Key().String())
		x.open("value")
		e := it.Value()
		if s.pointers {
			e = e.Elem()
		}
		if err := x.value(s.elem, e, item); err != nil {
			return err
		}
		x.close("value")
		x.close("entry")
	}
	return nil
}

// xmlTime is Smithy's date-time: UTC, milliseconds where there are any.
func xmlTime(t time.Time) string {
	return t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.999Z")
}

func xmlFloat(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}
