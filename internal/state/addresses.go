package state

import (
	"encoding/binary"
	"strings"

	"github.com/tidwall/btree"

	"roadstead.dev/roadstead/internal/ecs"
)

// addresses are those that tasks hold, by subnet, so that a free one is found in O(log n): maximal runs of used addresses
// say where the next free one is, and holders which tasks have one, so that a run ends with its last holder only.
// A subnet is told by a hash of its id; two with one hash would take each other's addresses, never give one twice.
type addresses struct {
	hash    hasher
	holders index
	runs    *btree.BTreeG[addressRun]
	// last is the address given last in a subnet: the search goes on behind it, so that none is given again at once. It is a
	// hint, and does not follow from the rows.
	last table[string, uint32]
}

// addressRun is a run of used addresses, both ends in it.
type addressRun struct {
	subnet     uint64
	start, end uint32
}

func lessRun(a, b addressRun) bool {
	if a.subnet != b.subnet {
		return a.subnet < b.subnet
	}
	return a.start < b.start
}

func newAddresses(h hasher) addresses {
	return addresses{
		hash: h, holders: newIndex(), last: newTable[string, uint32](strings.Compare),
		runs: btree.NewBTreeGOptions(lessRun, btree.Options{NoLocks: true, Degree: indexDegree}),
	}
}

func (a addresses) copy() addresses {
	return addresses{hash: a.hash, holders: a.holders.copy(), runs: a.runs.Copy(), last: a.last.copy()}
}

// holdsAddress tells whether a task has an address that no other may have.
func holdsAddress(t *ecs.Task) bool {
	return t != nil && t.Interface != nil && t.LastStatus < ecs.TaskStopped
}

// task follows a change of a task; either may be nil.
func (a addresses) task(old, new *ecs.Task) {
	had, has := holdsAddress(old), holdsAddress(new)
	if had && has && old.Interface.SubnetID == new.Interface.SubnetID && old.Interface.Address == new.Interface.Address {
		return
	}
	if had {
		a.release(old)
	}
	if has {
		a.hold(new)
	}
}

// holder is an entry's second part: the address and the task's id, of which the first four bytes are folded into the next
// four for want of room.
func holder(addr uint32, id ecs.TaskID) (out id16) {
	copy(out[:], id[:])
	for i := range 4 {
		out[4+i] ^= id[i]
	}
	binary.BigEndian.PutUint32(out[:4], addr)
	return out
}

func (a addresses) hold(t *ecs.Task) {
	subnet, addr := a.hash.of(t.Interface.SubnetID, ""), number(t.Interface.Address)
	held := a.held(subnet, addr)
	a.holders.entries.Set(entry{subnet, holder(addr, t.ID)})
	a.last.set(t.Interface.SubnetID, &addr)
	if held {
		return
	}
	run := addressRun{subnet, addr, addr}
	if before, ok := a.runAt(subnet, addr); ok && before.end+1 == addr {
		a.runs.Delete(before)
		run.start = before.start
	}
	if after, ok := a.runs.Get(addressRun{subnet: subnet, start: addr + 1}); ok {
		a.runs.Delete(after)
		run.end = after.end
	}
	a.runs.Set(run)
}

func (a addresses) release(t *ecs.Task) {
	subnet, addr := a.hash.of(t.Interface.SubnetID, ""), number(t.Interface.Address)
	a.holders.entries.Delete(entry{subnet, holder(addr, t.ID)})
	run, ok := a.runAt(subnet, addr)
	if !ok || run.end < addr || a.held(subnet, addr) {
		return
	}
	a.runs.Delete(run)
	if run.start < addr {
		a.runs.Set(addressRun{subnet, run.start, addr - 1})
	}
	if addr < run.end {
		a.runs.Set(addressRun{subnet, addr + 1, run.end})
	}
}

// held tells whether any task holds an address.
func (a addresses) held(subnet uint64, addr uint32) (held bool) {
	a.holders.entries.Ascend(entry{subnet, holder(addr, ecs.TaskID{})}, func(e entry) bool {
		held = e.group == subnet && binary.BigEndian.Uint32(e.id[:4]) == addr
		return false
	})
	return held
}

// runAt gives the last run that begins at an address or before.
func (a addresses) runAt(subnet uint64, addr uint32) (run addressRun, ok bool) {
	a.runs.Descend(addressRun{subnet: subnet, start: addr}, func(r addressRun) bool {
		run, ok = r, r.subnet == subnet
		return false
	})
	return run, ok
}

// free gives the first free address of from to to, both included.
func (a addresses) free(subnet uint64, from, to uint32) (uint32, bool) {
	if from > to {
		return 0, false
	}
	if run, ok := a.runAt(subnet, from); ok && run.end >= from {
		if run.end >= to {
			return 0, false
		}
		from = run.end + 1
	}
	return from, true
}

// FreeAddress gives an address of a subnet, between two, both included, that no task holds which has not STOPPED: the next
// one behind that which was given last. It is false if there is none.
func (t *Tables) FreeAddress(subnet string, first, last ecs.IPv4) (ecs.IPv4, bool) {
	a := t.derived.addresses
	group, from, to := a.hash.of(subnet, ""), number(first), number(last)
	start := from
	if given := a.last.get(subnet); given != nil && *given >= from && *given < to {
		start = *given + 1
	}
	addr, ok := a.free(group, start, to)
	if !ok && start > from {
		addr, ok = a.free(group, from, start-1)
	}
	var out ecs.IPv4
	binary.BigEndian.PutUint32(out[:], addr)
	return out, ok
}

func number(a ecs.IPv4) uint32 { return binary.BigEndian.Uint32(a[:]) }
