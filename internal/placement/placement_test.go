package placement_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// open makes an empty store that ends with the test.
func open(t testing.TB) *state.Store {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// fill replaces all instances and tasks.
func fill(s *state.Store, instances []*ecs.Instance, tasks []*ecs.Task) error {
	return s.Update(context.Background(), func(tx *state.Tx) error {
		for _, i := range slices.Collect(tx.Instances.All()) {
			tx.Instances.Delete(i.ID)
		}
		for _, t := range slices.Collect(tx.Tasks.All()) {
			tx.Tasks.Delete(t.ID)
		}
		for _, i := range instances {
			tx.Instances.Put(i)
		}
		for _, t := range tasks {
			tx.Tasks.Put(t)
		}
		return nil
	})
}

func instance(n byte, cpu, memory int32) *ecs.Instance {
	return &ecs.Instance{ID: ecs.InstanceID{15: n}, Cluster: "c", Status: ecs.InstanceActive, Registered: ecs.Resources{CPU: cpu, MemoryMiB: memory}}
}

func definition(cpu, memory int32, ports ...int32) *ecs.TaskDefinition {
	c := ecs.ContainerDefinition{Name: "main", Cpu: cpu, Memory: &memory}
	for _, p := range ports {
		c.PortMappings = append(c.PortMappings, ecs.PortMapping{ContainerPort: &p, HostPort: &p})
	}
	return &ecs.TaskDefinition{Family: "f", Revision: 1, ContainerDefinitions: []ecs.ContainerDefinition{c}}
}

func instancesOf(placed []placement.Placement) (out []ecs.InstanceID) {
	for _, p := range placed {
		out = append(out, p.Instance)
	}
	return out
}

func TestReasons(t *testing.T) {
	s := open(t)
	draining := instance(9, 1000, 1000)
	draining.Status = ecs.InstanceDraining
	taken := instance(5, 1000, 1000)
	taken.Registered.Ports = []ecs.Port{{Number: 80}}
	udp := instance(6, 1000, 1000)
	udp.Registered.Ports = []ecs.Port{{Number: 80, UDP: true}}
	away := instance(7, 1000, 1000)
	small, thin := instance(1, 10, 1000), instance(2, 1000, 10)
	for _, i := range []*ecs.Instance{draining, taken, udp, away, small, thin} {
		i.Attributes = []ecs.Attribute{{Name: "a", Value: "x"}}
	}
	plain := instance(3, 1000, 1000)
	if err := fill(s, []*ecs.Instance{draining, taken, udp, away, small, thin, plain}, nil); err != nil {
		t.Fatal(err)
	}
	d := definition(600, 500, 80)
	d.RequiresAttributes = []ecs.Attribute{{Name: "a", Value: "x"}}
	placed, failures := placement.Place(&s.View().Tables, placement.Request{Cluster: "c", Definition: d, Count: 2,
		Connected: func(id ecs.InstanceID) bool { return id != away.ID }})
	if !slices.Equal(instancesOf(placed), []ecs.InstanceID{udp.ID}) {
		t.Errorf("placed on %v", placed)
	}
	want := []placement.Failure{{small.ID, "RESOURCE:CPU"}, {thin.ID, "RESOURCE:MEMORY"}, {plain.ID, "ATTRIBUTE"}, {taken.ID, "RESOURCE:PORTS"},
		{udp.ID, "RESOURCE:CPU"}, {away.ID, "AGENT"}}
	if diff := cmp.Diff(want, failures); diff != "" {
		t.Error(diff)
	}
	r := placement.Request{Cluster: "c", Definition: d}
	for _, c := range []struct {
		i    *ecs.Instance
		want string
	}{{nil, "MISSING"}, {draining, "INACTIVE"}, {plain, "ATTRIBUTE"}, {udp, ""}} {
		if got := placement.Check(&s.View().Tables, r, c.i); got != c.want {
			t.Errorf("check %v: %q, want %q", c.i, got, c.want)
		}
	}
}

func TestSpreadsOverEqualInstances(t *testing.T) {
	s := open(t)
	var all []*ecs.Instance
	for n := range byte(5) {
		all = append(all, instance(n, 1000, 1000))
	}
	if err := fill(s, all, nil); err != nil {
		t.Fatal(err)
	}
	placed, _ := placement.Place(&s.View().Tables, placement.Request{Cluster: "c", Definition: definition(10, 10), Count: 12})
	count := map[ecs.InstanceID]int{}
	for _, id := range instancesOf(placed) {
		count[id]++
	}
	for id, n := range count {
		if n < 2 || n > 3 {
			t.Errorf("%v has %d of 12", id, n)
		}
	}
}

// TestProperties: never over-committed, no port twice, the same answer for the same question, one task at a time or at once
// uses up the same room, and a task is refused only where there is no room.
func TestProperties(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		var instances []*ecs.Instance
		for n := range rapid.IntRange(0, 8).Draw(t, "instances") {
			i := instance(byte(n), rapid.Int32Range(0, 400).Draw(t, "cpu"), rapid.Int32Range(0, 400).Draw(t, "memory"))
			if rapid.Bool().Draw(t, "port taken") {
				i.Registered.Ports = []ecs.Port{{Number: 80}}
			}
			instances = append(instances, i)
		}
		var tasks []*ecs.Task
		if len(instances) > 0 {
			for range rapid.IntRange(0, 4).Draw(t, "tasks") {
				on := rapid.SampledFrom(instances).Draw(t, "on")
				used := ecs.Resources{CPU: rapid.Int32Range(0, on.Registered.CPU/4+1).Draw(t, "used cpu"), MemoryMiB: rapid.Int32Range(0, on.Registered.MemoryMiB/4+1).Draw(t, "used memory")}
				tasks = append(tasks, &ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", Instance: on.ID, LastStatus: ecs.TaskRunning, DesiredStatus: ecs.TaskRunning, Reserved: used})
			}
		}
		if err := fill(s, instances, tasks); err != nil {
			t.Fatal(err)
		}
		var ports []int32
		if rapid.Bool().Draw(t, "wants port") {
			ports = []int32{80}
		}
		d := definition(rapid.Int32Range(0, 120).Draw(t, "need cpu"), rapid.Int32Range(4, 120).Draw(t, "need memory"), ports...)
		r := placement.Request{Cluster: "c", Definition: d, Count: rapid.IntRange(0, 20).Draw(t, "count")}
		view := s.View()
		placed, failures := placement.Place(&view.Tables, r)
		again, failuresAgain := placement.Place(&view.Tables, r)
		if !slices.Equal(instancesOf(placed), instancesOf(again)) || !slices.Equal(failures, failuresAgain) {
			t.Fatalf("two answers to one question: %v and %v", placed, again)
		}
		checkRoom(t, &view.Tables, instances, d, placed, r.Count, failures)
	})
}

// TestManyInstances: one task after the other over a large cluster is spread well, though each looks at some instances
// only, and the last place is found.
func TestManyInstances(t *testing.T) {
	s := open(t)
	var instances []*ecs.Instance
	for n := range 1000 {
		i := instance(0, 100, 1000)
		binary.BigEndian.PutUint32(i.ID[:], uint32(n+1)*4290000) // all over the space of ids
		instances = append(instances, i)
	}
	if err := fill(s, instances, nil); err != nil {
		t.Fatal(err)
	}
	d := definition(50, 10)
	err := s.Update(context.Background(), func(tx *state.Tx) error {
		r, most := placement.Request{Cluster: "c", Definition: d, Count: 1}, int32(0)
		for n := range 2000 {
			placed, failures := placement.Place(&tx.Tables, r)
			if len(placed) != 1 {
				return fmt.Errorf("task %d: %v", n, failures[0])
			}
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", Instance: placed[0].Instance, LastStatus: ecs.TaskPending, DesiredStatus: ecs.TaskRunning, Reserved: d.Needs(nil)})
			if n < 500 {
				most = max(most, tx.InstanceCounts(placed[0].Instance).Pending)
			}
		}
		if most > 1 {
			t.Errorf("with 500 tasks on 1000 instances one has %d", most)
		}
		if placed, failures := placement.Place(&tx.Tables, r); len(placed) != 0 || len(failures) != 1000 {
			t.Errorf("a full cluster placed %d, with %d failures", len(placed), len(failures))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkRoom(t *rapid.T, tables *state.Tables, instances []*ecs.Instance, d *ecs.TaskDefinition, placed []placement.Placement, count int, failures []placement.Failure) {
	needs := d.Needs(nil)
	counts := map[ecs.InstanceID]int32{}
	for _, id := range instancesOf(placed) {
		counts[id]++
	}
	full := 0
	for _, i := range instances {
		used, n := tables.InUse(i.ID), counts[i.ID]
		cpu, memory := i.Registered.CPU-used.CPU-n*needs.CPU, i.Registered.MemoryMiB-used.MemoryMiB-n*needs.MemoryMiB
		if n > 0 && (cpu < 0 || memory < 0) {
			t.Fatalf("%v is over-committed: %d cpu, %d memory", i.ID, cpu, memory)
		}
		noPort := len(needs.Ports) > 0 && (n > 0 || len(i.Registered.Ports) > 0)
		if len(needs.Ports) > 0 && (n > 1 || n > 0 && len(i.Registered.Ports) > 0) {
			t.Fatalf("%v has a port twice", i.ID)
		}
		if cpu < needs.CPU || memory < needs.MemoryMiB || noPort {
			full++
		}
	}
	switch {
	case len(placed) > count:
		t.Fatalf("%d placed of %d", len(placed), count)
	case len(placed) < count && full < len(instances):
		t.Fatalf("%d placed of %d, with room left", len(placed), count)
	case len(placed) == count && len(failures) > 0, len(placed) < count && len(failures) != len(instances):
		t.Fatalf("%d placed of %d with %d failures", len(placed), count, len(failures))
	}
}
