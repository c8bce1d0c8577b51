package state_test

import (
	"errors"
	"fmt"
	"maps"

	gocmp "github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// checkPlacement holds what placement reads of a cluster, whose registered instances these are, against the rows.
func (m *model) checkPlacement(t *state.Tables, cluster string, instances []*ecs.Instance) error {
	var errs []error
	for _, group := range someNames {
		want := map[ecs.InstanceID]int32{}
		for _, v := range m.tasks {
			if v.Cluster == cluster && v.Group == group && group != "" && !v.Instance.IsZero() && v.DesiredStatus == ecs.TaskRunning && v.LastStatus != ecs.TaskStopped {
				want[v.Instance]++
			}
		}
		got := maps.Collect(t.GroupCounts(cluster, group))
		if diff := gocmp.Diff(want, got); diff != "" {
			errs = append(errs, fmt.Errorf("counts of group %q: %s", group, diff))
		}
		for id, n := range want {
			if got := t.GroupCount(cluster, group, id); got != n {
				errs = append(errs, fmt.Errorf("count of group %q on %v: %d, want %d", group, id, got, n))
			}
		}
	}
	r := t.Roster(cluster)
	if len(r.Instances) != len(instances) {
		return errors.Join(append(errs, fmt.Errorf("%d in the roster of %q, want %d", len(r.Instances), cluster, len(instances)))...)
	}
	uses := map[int]state.Use{}
	t.EachInUse(r, func(at int, u *state.Use) { uses[at] = *u })
	for at, i := range instances {
		got := r.Instances[at]
		if got.ID != i.ID || got.Status != i.Status || gocmp.Diff(got.Registered, i.Registered) != "" {
			errs = append(errs, fmt.Errorf("roster of %q: %v, want %v", cluster, got, i))
		}
		in := t.InUse(i.ID)
		want := state.Use{Counts: t.InstanceCounts(i.ID), CPU: in.CPU, MemoryMiB: in.MemoryMiB, ENIs: in.ENIs}
		if uses[at] != want {
			errs = append(errs, fmt.Errorf("use of %v: %v, want %v", i.ID, uses[at], want))
		}
		if found, ok := r.Find(i.ID); !ok || found != at {
			errs = append(errs, fmt.Errorf("%v is found at %d", i.ID, found))
		}
	}
	return errors.Join(errs...)
}
