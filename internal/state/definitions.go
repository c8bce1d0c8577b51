package state

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Definitions is the table of task definition revisions, by family and revision.
type Definitions struct {
	w *writer
	t table[ecs.DefinitionID, ecs.TaskDefinition]
	// deleting has those that are DELETE_IN_PROGRESS.
	deleting table[ecs.DefinitionID, ecs.TaskDefinition]
}

func newDefinitions(w *writer) *Definitions {
	compare := func(a, b ecs.DefinitionID) int {
		return cmp.Or(strings.Compare(a.Family, b.Family), cmp.Compare(a.Revision, b.Revision))
	}
	return &Definitions{w: w, t: newTable[ecs.DefinitionID, ecs.TaskDefinition](compare), deleting: newTable[ecs.DefinitionID, ecs.TaskDefinition](compare)}
}

func (d *Definitions) copy(w *writer) *Definitions {
	return &Definitions{w: w, t: d.t.copy(), deleting: d.deleting.copy()}
}

// Get gives a revision, or nil.
func (d *Definitions) Get(id ecs.DefinitionID) *ecs.TaskDefinition { return d.t.get(id) }

// All iterates by family, then revision.
func (d *Definitions) All() iter.Seq[*ecs.TaskDefinition] { return d.t.all() }

// Len is the number of revisions.
func (d *Definitions) Len() int { return d.t.rows.Len() }

// OfFamily iterates over a family's revisions, ascending.
func (d *Definitions) OfFamily(family string) iter.Seq[*ecs.TaskDefinition] {
	return d.t.from(ecs.DefinitionID{Family: family, Revision: math.MinInt32}, func(id ecs.DefinitionID) bool { return id.Family == family })
}

// Deleting iterates over the revisions that are DELETE_IN_PROGRESS.
func (d *Definitions) Deleting() iter.Seq[*ecs.TaskDefinition] { return d.deleting.all() }

// LatestActive gives a family's newest ACTIVE revision, or nil.
func (d *Definitions) LatestActive(family string) *ecs.TaskDefinition {
	down := d.t.down(ecs.DefinitionID{Family: family, Revision: math.MaxInt32}, func(id ecs.DefinitionID) bool { return id.Family == family })
	for v := range down {
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
	case v != nil && v.Status == ecs.DefinitionDeleteInProgress:
		d.deleting.set(id, v)
	case old != nil && old.Status == ecs.DefinitionDeleteInProgress:
		d.deleting.set(id, nil)
	}
	return old
}

// The number is padded, so that stored keys are in the table's order.
func definitionKey(v *ecs.TaskDefinition) string {
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
