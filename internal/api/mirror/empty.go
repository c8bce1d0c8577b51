package mirror

import "reflect"

// DropEmpty makes empty lists and maps absent ones, all through what v points to, so that a value reads the same from the
// store, which cannot tell the two apart, as from memory. Where ECS gives an empty list the answer has it.
func DropEmpty(v any) { dropEmpty(reflect.ValueOf(v).Elem()) }

func dropEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			dropEmpty(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				dropEmpty(f)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 && !v.IsNil() {
			v.SetZero()
			return
		}
		for i := range v.Len() {
			dropEmpty(v.Index(i))
		}
	case reflect.Map:
		if v.Len() == 0 && !v.IsNil() {
			v.SetZero()
		}
	}
}
