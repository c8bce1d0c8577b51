package state

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"iter"

	"github.com/tidwall/btree"
)

// id16 is a task's or an instance's id.
type id16 = [16]byte

func compareID(a, b id16) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
}

// entry is one line of an index: a group and a member of it. The group is a hash of names or a time, so that a search
// neither follows pointers nor compares strings, and an entry need not be touched while its row changes in other fields.
// Hashes may collide: who reads an index of hashes looks at the row too.
type entry struct {
	group uint64
	id    id16
}

func lessEntry(a, b entry) bool {
	if a.group != b.group {
		return a.group < b.group
	}
	return compareID(a.id, b.id) < 0
}

// indexDegree is smaller than treeDegree: entries hold no pointers, so that more nodes cost the garbage collector little.
const indexDegree = 8

type index struct {
	entries *btree.BTreeG[entry]
}

func newIndex() index {
	return index{entries: btree.NewBTreeGOptions(lessEntry, btree.Options{NoLocks: true, Degree: indexDegree})}
}

func (x index) copy() index { return index{entries: x.entries.Copy()} }

// move takes id from one group to another; has tells whether it is in one before and after.
func (x index) move(id id16, from uint64, had bool, to uint64, has bool) {
	if had && has && from == to {
		return
	}
	if had {
		x.entries.Delete(entry{from, id})
	}
	if has {
		x.entries.Set(entry{to, id})
	}
}

// of iterates over a group's ids in their order, from the given one on.
func (x index) of(group uint64, first id16) iter.Seq[id16] {
	return func(yield func(id16) bool) {
		x.entries.Ascend(entry{group, first}, func(e entry) bool { return e.group == group && yield(e.id) })
	}
}

// hasher makes groups of names. Its seed differs from process to process, so nobody can choose names that collide.
type hasher struct{ seed maphash.Seed }

func (h hasher) of(a, b string) uint64 {
	var m maphash.Hash
	m.SetSeed(h.seed)
	m.WriteString(a)
	m.WriteByte(0)
	m.WriteString(b)
	return m.Sum64()
}
