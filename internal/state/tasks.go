package state

import (
	"encoding/binary"
	"encoding/hex"
	"iter"

	"roadstead.dev/roadstead/internal/ecs"
)

// Tasks is the table of tasks, by id.
type Tasks struct {
	w       *writer
	derived *derived
	hash    hasher
	t       table[ecs.TaskID, ecs.Task]
	taskIndexes
}

// taskIndexes find tasks by what their names say. A field that is empty is not indexed, but for the cluster.
type taskIndexes struct {
	cluster, instance, group, startedBy, family, stopped index
}

func newTasks(w *writer, d *derived, h hasher) *Tasks {
	compare := func(a, b ecs.TaskID) int { return compareID(a, b) }
	return &Tasks{w: w, derived: d, hash: h, t: newTable[ecs.TaskID, ecs.Task](compare), taskIndexes: taskIndexes{
		cluster: newIndex(), instance: newIndex(), group: newIndex(), startedBy: newIndex(), family: newIndex(), stopped: newIndex(),
	}}
}

func (t *Tasks) copy(w *writer, d *derived) *Tasks {
	x := t.taskIndexes
	return &Tasks{w: w, derived: d, hash: t.hash, t: t.t.copy(), taskIndexes: taskIndexes{
		cluster: x.cluster.copy(), instance: x.instance.copy(), group: x.group.copy(),
		startedBy: x.startedBy.copy(), family: x.family.copy(), stopped: x.stopped.copy(),
	}}
}

// Get gives a task, or nil.
func (t *Tasks) Get(id ecs.TaskID) *ecs.Task { return t.t.get(id) }

// All iterates by id.
func (t *Tasks) All() iter.Seq[*ecs.Task] { return t.t.all() }

// Len is the number of tasks, stopped ones included.
func (t *Tasks) Len() int { return t.t.rows.Len() }

// InCluster iterates over a cluster's tasks by id.
func (t *Tasks) InCluster(cluster string) iter.Seq[*ecs.Task] {
	return t.InClusterFrom(cluster, ecs.TaskID{})
}

// InClusterFrom is InCluster from the first id on that is not less than the given one.
func (t *Tasks) InClusterFrom(cluster string, first ecs.TaskID) iter.Seq[*ecs.Task] {
	return t.in(t.cluster, t.hash.of(cluster, ""), first, func(v *ecs.Task) bool { return v.Cluster == cluster })
}

// OnInstance iterates over the tasks placed on an instance, stopped ones included, by id.
func (t *Tasks) OnInstance(id ecs.InstanceID) iter.Seq[*ecs.Task] {
	return t.in(t.instance, instanceGroup(id), ecs.TaskID{}, func(v *ecs.Task) bool { return v.Instance == id })
}

// OfGroup iterates over the tasks of a cluster with that group, by id.
func (t *Tasks) OfGroup(cluster, group string) iter.Seq[*ecs.Task] {
	return t.in(t.group, t.hash.of(cluster, group), ecs.TaskID{}, func(v *ecs.Task) bool { return v.Cluster == cluster && v.Group == group })
}

// StartedBy iterates over the tasks of a cluster started by that name, by id.
func (t *Tasks) StartedBy(cluster, startedBy string) iter.Seq[*ecs.Task] {
	return t.in(t.startedBy, t.hash.of(cluster, startedBy), ecs.TaskID{},
		func(v *ecs.Task) bool { return v.Cluster == cluster && v.StartedBy == startedBy })
}

// OfFamily iterates over the tasks of a cluster whose definition is of that family, by id.
func (t *Tasks) OfFamily(cluster, family string) iter.Seq[*ecs.Task] {
	return t.in(t.family, t.hash.of(cluster, family), ecs.TaskID{},
		func(v *ecs.Task) bool { return v.Cluster == cluster && v.Definition.Family == family })
}

// Stopped iterates over the tasks that have a StoppedAt, the longest stopped first.
func (t *Tasks) Stopped() iter.Seq[*ecs.Task] {
	return func(yield func(*ecs.Task) bool) {
		t.stopped.entries.Scan(func(e entry) bool { return yield(t.t.get(e.id)) })
	}
}

func (t *Tasks) in(x index, group uint64, first ecs.TaskID, is func(*ecs.Task) bool) iter.Seq[*ecs.Task] {
	return func(yield func(*ecs.Task) bool) {
		for id := range x.of(group, first) {
			if v := t.t.get(id); is(v) && !yield(v) {
				return
			}
		}
	}
}

// Put adds or replaces a task.
func (t *Tasks) Put(v *ecs.Task) {
	t.w.check()
	record(t.w, tasksTable, taskKey(v), t.swap(v.ID, v), v)
}

// Delete removes a task, if it is there.
func (t *Tasks) Delete(id ecs.TaskID) {
	t.w.check()
	if old := t.swap(id, nil); old != nil {
		record(t.w, tasksTable, taskKey(old), old, nil)
	}
}

func (t *Tasks) swap(id ecs.TaskID, v *ecs.Task) (old *ecs.Task) {
	old = t.t.set(id, v)
	if old == v {
		return old
	}
	t.reindex(id, old, v)
	t.derived.task(old, v)
	return old
}

// nobody stands for the task that is not there: its fields are as empty as those that are not indexed.
var nobody ecs.Task

func (t *Tasks) reindex(id ecs.TaskID, old, v *ecs.Task) {
	had, has := old != nil, v != nil
	if !had {
		old = &nobody
	}
	if !has {
		v = &nobody
	}
	moved := !had || !has || old.Cluster != v.Cluster
	if moved {
		t.cluster.move(id, t.hash.of(old.Cluster, ""), had, t.hash.of(v.Cluster, ""), has)
	}
	named := func(x index, a, b string) {
		if moved || a != b {
			x.move(id, t.hash.of(old.Cluster, a), a != "", t.hash.of(v.Cluster, b), b != "")
		}
	}
	named(t.group, old.Group, v.Group)
	named(t.startedBy, old.StartedBy, v.StartedBy)
	named(t.family, old.Definition.Family, v.Definition.Family)
	if old.Instance != v.Instance {
		t.instance.move(id, instanceGroup(old.Instance), !old.Instance.IsZero(), instanceGroup(v.Instance), !v.Instance.IsZero())
	}
	if old.StoppedAt != v.StoppedAt {
		t.stopped.move(id, uint64(old.StoppedAt), old.StoppedAt != 0, uint64(v.StoppedAt), v.StoppedAt != 0)
	}
}

// instanceGroup takes half of an id, which is random already.
func instanceGroup(id ecs.InstanceID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

func taskKey(v *ecs.Task) string {
	var b [6 + 32]byte
	copy(b[:], "tasks/")
	hex.Encode(b[6:], v.ID[:])
	return string(b[:])
}

func (t *Tasks) name() string { return "tasks" }

func (t *Tasks) replace(old, new any) {
	if v := ptr[ecs.Task](new); v != nil {
		t.swap(v.ID, v)
		return
	}
	t.swap(ptr[ecs.Task](old).ID, nil)
}

func (t *Tasks) decode(value []byte, in *interner) (any, string, error) {
	return decodeRow(value, taskKey, in.task)
}

func (t *Tasks) rows(yield func(string, any) bool) { yieldRows(t.t, taskKey, yield) }

func (t *Tasks) counterpart(row any) any { return orNil(t.t.get(ptr[ecs.Task](row).ID)) }
