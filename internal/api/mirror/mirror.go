// Package mirror copies between the AWS SDK's structs and our domain's by field name. The two have the same fields in the
// same words; they differ in how absent is said: the SDK has *string and enums, the domain plain strings.
//
// What each pair of types needs is worked out once and kept, so that a copy is a walk over ready functions.
package mirror

import (
	"fmt"
	"reflect"
	"sync"
)

// Copy fills the fields of dst, a pointer to a struct, from the fields of the same name in src, a struct or a pointer to
// one. A field that only one side has is left alone (see Unmatched). A nil src changes nothing.
//
// "" and nil are one and the same where one side has a plain value and the other a pointer to it; nil and empty lists
// stay what they are. Values of identical types, lists and pointers among them, are shared and not copied: neither side
// may change what it was given. Types that cannot be each other's mirror are a mistake in the program and panic.
func Copy(dst, src any) {
	d, s := reflect.ValueOf(dst), reflect.ValueOf(src)
	if d.Kind() != reflect.Pointer || d.IsNil() {
		panic(fmt.Sprintf("mirror: destination %T is not a pointer to a struct", dst))
	}
	if s.Kind() == reflect.Pointer {
		if s.IsNil() {
			return
		}
		s = s.Elem()
	}
	structPlan(d.Type().Elem(), s.Type()).copy(d.Elem(), s)
}

// Of makes a D from src, as Copy does.
func Of[D any](src any) D {
	var d D
	Copy(&d, src)
	return d
}

// Slice makes a list of D from a list of S, as Copy does for each element; nil stays nil.
func Slice[D, S any](src []S) []D {
	if src == nil {
		return nil
	}
	out := make([]D, len(src))
	for i := range src {
		Copy(&out[i], &src[i])
	}
	return out
}

// Unmatched lists the exported fields of src, and of the structs it reaches, that Copy into dst would drop, as
// dotted paths. Tests use it to learn that AWS has added a field.
func Unmatched(dst, src reflect.Type) []string {
	var out []string
	seen := map[pair]bool{}
	var walk func(path string, d, s reflect.Type)
	walk = func(path string, d, s reflect.Type) {
		d, s = element(d), element(s)
		if s.Kind() != reflect.Struct || d == s || seen[pair{d, s}] {
			return
		}
		seen[pair{d, s}] = true
		for i := range s.NumField() {
			f := s.Field(i)
			if !f.IsExported() || f.Name == "ResultMetadata" {
				continue
			}
			into, ok := d.FieldByName(f.Name)
			if !ok {
				out = append(out, path+f.Name)
				continue
			}
			walk(path+f.Name+".", into.Type, f.Type)
		}
	}
	walk("", dst, src)
	return out
}

func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

type pair struct{ dst, src reflect.Type }

type convert func(dst, src reflect.Value)

type step struct {
	dst, src int
	do       convert
}

type plan struct {
	once  sync.Once
	steps []step
}

func (p *plan) copy(dst, src reflect.Value) {
	for _, s := range p.steps {
		s.do(dst.Field(s.dst), src.Field(s.src))
	}
}

// plans is a cache of what follows from the types alone.
var plans sync.Map // pair -> *plan

func structPlan(dst, src reflect.Type) *plan {
	found, _ := plans.LoadOrStore(pair{dst, src}, &plan{})
	p := found.(*plan)
	p.once.Do(func() { p.steps = steps(dst, src) })
	return p
}

func steps(dst, src reflect.Type) []step {
	if dst.Kind() != reflect.Struct || src.Kind() != reflect.Struct {
		panic(fmt.Sprintf("mirror: %v and %v are not both structs", dst, src))
	}
	var out []step
	for i := range dst.NumField() {
		f := dst.Field(i)
		if !f.IsExported() {
			continue
		}
		from, ok := src.FieldByName(f.Name)
		if !ok || len(from.Index) != 1 {
			continue
		}
		do := converter(f.Type, from.Type)
		if do == nil {
			panic(fmt.Sprintf("mirror: %v.%s is %v and %v.%s is %v", dst, f.Name, f.Type, src, f.Name, from.Type))
		}
		out = append(out, step{dst: i, src: from.Index[0], do: do})
	}
	return out
}

// converter is nil where the types cannot be each other's mirror.
func converter(dst, src reflect.Type) convert {
	switch {
	case dst == src:
		return func(d, s reflect.Value) { d.Set(s) }
	case dst.Kind() == reflect.Pointer && src.Kind() == reflect.Pointer:
		return pointers(dst, src)
	case dst.Kind() == reflect.Pointer:
		return toPointer(dst, src)
	case src.Kind() == reflect.Pointer:
		return fromPointer(dst, src)
	case dst.Kind() == reflect.Slice && src.Kind() == reflect.Slice:
		return slices(dst, src)
	case dst.Kind() == reflect.Struct && src.Kind() == reflect.Struct:
		// The plan is looked up when it is used, so that types that contain themselves come to an end.
		return func(d, s reflect.Value) { structPlan(dst, src).copy(d, s) }
	case dst.Kind() == src.Kind() && src.ConvertibleTo(dst) && dst.Kind() != reflect.Map:
		return func(d, s reflect.Value) { d.Set(s.Convert(dst)) }
	}
	return nil
}

func pointers(dst, src reflect.Type) convert {
	inner := converter(dst.Elem(), src.Elem())
	if inner == nil {
		return nil
	}
	return func(d, s reflect.Value) {
		if s.IsNil() {
			return
		}
		v := reflect.New(dst.Elem())
		inner(v.Elem(), s.Elem())
		d.Set(v)
	}
}

func toPointer(dst, src reflect.Type) convert {
	inner := converter(dst.Elem(), src)
	if inner == nil {
		return nil
	}
	return func(d, s reflect.Value) {
		if s.IsZero() {
			return
		}
		v := reflect.New(dst.Elem())
		inner(v.Elem(), s)
		d.Set(v)
	}
}

func fromPointer(dst, src reflect.Type) convert {
	inner := converter(dst, src.Elem())
	if inner == nil {
		return nil
	}
	return func(d, s reflect.Value) {
		if !s.IsNil() {
			inner(d, s.Elem())
		}
	}
}

func slices(dst, src reflect.Type) convert {
	inner := converter(dst.Elem(), src.Elem())
	if inner == nil {
		return nil
	}
	return func(d, s reflect.Value) {
		if s.IsNil() {
			return
		}
		out := reflect.MakeSlice(dst, s.Len(), s.Len())
		for i := range s.Len() {
			inner(out.Index(i), s.Index(i))
		}
		d.Set(out)
	}
}
