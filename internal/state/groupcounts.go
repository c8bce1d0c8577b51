package state

import (
	"iter"

	"github.com/tidwall/btree"

	"roadstead.dev/roadstead/internal/ecs"
)

// groupCount is how many tasks of a group are to run on an instance. Placement asks for all of a group's, in the order of
// instances, for each task that it spreads, so they are counted as tasks change.
type groupCount struct {
	entry
	n int32
}

// groupCounts has no entry that is 0. Its groups are hashes; unlike those of the indexes they are not looked at again:
// a collision of two groups of one cluster, once in 2^64 and by nobody's choice, would make a spread a little uneven.
type groupCounts struct {
	entries *btree.BTreeG[groupCount]
}

func newGroupCounts() groupCounts {
	less := func(a, b groupCount) bool { return lessEntry(a.entry, b.entry) }
	return groupCounts{entries: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: indexDegree})}
}

func (g groupCounts) copy() groupCounts { return groupCounts{entries: g.entries.Copy()} }

func (g groupCounts) add(group uint64, id ecs.InstanceID, n int32) {
	key := groupCount{entry: entry{group, id}}
	found, _ := g.entries.Get(key)
	if key.n = found.n + n; key.n == 0 {
		g.entries.Delete(key)
		return
	}
	g.entries.Set(key)
}

// isActive tells whether a task counts as one of its group on its instance: ECS looks at the desired status.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html
func isActive(t *ecs.Task) bool {
	return occupies(t) && t.Group != "" && t.DesiredStatus == ecs.TaskRunning
}

// GroupCounts iterates by id over the instances that have tasks of a cluster's group that are to run, with their number.
func (t *Tables) GroupCounts(cluster, group string) iter.Seq2[ecs.InstanceID, int32] {
	hash := t.Tasks.hash.of(cluster, group)
	return func(yield func(ecs.InstanceID, int32) bool) {
		if group == "" {
			return
		}
		t.derived.groups.entries.Ascend(groupCount{entry: entry{group: hash}}, func(g groupCount) bool {
			return g.group == hash && yield(g.id, g.n)
		})
	}
}

// GroupCount is how many tasks of a cluster's group are to run on an instance.
func (t *Tables) GroupCount(cluster, group string, id ecs.InstanceID) int32 {
	if group == "" {
		return 0
	}
	g, _ := t.derived.groups.entries.Get(groupCount{entry: entry{t.Tasks.hash.of(cluster, group), id}})
	return g.n
}
