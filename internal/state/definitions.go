package state

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Definitions is the table of task definition revisions, by family and revision, and after them of those of daemons.
type Definitions struct {
	w *writer
	t table[ecs.DefinitionID, ecs.TaskDefinition]
	// deleting has those that are DELETE_IN_PROGRESS or DELETED.
	deleting table[ecs.DefinitionID, ecs.TaskDefinition]
}

func newDefinitions(w *writer) *Definitions {
	compare := func(a, b ecs.DefinitionID) int {
		return cmp.Or(compareBool(a.Daemon, b.Daemon), strings.Compare(a.Family, b.Family), cmp.Compare(a.Revision, b.Revision))
	}
	return &Definitions{w: w, t: newTable[ecs.DefinitionID, ecs.TaskDefinition](compare), deleting: newTable[ecs.DefinitionID, ecs.TaskDefinition](compare)}
}

func (d *Definitions) copy(w *writer) *Definitions {
	return &Definitions{w: w, t: d.t.copy(), deleting: d.deleting.copy()}
}

// Get gives a revision, or nil.
func (d *Definitions) Get(id ecs.DefinitionID) *ecs.TaskDefinition { return d.t.get(id) }

// All iterates over task definitions by family, then revision.
func (d *Definitions) All() iter.Seq[*ecs.TaskDefinition] {
	return d.t.from(ecs.DefinitionID{Revision: math.MinInt32}, func(id ecs.DefinitionID) bool { return !id.Daemon })
}

// AllDaemon iterates over daemon task definitions by family, then revision.
func (d *Definitions) AllDaemon() iter.Seq[*ecs.TaskDefinition] {
	return d.t.from(ecs.DefinitionID{Daemon: true, Revision: math.MinInt32}, func(ecs.DefinitionID) bool { return true })
}

// Len is the number of revisions, those of daemons included.
func (d *Definitions) Len() int { return d.t.rows.Len() }

// OfFamily iterates over the revisions of the family that an id names, ascending.
func (d *Definitions) OfFamily(of ecs.DefinitionID) iter.Seq[*ecs.TaskDefinition] {
	of.Revision = math.MinInt32
	return d.t.from(of, sameFamily(of))
}

func sameFamily(of ecs.DefinitionID) func(ecs.DefinitionID) bool {
	return func(id ecs.DefinitionID) bool { return id.Family == of.Family && id.Daemon == of.Daemon }
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Deleting iterates over the revisions that are DELETE_IN_PROGRESS or DELETED.
func (d *Definitions) Deleting() iter.Seq[*ecs.TaskDefinition] { return d.deleting.all() }

// LatestActive gives the newest ACTIVE revision of the family that an id names, or nil.
func (d *Definitions) LatestActive(of ecs.DefinitionID) *ecs.TaskDefinition {
	of.Revision = math.MaxInt32
	for v := range d.t.down(of, sameFamily(of)) {
		if v.Status == ecs.DefinitionActive {
			return v
		}
	}
	return nil
}

// Put adds or replaces a revision.
func (d *Definitions) Put(v *ecs.TaskDefinition) {
	d.w.check()
	record(d.w, definitionsTable, definitionKey(v), d.swap(v.ID(), v), v)
}

// Delete removes a revision, if it is there.
func (d *Definitions) Delete(id ecs.DefinitionID) {
	d.w.check()
	if old := d.swap(id, nil); old != nil {
		record(d.w, definitionsTable, definitionKey(old), old, nil)
	}
}

// swap puts v, or deletes where v is nil, and returns what was there.
func (d *Definitions) swap(id ecs.DefinitionID, v *ecs.TaskDefinition) (old *ecs.TaskDefinition) {
	old = d.t.set(id, v)
	switch {
	case v != nil && deleting(v):
		d.deleting.set(id, v)
	case old != nil && deleting(old):
		d.deleting.set(id, nil)
	}
	return old
}

func deleting(d *ecs.TaskDefinition) bool {
	return d.Status == ecs.DefinitionDeleteInProgress || d.Status == ecs.DefinitionDeleted
}

// The number is padded, so that stored keys are in the table's order. A daemon's has an element more, which no task definition's has.
func definitionKey(v *ecs.TaskDefinition) string {
	if v.Daemon {
		return fmt.Sprintf("definitions/daemon/%s/%010d", v.Family, v.Revision)
	}
	return fmt.Sprintf("definitions/%s/%010d", v.Family, v.Revision)
}

func (d *Definitions) name() string { return "definitions" }

func (d *Definitions) replace(old, new any) {
	if v := ptr[ecs.TaskDefinition](new); v != nil {
		d.swap(v.ID(), v)
		return
	}
	d.swap(ptr[ecs.TaskDefinition](old).ID(), nil)
}

func (d *Definitions) decode(value []byte, _ *interner) (any, string, error) {
	return decodeRow(value, definitionKey, nil)
}

func (d *Definitions) rows(yield func(string, any) bool) { yieldRows(d.t, definitionKey, yield) }

func (d *Definitions) counterpart(row any) any {
	return orNil(d.t.get(ptr[ecs.TaskDefinition](row).ID()))
}
