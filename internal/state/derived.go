package state

import (
	"cmp"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// derived is what is computed from the rows, kept right with every change of a row and never stored.
type derived struct {
	w        *writer
	usage    table[ecs.InstanceID, usage]
	clusters table[string, clusterUsage]
	// providers counts the tasks that have not stopped, by cluster and capacity provider.
	providers   table[providerOf, int32]
	addresses   addresses
	hash        hasher
	groups      groupCounts
	deployments deployments
}

// providerOf is a capacity provider as it is used in one cluster.
type providerOf struct{ cluster, provider string }

// usage is what the tasks on one instance take. A usage of an earlier generation is in a snapshot and must be copied
// before it is changed.
type usage struct {
	generation uint64
	// tasks are those that have not stopped; a usage without any is dropped.
	tasks int32
	Use
	// The slices are replaced, never modified; both are sorted.
	ports []ecs.Port
	gpus  []string
}

// Use is how many tasks an instance has and what they take, but for ports and GPUs.
type Use struct {
	Counts
	CPU, MemoryMiB, ENIs int32
}

type clusterUsage struct {
	generation uint64
	ClusterCounts
	// roster is another one whenever an instance of the cluster changes.
	roster *rosterSlot
}

func newDerived(w *writer, h hasher) *derived {
	return &derived{
		w:        w,
		usage:    newTable[ecs.InstanceID, usage](func(a, b ecs.InstanceID) int { return compareID(a, b) }),
		clusters: newTable[string, clusterUsage](strings.Compare),
		providers: newTable[providerOf, int32](func(a, b providerOf) int {
			return cmp.Or(strings.Compare(a.cluster, b.cluster), strings.Compare(a.provider, b.provider))
		}),
		addresses:   newAddresses(h),
		hash:        h,
		groups:      newGroupCounts(),
		deployments: newDeployments(),
	}
}

func (d *derived) copy(w *writer) *derived {
	return &derived{w: w, usage: d.usage.copy(), clusters: d.clusters.copy(), providers: d.providers.copy(), addresses: d.addresses.copy(),
		hash: d.hash, groups: d.groups.copy(), deployments: d.deployments.copy()}
}

// instance gives an instance's usage for changing.
func (d *derived) instance(id ecs.InstanceID) *usage {
	u := d.usage.get(id)
	if u != nil && u.generation == d.w.generation {
		return u
	}
	fresh := usage{}
	if u != nil {
		fresh = *u
	}
	fresh.generation = d.w.generation
	d.usage.set(id, &fresh)
	return &fresh
}

func (d *derived) cluster(name string) *clusterUsage {
	c := d.clusters.get(name)
	if c != nil && c.generation == d.w.generation {
		return c
	}
	fresh := clusterUsage{}
	if c != nil {
		fresh = *c
	}
	fresh.generation = d.w.generation
	d.clusters.set(name, &fresh)
	return &fresh
}

// dropEmpty forgets a cluster of which nothing is counted.
func (d *derived) dropEmpty(name string, c *clusterUsage) {
	if c.ClusterCounts == (ClusterCounts{}) {
		d.clusters.set(name, nil)
	}
}

// countedAs tells as what a task is counted.
func countedAs(t *ecs.Task) Counts {
	switch {
	case t.LastStatus == ecs.TaskRunning:
		return Counts{Running: 1}
	case t.DesiredStatus == ecs.TaskRunning && t.LastStatus < ecs.TaskRunning:
		return Counts{Pending: 1}
	}
	return Counts{}
}

// occupies tells whether a task takes resources of an instance.
func occupies(t *ecs.Task) bool {
	return !t.Instance.IsZero() && isLive(t)
}

// task follows a change of a task; either may be nil.
func (d *derived) task(old, new *ecs.Task) {
	d.addresses.task(old, new)
	d.deployments.task(d.w, old, new)
	if old != nil && new != nil && sameForCounts(old, new) {
		return
	}
	if old != nil {
		d.addTask(old, -1)
	}
	if new != nil {
		d.addTask(new, 1)
	}
}

// sameForCounts tells that nothing counted differs: the commonest change, a report of a detail, costs nothing here.
func sameForCounts(a, b *ecs.Task) bool {
	return a.Cluster == b.Cluster && a.Instance == b.Instance && countedAs(a) == countedAs(b) && isLive(a) == isLive(b) &&
		isActive(a) == isActive(b) && a.Group == b.Group &&
		a.LaunchType == b.LaunchType && a.CapacityProvider == b.CapacityProvider &&
		a.Reserved.CPU == b.Reserved.CPU && a.Reserved.MemoryMiB == b.Reserved.MemoryMiB && a.Reserved.ENIs == b.Reserved.ENIs &&
		slices.Equal(a.Reserved.GPUs, b.Reserved.GPUs) && slices.Equal(a.HostPorts(), b.HostPorts())
}

// isLive tells whether a task has not stopped.
func isLive(t *ecs.Task) bool { return t.LastStatus < ecs.TaskStopped }

func (d *derived) addTask(t *ecs.Task, sign int32) {
	if !isLive(t) {
		return
	}
	n := countedAs(t)
	c := d.cluster(t.Cluster)
	c.Live += sign
	c.Running += sign * n.Running
	c.Pending += sign * n.Pending
	launched := c.of(t.LaunchType)
	launched.Running += sign * n.Running
	launched.Pending += sign * n.Pending
	d.dropEmpty(t.Cluster, c)
	if t.CapacityProvider != "" {
		d.addProvider(providerOf{t.Cluster, t.CapacityProvider}, sign)
	}
	if !occupies(t) {
		return
	}
	if isActive(t) {
		d.groups.add(d.hash.of(t.Cluster, t.Group), t.Instance, sign)
	}
	u := d.instance(t.Instance)
	u.tasks += sign
	u.Running += sign * n.Running
	u.Pending += sign * n.Pending
	u.CPU += sign * t.Reserved.CPU
	u.MemoryMiB += sign * t.Reserved.MemoryMiB
	u.ENIs += sign * t.Reserved.ENIs
	u.ports = addSorted(u.ports, t.HostPorts(), sign, comparePort)
	u.gpus = addSorted(u.gpus, t.Reserved.GPUs, sign, strings.Compare)
	if u.tasks == 0 {
		d.usage.set(t.Instance, nil)
	}
}

// addProvider counts a task of a capacity provider; providers without any are dropped.
func (d *derived) addProvider(of providerOf, sign int32) {
	n := sign
	if old := d.providers.get(of); old != nil {
		n += *old
	}
	if n == 0 {
		d.providers.set(of, nil)
		return
	}
	d.providers.set(of, &n)
}

// instanceRow follows a change of an instance; either may be nil.
func (d *derived) instanceRow(old, new *ecs.Instance) {
	if sameForPlacement(old, new) {
		return
	}
	add := func(i *ecs.Instance, n int32) {
		if i != nil && isRegistered(i) {
			c := d.cluster(i.Cluster)
			c.Instances += n
			c.roster = &rosterSlot{}
			if isDraining(i) {
				c.Draining += n
			}
			d.dropEmpty(i.Cluster, c)
		}
	}
	add(old, -1)
	add(new, 1)
}

func isDraining(i *ecs.Instance) bool { return i.Status == ecs.InstanceDraining }

func isRegistered(i *ecs.Instance) bool {
	return i.Status == ecs.InstanceActive || i.Status == ecs.InstanceDraining
}

func comparePort(a, b ecs.Port) int {
	if c := cmp.Compare(a.Number, b.Number); c != 0 || a.UDP == b.UDP {
		return c
	}
	if a.UDP {
		return 1
	}
	return -1
}

// addSorted gives a new sorted list with the items added, or one of each taken away.
func addSorted[T any](list, items []T, sign int32, compare func(a, b T) int) []T {
	if len(items) == 0 {
		return list
	}
	list = slices.Clone(list)
	for _, it := range items {
		at, found := slices.BinarySearchFunc(list, it, compare)
		if sign > 0 {
			list = slices.Insert(list, at, it)
		} else if found {
			list = slices.Delete(list, at, at+1)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return slices.Clip(list)
}
