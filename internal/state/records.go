package state

import (
	"iter"
	"strings"
)

// Records is a table of rows that are found by one key, a path such as CLUSTER/SERVICE, and in the order of their keys.
// Tables that need further indexes are types of their own.
type Records[V any] struct {
	w *writer
	recordKind[V]
	t table[string, V]
}

// recordKind is what sets one table of records apart from another.
type recordKind[V any] struct {
	id tableID
	// first is the first element of the stored keys.
	first string
	// key gives a row's key: elements joined by "/", none of them empty or with a "/" in it.
	key func(*V) string
	// share makes equal strings of many rows one; nil where there are never many.
	share func(*interner, *V)
}

func newRecords[V any](w *writer, kind recordKind[V]) *Records[V] {
	return &Records[V]{w: w, recordKind: kind, t: newTable[string, V](strings.Compare)}
}

func (r *Records[V]) copy(w *writer) *Records[V] {
	return &Records[V]{w: w, recordKind: r.recordKind, t: r.t.copy()}
}

// Get gives the row with a key, or nil.
func (r *Records[V]) Get(key string) *V { return r.t.get(key) }

// All iterates by key.
func (r *Records[V]) All() iter.Seq[*V] { return r.t.all() }

// Under iterates, by key, over the rows whose keys begin with the elements of a path: Under("a") has "a/b" and "a/b/c", not "ab/c".
func (r *Records[V]) Under(path string) iter.Seq[*V] {
	path += "/"
	return r.t.from(path, func(key string) bool { return strings.HasPrefix(key, path) })
}

// From iterates by key, from the first key on that is not less than the one given; pages are read with it.
func (r *Records[V]) From(key string) iter.Seq[*V] {
	return r.t.from(key, func(string) bool { return true })
}

// Len is the number of rows.
func (r *Records[V]) Len() int { return r.t.rows.Len() }

// Put adds or replaces a row.
func (r *Records[V]) Put(v *V) {
	r.w.check()
	record(r.w, r.id, r.stored(v), r.t.set(r.key(v), v), v)
}

// Delete removes a row, if it is there.
func (r *Records[V]) Delete(key string) {
	r.w.check()
	if old := r.t.set(key, nil); old != nil {
		record(r.w, r.id, r.stored(old), old, nil)
	}
}

// Key is a row's key.
func (r *Records[V]) Key(v *V) string { return r.key(v) }

func (r *Records[V]) stored(v *V) string { return r.first + "/" + r.key(v) }

func (r *Records[V]) name() string { return r.first }

func (r *Records[V]) replace(old, new any) {
	if v := ptr[V](new); v != nil {
		r.t.set(r.key(v), v)
		return
	}
	r.t.set(r.key(ptr[V](old)), nil)
}

func (r *Records[V]) decode(value []byte, in *interner) (any, string, error) {
	var share func(*V)
	if r.share != nil {
		share = func(v *V) { r.share(in, v) }
	}
	return decodeRow(value, r.stored, share)
}

func (r *Records[V]) rows(yield func(string, any) bool) { yieldRows(r.t, r.stored, yield) }

func (r *Records[V]) counterpart(row any) any { return orNil(r.t.get(r.key(ptr[V](row)))) }
