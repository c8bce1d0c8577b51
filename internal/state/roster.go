package state

import (
	"slices"
	"sort"
	"sync"

	"roadstead.dev/roadstead/internal/ecs"
)

// Roster is a cluster's registered instances, ACTIVE and DRAINING, in one list. Instances change seldom and are looked at
// by every placement, so the list is made when it is asked for the first time after a change and shared by all tables with the same
// instances; so is what was computed from it (Memo). It may be read by many goroutines.
type Roster struct {
	// Instances are in the order of their ids. Their Sequence may be an older one.
	Instances []*ecs.Instance

	mu sync.Mutex
	// memo is guarded by mu.
	memo map[any]any
}

// maxMemo bounds what is kept of one roster; what comes later is computed each time.
const maxMemo = 128

// Memo gives what compute gave for the key the first time. It must depend on the instances and the key alone.
func (r *Roster) Memo(key any, compute func() any) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.memo[key]
	if ok {
		return v
	}
	v = compute()
	if r.memo == nil {
		r.memo = map[any]any{}
	}
	if len(r.memo) < maxMemo {
		r.memo[key] = v
	}
	return v
}

// Find gives an instance's place in the list.
func (r *Roster) Find(id ecs.InstanceID) (at int, found bool) {
	return sort.Find(len(r.Instances), func(i int) int { return compareID(id, r.Instances[i].ID) })
}

// rosterSlot is where the roster of one state of a cluster's instances is kept once it was asked for.
type rosterSlot struct {
	once   sync.Once
	roster *Roster
}

// Roster gives a cluster's registered instances.
func (t *Tables) Roster(cluster string) *Roster {
	c := t.derived.clusters.get(cluster)
	if c == nil || c.roster == nil {
		return &Roster{}
	}
	c.roster.once.Do(func() {
		r := &Roster{Instances: make([]*ecs.Instance, 0, c.Instances)}
		for i := range t.Instances.InCluster(cluster) {
			if isRegistered(i) {
				r.Instances = append(r.Instances, i)
			}
		}
		c.roster.roster = r
	})
	return c.roster.roster
}

// sameForPlacement tells that two rows are of the same cluster and say the same of what an instance offers. Rows are copied to be
// changed, so that lists that did not change are the same ones.
func sameForPlacement(a, b *ecs.Instance) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Cluster == b.Cluster && a.Status == b.Status && a.HostID == b.HostID && a.AgentVersion == b.AgentVersion &&
		a.RegisteredAt == b.RegisteredAt && a.CapacityProvider == b.CapacityProvider && sameList(a.Attributes, b.Attributes) &&
		a.Registered.CPU == b.Registered.CPU && a.Registered.MemoryMiB == b.Registered.MemoryMiB && a.Registered.ENIs == b.Registered.ENIs &&
		slices.Equal(a.Registered.Ports, b.Registered.Ports) && slices.Equal(a.Registered.GPUs, b.Registered.GPUs)
}

func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// EachInUse calls do with the place in the roster of every instance that has tasks and what these take, in order.
func (t *Tables) EachInUse(r *Roster, do func(at int, use *Use)) {
	if len(r.Instances) == 0 {
		return
	}
	all := t.derived.usage
	if all.rows.Len() > 4*len(r.Instances) {
		for at, i := range r.Instances {
			if u := all.get(i.ID); u != nil {
				do(at, &u.Use)
			}
		}
		return
	}
	at := 0
	all.rows.Ascend(row[ecs.InstanceID, usage]{key: r.Instances[0].ID}, func(u row[ecs.InstanceID, usage]) bool {
		for at < len(r.Instances) && compareID(r.Instances[at].ID, u.key) < 0 {
			at++
		}
		if at == len(r.Instances) {
			return false
		}
		if r.Instances[at].ID == u.key {
			do(at, &u.val.Use)
		}
		return true
	})
}
