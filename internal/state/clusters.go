package state

import (
	"iter"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Clusters is the table of clusters, by name.
type Clusters struct {
	w *writer
	t table[string, ecs.Cluster]
}

func newClusters(w *writer) *Clusters {
	return &Clusters{w: w, t: newTable[string, ecs.Cluster](strings.Compare)}
}

func (c *Clusters) copy(w *writer) *Clusters { return &Clusters{w: w, t: c.t.copy()} }

// Get gives a cluster, or nil.
func (c *Clusters) Get(name string) *ecs.Cluster { return c.t.get(name) }

// All iterates by name.
func (c *Clusters) All() iter.Seq[*ecs.Cluster] { return c.t.all() }

// Len is the number of clusters, INACTIVE ones included.
func (c *Clusters) Len() int { return c.t.rows.Len() }

// Put adds or replaces a cluster.
func (c *Clusters) Put(v *ecs.Cluster) {
	c.w.check()
	record(c.w, clustersTable, clusterKey(v), c.t.set(v.Name, v), v)
}

// Delete removes a cluster, if it is there.
func (c *Clusters) Delete(name string) {
	c.w.check()
	if old := c.t.set(name, nil); old != nil {
		record(c.w, clustersTable, clusterKey(old), old, nil)
	}
}

func clusterKey(v *ecs.Cluster) string { return "clusters/" + v.Name }

func (c *Clusters) name() string { return "clusters" }

func (c *Clusters) replace(old, new any) {
	if v := ptr[ecs.Cluster](new); v != nil {
		c.t.set(v.Name, v)
		return
	}
	c.t.set(ptr[ecs.Cluster](old).Name, nil)
}

func (c *Clusters) decode(value []byte, _ *interner) (any, string, error) {
	return decodeRow(value, clusterKey, nil)
}

func (c *Clusters) rows(yield func(string, any) bool) { yieldRows(c.t, clusterKey, yield) }

func (c *Clusters) counterpart(row any) any { return orNil(c.t.get(ptr[ecs.Cluster](row).Name)) }
