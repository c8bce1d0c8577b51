package state

import (
	"iter"

	"roadstead.dev/roadstead/internal/ecs"
)

// Instances is the table of container instances, by id.
type Instances struct {
	w       *writer
	derived *derived
	hash    hasher
	t       table[ecs.InstanceID, ecs.Instance]
	cluster index
	token   index
}

func newInstances(w *writer, d *derived, h hasher) *Instances {
	compare := func(a, b ecs.InstanceID) int { return compareID(a, b) }
	return &Instances{w: w, derived: d, hash: h, t: newTable[ecs.InstanceID, ecs.Instance](compare), cluster: newIndex(), token: newIndex()}
}

func (n *Instances) copy(w *writer, d *derived) *Instances {
	return &Instances{w: w, derived: d, hash: n.hash, t: n.t.copy(), cluster: n.cluster.copy(), token: n.token.copy()}
}

// Get gives an instance, or nil.
func (n *Instances) Get(id ecs.InstanceID) *ecs.Instance { return n.t.get(id) }

// All iterates by id.
func (n *Instances) All() iter.Seq[*ecs.Instance] { return n.t.all() }

// Len is the number of instances, INACTIVE ones included.
func (n *Instances) Len() int { return n.t.rows.Len() }

// InCluster iterates over a cluster's instances by id.
func (n *Instances) InCluster(cluster string) iter.Seq[*ecs.Instance] {
	return n.InClusterFrom(cluster, ecs.InstanceID{})
}

// InClusterFrom is InCluster from the first id on that is not less than the given one.
func (n *Instances) InClusterFrom(cluster string, first ecs.InstanceID) iter.Seq[*ecs.Instance] {
	return func(yield func(*ecs.Instance) bool) {
		for id := range n.cluster.of(n.hash.of(cluster, ""), first) {
			if v := n.t.get(id); v.Cluster == cluster && !yield(v) {
				return
			}
		}
	}
}

// ByClientToken gives the instance of a cluster that was registered with a token and is not INACTIVE, or nil.
func (n *Instances) ByClientToken(cluster, token string) *ecs.Instance {
	if token == "" {
		return nil
	}
	for id := range n.token.of(n.hash.of(cluster, token), ecs.InstanceID{}) {
		if v := n.t.get(id); v.Cluster == cluster && v.ClientToken == token {
			return v
		}
	}
	return nil
}

// Put adds or replaces an instance.
func (n *Instances) Put(v *ecs.Instance) {
	n.w.check()
	record(n.w, instancesTable, instanceKey(v), n.swap(v.ID, v), v)
}

// Delete removes an instance, if it is there.
func (n *Instances) Delete(id ecs.InstanceID) {
	n.w.check()
	if old := n.swap(id, nil); old != nil {
		record(n.w, instancesTable, instanceKey(old), old, nil)
	}
}

func (n *Instances) swap(id ecs.InstanceID, v *ecs.Instance) (old *ecs.Instance) {
	old = n.t.set(id, v)
	if old == v {
		return old
	}
	var from, to instanceGroups
	if old != nil {
		from = n.groups(old)
	}
	if v != nil {
		to = n.groups(v)
	}
	n.cluster.move(id, from.cluster, old != nil, to.cluster, v != nil)
	n.token.move(id, from.token, from.hasToken, to.token, to.hasToken)
	n.derived.instanceRow(old, v)
	return old
}

// instanceGroups are where an instance is found in the indexes.
type instanceGroups struct {
	cluster, token uint64
	hasToken       bool
}

func (n *Instances) groups(v *ecs.Instance) instanceGroups {
	g := instanceGroups{cluster: n.hash.of(v.Cluster, "")}
	if v.ClientToken != "" && v.Status != ecs.InstanceInactive {
		g.token, g.hasToken = n.hash.of(v.Cluster, v.ClientToken), true
	}
	return g
}

func instanceKey(v *ecs.Instance) string { return "instances/" + v.ID.String() }

func (n *Instances) name() string { return "instances" }

func (n *Instances) replace(old, new any) {
	if v := ptr[ecs.Instance](new); v != nil {
		n.swap(v.ID, v)
		return
	}
	n.swap(ptr[ecs.Instance](old).ID, nil)
}

func (n *Instances) decode(value []byte, _ *interner) (any, string, error) {
	return decodeRow(value, instanceKey, nil)
}

func (n *Instances) rows(yield func(string, any) bool) { yieldRows(n.t, instanceKey, yield) }

func (n *Instances) counterpart(row any) any { return orNil(n.t.get(ptr[ecs.Instance](row).ID)) }
