package placement_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/placement/query"
	"roadstead.dev/roadstead/internal/state"
)

const zone = "ecs.availability-zone"

var someGroups = []string{"service:a", "service:b", "family:f"}

func someInstance(t *rapid.T, n byte) *ecs.Instance {
	i := instance(n, rapid.Int32Range(0, 300).Draw(t, "cpu"), rapid.Int32Range(0, 300).Draw(t, "memory"))
	for name, values := range map[string][]string{zone: {"a", "b", "c", ""}, "rack": {"1", "2", ""}} {
		if v := rapid.SampledFrom(values).Draw(t, name); v != "" {
			i.Attributes = append(i.Attributes, ecs.Attribute{Name: name, Value: v})
		}
	}
	i.Native = true
	i.Registered.ENIs = rapid.Int32Range(0, 3).Draw(t, "enis")
	for g := range rapid.IntRange(0, 3).Draw(t, "gpus") {
		i.Registered.GPUs = append(i.Registered.GPUs, fmt.Sprintf("g%d", g))
	}
	i.Status = rapid.SampledFrom([]ecs.InstanceStatus{ecs.InstanceActive, ecs.InstanceActive, ecs.InstanceActive, ecs.InstanceDraining}).Draw(t, "status")
	return i
}

func someTasks(t *rapid.T, instances []*ecs.Instance) (tasks []*ecs.Task) {
	if len(instances) == 0 {
		return nil
	}
	for n := range rapid.IntRange(0, 12).Draw(t, "tasks") {
		task := &ecs.Task{ID: ecs.TaskID{15: byte(n)}, Cluster: "c", Instance: rapid.SampledFrom(instances).Draw(t, "on").ID,
			Group: rapid.SampledFrom(someGroups).Draw(t, "group"), CreatedAt: ecs.Millis(rapid.IntRange(0, 3).Draw(t, "made")),
			LastStatus: ecs.TaskRunning, DesiredStatus: rapid.SampledFrom([]ecs.TaskStatus{ecs.TaskRunning, ecs.TaskRunning, ecs.TaskStopped}).Draw(t, "desired"),
			Reserved: ecs.Resources{CPU: rapid.Int32Range(0, 40).Draw(t, "used cpu"), MemoryMiB: rapid.Int32Range(0, 40).Draw(t, "used memory")}}
		tasks = append(tasks, task)
	}
	return tasks
}

func someStrategy(t *rapid.T, random bool) []ecs.PlacementStrategy {
	racks := ecs.PlacementStrategy{Type: "spread", Field: "attribute:rack"}
	all := []ecs.PlacementStrategy{spreadZones, spreadZones, racks, racks, spreadInstances, binpackMemory, {Type: "binpack", Field: "CPU"}, {Type: "spread", Field: "host"}}
	if random {
		all = append(all, ecs.PlacementStrategy{Type: "random"})
	}
	return rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(t, "strategy")
}

func someRequest(t *rapid.T, random bool) placement.Request {
	var ports []int32
	if rapid.IntRange(0, 4).Draw(t, "port") == 0 {
		ports = []int32{80}
	}
	d := definition(rapid.Int32Range(0, 100).Draw(t, "need cpu"), rapid.Int32Range(4, 100).Draw(t, "need memory"), ports...)
	if rapid.IntRange(0, 3).Draw(t, "vpc") == 0 {
		d.NetworkMode = ecs.NetworkAwsvpc
	}
	if g := rapid.IntRange(-6, 2).Draw(t, "need gpus"); g > 0 {
		d.ContainerDefinitions[0].ResourceRequirements = []ecs.ResourceRequirement{{Type: "GPU", Value: fmt.Sprint(g)}}
	}
	if rapid.IntRange(0, 4).Draw(t, "definition constraint") == 0 {
		d.PlacementConstraints = []ecs.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: "attribute:rack exists"}}
	}
	r := placement.Request{Cluster: "c", Definition: d, Count: rapid.IntRange(0, 20).Draw(t, "count"), Group: rapid.SampledFrom(someGroups).Draw(t, "its group"), Strategy: someStrategy(t, random)}
	r.Constraints = rapid.SliceOfN(rapid.SampledFrom([]ecs.PlacementConstraint{
		{Type: "distinctInstance"}, {Type: "memberOf", Expression: "attribute:" + zone + " in [a, b]"},
		{Type: "memberOf", Expression: "not(task:group == service:b)"}, {Type: "memberOf", Expression: "pendingTasksCount < 2 or task:group =~ family:.*"},
		{Type: "memberOf", Expression: "runningTasksCount >= 1"},
	}), 0, 2).Draw(t, "constraints")
	return r
}

// TestStrategies: tasks placed at once go where they would go one after another, and each goes to one of those instances that
// can take it that a plain reading of the strategy prefers.
func TestStrategies(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		var instances []*ecs.Instance
		for n := range rapid.IntRange(0, 9).Draw(t, "instances") {
			instances = append(instances, someInstance(t, byte(n+1)))
		}
		if err := fill(s, instances, someTasks(t, instances)); err != nil {
			t.Fatal(err)
		}
		r := someRequest(t, false)
		view := s.View()
		placed, failures := placement.Place(&view.Tables, r)
		again, failuresAgain := placement.Place(&view.Tables, r)
		if diff := gocmp.Diff(placed, again) + gocmp.Diff(failures, failuresAgain); diff != "" {
			t.Fatalf("two answers to one question: %s", diff)
		}
		if err := s.Update(context.Background(), func(tx *state.Tx) error {
			one := r
			one.Count = 1
			for k := range r.Count {
				next, _ := placement.Place(&tx.Tables, one)
				if k >= len(placed) {
					if len(next) > 0 {
						return fmt.Errorf("%d placed of %d, but %v can take one more", len(placed), r.Count, next)
					}
					break
				}
				if diff := gocmp.Diff(placed[k:k+1], next); diff != "" {
					return fmt.Errorf("task %d of %d goes elsewhere by itself: %s", k, r.Count, diff)
				}
				if err := checkChoice(&tx.Tables, one, instances, next[0]); err != nil {
					return fmt.Errorf("task %d of %d: %w", k, r.Count, err)
				}
				reserved := r.Definition.Needs(nil)
				reserved.GPUs = next[0].GPUs
				tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", Group: r.Group, Instance: next[0].Instance, LastStatus: ecs.TaskPending,
					DesiredStatus: ecs.TaskRunning, Reserved: reserved})
			}
			for _, f := range failures {
				if f.Reason == "" || f.Reason != placement.Check(&tx.Tables, one, tx.Instances.Get(f.Instance)) {
					return fmt.Errorf("%v: %s", f, placement.Check(&tx.Tables, one, tx.Instances.Get(f.Instance)))
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// checkChoice holds a place for one task against what the instance has, the constraints and the strategy.
func checkChoice(t *state.Tables, r placement.Request, instances []*ecs.Instance, p placement.Placement) error {
	i, in, needs := t.Instances.Get(p.Instance), t.InUse(p.Instance), r.Definition.Needs(nil)
	_, gpus := r.Definition.NeedsGPUs(nil)
	switch {
	case i.Status != ecs.InstanceActive:
		return fmt.Errorf("%v is not ACTIVE", i.ID)
	case in.CPU+needs.CPU > i.Registered.CPU, in.MemoryMiB+needs.MemoryMiB > i.Registered.MemoryMiB:
		return fmt.Errorf("%v is over-committed", i.ID)
	case i.Registered.ENIs > 0 && in.ENIs+needs.ENIs > i.Registered.ENIs:
		return fmt.Errorf("%v has too few interfaces", i.ID)
	case len(needs.Ports) > 0 && slices.Contains(in.Ports, needs.Ports[0]):
		return fmt.Errorf("%v has a port twice", i.ID)
	case len(p.GPUs) != gpus:
		return fmt.Errorf("%d GPUs for %d", len(p.GPUs), gpus)
	}
	for k, g := range p.GPUs {
		if !slices.Contains(i.Registered.GPUs, g) || slices.Contains(in.GPUs, g) || slices.Contains(p.GPUs[:k], g) {
			return fmt.Errorf("%v: GPU %s is not there or taken", i.ID, g)
		}
	}
	if err := checkConstraints(t, r, i); err != nil {
		return err
	}
	best := keys(t, r, i)
	for _, other := range instances {
		if placement.Check(t, r, other) == "" && slices.Compare(keys(t, r, other), best) < 0 {
			return fmt.Errorf("%v, %v, was chosen before %v, %v", i.ID, best, other.ID, keys(t, r, other))
		}
	}
	return nil
}

func checkConstraints(t *state.Tables, r placement.Request, i *ecs.Instance) error {
	constraints := slices.Clone(r.Constraints)
	for _, c := range r.Definition.PlacementConstraints {
		constraints = append(constraints, ecs.PlacementConstraint{Type: c.Type, Expression: c.Expression})
	}
	for _, c := range constraints {
		if c.Type == "distinctInstance" {
			if countGroup(t, r.Group, func(id ecs.InstanceID) bool { return id == i.ID }) > 0 {
				return fmt.Errorf("%v has a task of the group", i.ID)
			}
			continue
		}
		e, err := query.Parse(c.Expression)
		if err != nil {
			return err
		}
		if !placement.Filter(t, "c", e, nil)(i) {
			return fmt.Errorf("%v does not meet %s", i.ID, e)
		}
	}
	return nil
}

// countGroup counts the tasks of a group that are to run on some instances.
func countGroup(t *state.Tables, group string, on func(ecs.InstanceID) bool) (n int) {
	for task := range t.Tasks.OfGroup("c", group) {
		if task.DesiredStatus == ecs.TaskRunning && task.LastStatus < ecs.TaskStopped && on(task.Instance) {
			n++
		}
	}
	return n
}

// keys is what a strategy orders by, read plainly.
func keys(t *state.Tables, r placement.Request, i *ecs.Instance) (out []int) {
	var names []string
	for _, s := range r.Strategy {
		in := t.InUse(i.ID)
		switch s.Field {
		case "memory":
			out = append(out, int(i.Registered.MemoryMiB-in.MemoryMiB))
		case "CPU":
			out = append(out, int(i.Registered.CPU-in.CPU))
		case "instanceId", "host":
			out = append(out, countGroup(t, r.Group, func(id ecs.InstanceID) bool { return id == i.ID }))
		default:
			names = append(names, s.Field[len("attribute:"):])
			out = append(out, countGroup(t, r.Group, func(id ecs.InstanceID) bool { return sameValues(t.Instances.Get(id), i, names) }))
		}
	}
	return out
}

func sameValues(a, b *ecs.Instance, names []string) bool {
	for _, n := range names {
		v, has := a.Attribute(n)
		w, had := b.Attribute(n)
		if v != w || has != had {
			return false
		}
	}
	return true
}

// TestRandom: as many as fit are placed at random too, always the same, and over-commit nothing.
func TestRandom(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		var instances []*ecs.Instance
		for n := range rapid.IntRange(0, 9).Draw(t, "instances") {
			instances = append(instances, someInstance(t, byte(n+1)))
		}
		if err := fill(s, instances, someTasks(t, instances)); err != nil {
			t.Fatal(err)
		}
		r := someRequest(t, true)
		r.Constraints, r.Definition.PlacementConstraints, r.Definition.ContainerDefinitions[0].PortMappings = nil, nil, nil
		view := s.View()
		placed, _ := placement.Place(&view.Tables, r)
		again, _ := placement.Place(&view.Tables, r)
		if diff := gocmp.Diff(placed, again); diff != "" {
			t.Fatal(diff)
		}
		r.Strategy = nil
		if plain, _ := placement.Place(&view.Tables, r); len(plain) != len(placed) {
			t.Fatalf("%d placed, %d without a strategy", len(placed), len(plain))
		}
	})
}

func TestRandomIsEven(t *testing.T) {
	s := open(t)
	var instances []*ecs.Instance
	for n := range byte(10) {
		instances = append(instances, instance(n, 100000, 100000))
	}
	if err := fill(s, instances, nil); err != nil {
		t.Fatal(err)
	}
	placed, _ := placement.Place(&s.View().Tables, placement.Request{Cluster: "c", Definition: definition(1, 4), Count: 10000, Strategy: []ecs.PlacementStrategy{random}})
	count := map[ecs.InstanceID]int{}
	for _, p := range placed {
		count[p.Instance]++
	}
	for id, n := range count {
		if n < 850 || n > 1150 { // five standard deviations
			t.Errorf("%v has %d of 10000", id, n)
		}
	}
}

// TestSpreadAndPack: where all instances are equal and have room, zones differ by one at most, and packing uses as few
// instances as a full pack would.
func TestSpreadAndPack(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		zones, per, room := rapid.IntRange(1, 4).Draw(t, "zones"), rapid.IntRange(1, 5).Draw(t, "per zone"), rapid.IntRange(1, 5).Draw(t, "room")
		var instances []*ecs.Instance
		for n := range zones * per {
			i := instance(byte(n+1), 1000, int32(room*100))
			i.Attributes = []ecs.Attribute{{Name: zone, Value: fmt.Sprint(n % zones)}}
			instances = append(instances, i)
		}
		if err := fill(s, instances, nil); err != nil {
			t.Fatal(err)
		}
		count := rapid.IntRange(0, zones*per*room).Draw(t, "count")
		placed, _ := placement.Place(&s.View().Tables, placement.Request{Cluster: "c", Definition: definition(1, 100), Count: count, Strategy: []ecs.PlacementStrategy{spreadZones, binpackMemory}})
		inZone, on := make([]int, zones), map[ecs.InstanceID]bool{}
		for _, p := range placed {
			inZone[(int(p.Instance[15])-1)%zones]++
			on[p.Instance] = true
		}
		fewest := 0
		for _, n := range inZone {
			fewest += (n + room - 1) / room
		}
		if len(placed) != count || slices.Max(inZone)-slices.Min(inZone) > 1 || len(on) != fewest {
			t.Fatalf("%d placed of %d: %v in zones, on %d instances where %d are enough", len(placed), count, inZone, len(on), fewest)
		}
	})
}

// TestChooseToStop: tasks chosen at once are those chosen one after another, of the fullest zone each, and each is chosen once.
func TestChooseToStop(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		var instances []*ecs.Instance
		for n := range rapid.IntRange(1, 6).Draw(t, "instances") {
			instances = append(instances, someInstance(t, byte(n+1)))
		}
		if err := fill(s, instances, someTasks(t, instances)); err != nil {
			t.Fatal(err)
		}
		strategy := someStrategy(t, false)
		n := rapid.IntRange(0, 8).Draw(t, "n")
		if err := s.Update(context.Background(), func(tx *state.Tx) error {
			chosen := placement.ChooseToStop(&tx.Tables, active(&tx.Tables), strategy, n)
			if want := min(n, len(active(&tx.Tables))); len(chosen) != want {
				return fmt.Errorf("%d chosen, not %d", len(chosen), want)
			}
			for _, task := range chosen {
				next := placement.ChooseToStop(&tx.Tables, active(&tx.Tables), strategy, 1)
				if next[0] != task {
					return fmt.Errorf("%v is chosen by itself, %v with others", next[0], task)
				}
				if err := checkStop(&tx.Tables, task, strategy); err != nil {
					return err
				}
				stopped := *task
				stopped.LastStatus, stopped.DesiredStatus = ecs.TaskStopped, ecs.TaskStopped
				tx.Tasks.Put(&stopped)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func active(t *state.Tables) []*ecs.Task {
	return slices.Collect(func(yield func(*ecs.Task) bool) {
		for task := range t.Tasks.OfGroup("c", "service:a") {
			if task.DesiredStatus == ecs.TaskRunning && !yield(task) {
				return
			}
		}
	})
}

// checkStop holds a choice against the first of the strategy.
func checkStop(t *state.Tables, task *ecs.Task, strategy []ecs.PlacementStrategy) error {
	first := spreadZones
	if slices.ContainsFunc(strategy, func(s ecs.PlacementStrategy) bool { return s.Type == "binpack" }) {
		first = strategy[0]
	}
	key := func(v *ecs.Task) int {
		r := placement.Request{Group: task.Group, Strategy: []ecs.PlacementStrategy{first}}
		k := keys(t, r, t.Instances.Get(v.Instance))[0]
		switch first.Field {
		case "memory":
			return k + int(v.Reserved.MemoryMiB)
		case "CPU":
			return k + int(v.Reserved.CPU)
		}
		return k
	}
	// Of one instance the newest goes first, so that only those are compared.
	for _, other := range active(t) {
		newer := slices.ContainsFunc(active(t), func(v *ecs.Task) bool {
			return v.Instance == other.Instance && cmp.Or(cmp.Compare(other.CreatedAt, v.CreatedAt), slices.Compare(v.ID[:], other.ID[:])) < 0
		})
		if !newer && key(other) > key(task) {
			return fmt.Errorf("%v stops, with %d, before %v, with %d", task.ID, key(task), other.ID, key(other))
		}
	}
	return nil
}

// TestNestedSpread: zones stay even though racks within them are spread by too.
func TestNestedSpread(t *testing.T) {
	s := open(t)
	var instances []*ecs.Instance
	for n := range byte(12) {
		i := instance(n+1, 1000, 1000)
		i.Attributes = []ecs.Attribute{{Name: zone, Value: string('a' + rune(n/4))}, {Name: "rack", Value: string('0' + rune(n))}}
		instances = append(instances, i)
	}
	if err := fill(s, instances, nil); err != nil {
		t.Fatal(err)
	}
	placed, _ := placement.Place(&s.View().Tables, placement.Request{Cluster: "c", Definition: definition(1, 4), Count: 24,
		Strategy: []ecs.PlacementStrategy{spreadZones, {Type: "spread", Field: "attribute:rack"}}})
	inZone, on := [3]int{}, [13]int{}
	for k, p := range placed {
		inZone[(p.Instance[15]-1)/4]++
		on[p.Instance[15]]++
		if lowest := min(inZone[0], inZone[1], inZone[2]); max(inZone[0], inZone[1], inZone[2]) > lowest+1 {
			t.Fatalf("after %d tasks zones have %v", k+1, inZone)
		}
	}
	for n, c := range on[1:] {
		if c != 2 {
			t.Errorf("rack %d has %d of 24", n, c)
		}
	}
}
