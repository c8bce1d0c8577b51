package wire

import (
	"cmp"
	"fmt"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"

	smithy "github.com/aws/smithy-go"
	smithydocument "github.com/aws/smithy-go/document"

	"roadstead.dev/roadstead/internal/wire/names"
)

// kind is what a value is on the wire.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindFloat
	kindTime
	kindBlob
	kindDocument
	kindStruct
	kindUnion
	kindList
	kindMap
)

// shape is the plan for one Go type: made once, at registration, read by any number of requests at once.
type shape struct {
	kind   kind
	typ    reflect.Type // without the pointer that makes a member optional
	name   string       // the Go type's name, for messages
	fields []field      // struct and union members
	byName map[string]*field
	elem   *shape // of a list; the value of a map
	key    *shape // of a map
	// pointers: a list or map whose elements are pointers (Smithy's sparse collections), where nil is null.
	pointers bool
	document func(any) smithydocument.Marshaler
}

// field is a struct's member, or one choice of a union.
type field struct {
	index   int    // the Go field; -1 in a union
	name    string // on the wire, in answers
	reqName string // on the wire, in Query requests; the same as name but in EC2's protocol
	item    string // what a list's elements are called in Query's answers and, unless flat, requests
	flat    bool   // a list that has no element of its own around its items, in requests
	label   []byte // `"name":`
	shape   *shape
	pointer bool
	goName  string       // for panics and the EC2 name table
	member  reflect.Type // a union's choice: the struct type XMemberY, whose Value has the shape
}

var (
	typeTime     = reflect.TypeFor[time.Time]()
	typeBytes    = reflect.TypeFor[[]byte]()
	typeDocument = reflect.TypeFor[smithydocument.Marshaler]()
)

// planner makes shapes for the types of one service. The zero value isn't usable; it is safe for concurrent use.
type planner struct {
	protocol  Protocol
	names     names.Table
	unions    map[reflect.Type][]reflect.Type
	documents map[reflect.Type]func(any) smithydocument.Marshaler

	mu   sync.Mutex
	done map[reflect.Type]*shape // structs and unions
}

func newPlanner(cfg ServiceConfig) *planner {
	p := &planner{protocol: cfg.Protocol, unions: knownUnions(), documents: knownDocuments(), done: map[reflect.Type]*shape{}}
	if !cfg.Protocol.json() {
		table, err := names.For(path.Base(cfg.Client.Elem().PkgPath()))
		if err != nil {
			panic(err) // the table is part of the binary
		}
		p.names = table
	}
	for _, u := range cfg.Unions {
		p.unions[u.typ] = u.members
	}
	return p
}

// plan gives the shape of a struct type. It panics when the type can't be on the wire: that is an error in the program or in
// the version of the SDK, and shows at start.
func (p *planner) plan(t reflect.Type) *shape {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.structShape(t)
}

func (p *planner) structShape(t reflect.Type) *shape {
	if s := p.done[t]; s != nil {
		return s
	}
	s := &shape{kind: kindStruct, typ: t, name: t.Name(), byName: map[string]*field{}}
	p.done[t] = s
	schema := schemaOf(t)
	var members map[string]*smithy.Schema
	if schema != nil {
		members = make(map[string]*smithy.Schema, len(schema.Members()))
		for name, m := range schema.Members() {
			members[goName(name)] = m
		}
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() || isMetadata(sf) {
			continue
		}
		m := members[sf.Name]
		delete(members, sf.Name)
		if schema != nil && m == nil {
			panic(fmt.Sprintf("wire: %s.%s has no member in the SDK's schema %s", t, sf.Name, schema.ID()))
		}
		f := p.field(t, sf, m)
		f.index = i
		s.fields = append(s.fields, f)
	}
	for name, m := range members {
		if !isEventStream(m) {
			panic(fmt.Sprintf("wire: the SDK's schema %s has a member %s and %s no field for it", schema.ID(), name, t))
		}
	}
	s.index()
	return s
}

func isMetadata(sf reflect.StructField) bool {
	return sf.Type == typeMetadata
}

// index fills byName, when the fields have their last place.
func (s *shape) index() {
	for i := range s.fields {
		s.byName[s.fields[i].reqName] = &s.fields[i]
	}
}

func (p *planner) field(owner reflect.Type, sf reflect.StructField, m *smithy.Schema) field {
	f := field{goName: sf.Name, pointer: sf.Type.Kind() == reflect.Pointer}
	switch {
	case m != nil:
		f.name, f.reqName = m.MemberName(), m.MemberName()
	case p.protocol == EC2Query:
		f.name, f.reqName, f.item, f.flat = strings.ToLower(sf.Name[:1])+sf.Name[1:], sf.Name, "item", true
	default:
		f.name, f.reqName, f.item = sf.Name, sf.Name, "member"
	}
	n := p.names[owner.Name()+"."+sf.Name]
	f.name, f.reqName, f.item = cmp.Or(n.Answer, f.name), cmp.Or(n.Request, f.reqName), cmp.Or(n.Item, f.item)
	f.label = fmt.Appendf(nil, "%q:", f.name)
	f.shape = p.shape(sf.Type, m)
	return f
}

func (p *planner) shape(t reflect.Type, m *smithy.Schema) *shape {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := &shape{typ: t, name: t.Name()}
	switch {
	case t == typeTime:
		s.kind = kindTime
		return s
	case t == typeBytes:
		s.kind = kindBlob
		return s
	case t.Kind() == reflect.Interface && t.Implements(typeDocument):
		s.kind, s.document = kindDocument, p.documents[t]
		if s.document == nil {
			panic(fmt.Sprintf("wire: no constructor is registered for the document type %s", t))
		}
		return s
	}
	switch t.Kind() {
	case reflect.String:
		s.kind = kindString
	case reflect.Bool:
		s.kind = kindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.kind = kindInt
	case reflect.Float32, reflect.Float64:
		s.kind = kindFloat
	case reflect.Struct:
		return p.structShape(t)
	case reflect.Interface:
		return p.unionShape(t, m)
	case reflect.Slice:
		s.kind, s.pointers = kindList, t.Elem().Kind() == reflect.Pointer
		s.elem = p.shape(t.Elem(), listMember(m))
	case reflect.Map:
		s.kind, s.pointers = kindMap, t.Elem().Kind() == reflect.Pointer
		s.key = p.shape(t.Key(), nil)
		s.elem = p.shape(t.Elem(), mapValue(m))
	default:
		panic(fmt.Sprintf("wire: no form on the wire is known for %s", t))
	}
	return s
}

// unionShape plans a Smithy union: a Go interface with one struct type for each choice, XMemberY{Value}.
// Reflection can't list an interface's implementations, so they are registered (see unions.go); a choice that the SDK's schema
// has and the registration lacks is a panic.
func (p *planner) unionShape(t reflect.Type, m *smithy.Schema) *shape {
	if s := p.done[t]; s != nil {
		return s
	}
	s := &shape{kind: kindUnion, typ: t, name: t.Name(), byName: map[string]*field{}}
	p.done[t] = s
	var schemas map[string]*smithy.Schema
	if m != nil {
		schemas = map[string]*smithy.Schema{}
		for name, ms := range m.Members() {
			schemas[goName(name)] = ms
		}
	}
	for _, mt := range p.unions[t] {
		name := strings.TrimPrefix(mt.Name(), t.Name()+"Member")
		ms := schemas[name]
		if m != nil && ms == nil {
			panic(fmt.Sprintf("wire: union %s has no choice %s in the SDK's schema", t, name))
		}
		delete(schemas, name)
		value, _ := mt.FieldByName("Value")
		f := p.field(mt, value, ms)
		if ms == nil {
			n := p.names[t.Name()+"."+name]
			f.name, f.reqName = cmp.Or(n.Answer, name), cmp.Or(n.Request, name)
			f.label = fmt.Appendf(nil, "%q:", f.name)
		}
		f.index, f.goName, f.member = -1, name, mt
		s.fields = append(s.fields, f)
	}
	if len(s.fields) == 0 || len(schemas) != 0 {
		panic(fmt.Sprintf("wire: union %s: choices missing from the registration: %v", t, schemas))
	}
	s.index()
	return s
}

// goName is the Go field's name for a Smithy member: its first letter in upper case.
func goName(member string) string {
	return strings.ToUpper(member[:1]) + member[1:]
}

func isEventStream(m *smithy.Schema) bool {
	return m.Type() == smithy.ShapeTypeUnion
}
