package state

import "slices"

// change is one key's way through one or more Updates: from what it was before the first to what it is after the last.
type change struct {
	table tableID
	key   string
	// old and new are a *V of the table, or nil.
	old, new any
	// value is new as it is stored.
	value []byte
}

// writer takes down what the Tx at work changes, so that it can be undone, stored and published.
type writer struct {
	// active is true while the function of an Update runs.
	active bool
	// generation grows with every snapshot: what an earlier one made is shared with it and must be copied to be changed.
	generation uint64
	changes    []change
	// index finds a key's change; only kept from the second on.
	index map[string]int
}

// begin starts a Tx.
func (w *writer) begin() {
	clear(w.changes)
	w.changes = w.changes[:0]
	clear(w.index)
	w.active = true
}

// check panics where a table may not be written: in a view, and in a Tx whose function has returned.
func (w *writer) check() {
	if w == nil {
		panic("state: write to a View; writes belong into Update")
	}
	if !w.active {
		panic("state: write through a Tx after its function has returned")
	}
}

// wrote notes that a row of a table went from old to new.
func (w *writer) wrote(table tableID, key string, old, new any) {
	if i, ok := w.find(key); ok {
		w.changes[i].new = new
		return
	}
	if len(w.changes) == 1 {
		w.index[w.changes[0].key] = 0
	}
	if len(w.changes) > 0 {
		w.index[key] = len(w.changes)
	}
	w.changes = append(w.changes, change{table: table, key: key, old: old, new: new})
}

func (w *writer) find(key string) (int, bool) {
	if len(w.changes) == 1 {
		return 0, w.changes[0].key == key
	}
	i, ok := w.index[key]
	return i, ok
}

// record notes a change of a row, if it is one.
func record[V any](w *writer, table tableID, key string, old, new *V) {
	if old == new {
		return
	}
	w.wrote(table, key, orNil(old), orNil(new))
}

// orNil makes a nil pointer a nil interface.
func orNil[V any](v *V) any {
	if v == nil {
		return nil
	}
	return v
}

// ptr is orNil's inverse.
func ptr[V any](v any) *V {
	p, _ := v.(*V)
	return p
}

func newWriter() *writer { return &writer{index: map[string]int{}} }

// compact leaves out what came to nothing, and returns the rest.
func (w *writer) compact() []change {
	w.changes = slices.DeleteFunc(w.changes, func(c change) bool { return c.old == c.new })
	return w.changes
}
