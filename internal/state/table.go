package state

import (
	"iter"

	"github.com/tidwall/btree"
)

// treeDegree is half of how many items a tree's node has at most. A change copies a node of each level once a batch, so
// that small nodes make less garbage and large ones fewer objects; this is where a Put was cheapest.
const treeDegree = 16

// A row's key is kept beside the pointer, so that a search does not follow pointers.
type row[K, V any] struct {
	key K
	val *V
}

// table is an ordered map that is copied in constant time; the copies share what neither has changed.
type table[K, V any] struct {
	rows *btree.BTreeG[row[K, V]]
}

func newTable[K, V any](compare func(a, b K) int) table[K, V] {
	less := func(a, b row[K, V]) bool { return compare(a.key, b.key) < 0 }
	return table[K, V]{rows: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: treeDegree})}
}

func (t table[K, V]) copy() table[K, V] { return table[K, V]{rows: t.rows.Copy()} }

func (t table[K, V]) get(k K) *V {
	r, _ := t.rows.Get(row[K, V]{key: k})
	return r.val
}

// set puts v, or deletes where v is nil, and returns what was there.
func (t table[K, V]) set(k K, v *V) (old *V) {
	var r row[K, V]
	if v == nil {
		r, _ = t.rows.Delete(row[K, V]{key: k})
	} else {
		r, _ = t.rows.Set(row[K, V]{key: k, val: v})
	}
	return r.val
}

func (t table[K, V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.rows.Scan(func(r row[K, V]) bool { return yield(r.val) })
	}
}

// from iterates from the first key that is not less than k for as long as while says so.
func (t table[K, V]) from(k K, while func(K) bool) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.rows.Ascend(row[K, V]{key: k}, func(r row[K, V]) bool { return while(r.key) && yield(r.val) })
	}
}

// down iterates from the last key that is not greater than k, backwards.
func (t table[K, V]) down(k K, while func(K) bool) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.rows.Descend(row[K, V]{key: k}, func(r row[K, V]) bool { return while(r.key) && yield(r.val) })
	}
}
