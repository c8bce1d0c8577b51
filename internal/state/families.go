package state

import (
	"iter"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Families is the table of task definition families, by name. A family outlives its revisions.
type Families struct {
	w *writer
	t table[string, ecs.Family]
}

func newFamilies(w *writer) *Families {
	return &Families{w: w, t: newTable[string, ecs.Family](strings.Compare)}
}

func (f *Families) copy(w *writer) *Families { return &Families{w: w, t: f.t.copy()} }

// Get gives a family, or nil.
func (f *Families) Get(name string) *ecs.Family { return f.t.get(name) }

// All iterates by name.
func (f *Families) All() iter.Seq[*ecs.Family] { return f.t.all() }

// Put adds or replaces a family.
func (f *Families) Put(v *ecs.Family) {
	f.w.check()
	record(f.w, familiesTable, familyKey(v), f.t.set(v.Name, v), v)
}

func familyKey(v *ecs.Family) string { return "families/" + v.Name }

func (f *Families) name() string { return "families" }

func (f *Families) replace(old, new any) {
	if v := ptr[ecs.Family](new); v != nil {
		f.t.set(v.Name, v)
		return
	}
	f.t.set(ptr[ecs.Family](old).Name, nil)
}

func (f *Families) decode(value []byte, _ *interner) (any, string, error) {
	return decodeRow(value, familyKey, nil)
}

func (f *Families) rows(yield func(string, any) bool) { yieldRows(f.t, familyKey, yield) }

func (f *Families) counterpart(row any) any { return orNil(f.t.get(ptr[ecs.Family](row).Name)) }
