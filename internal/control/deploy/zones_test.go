package deploy

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
)

func (w *world) zone(n byte, zone string) {
	w.changeInstance(ecs.InstanceID{1, 0, n}, func(i *ecs.Instance) { i.Attributes = []ecs.Attribute{{Name: ecs.AttributeZone, Value: zone}} })
}

// byZone counts a service's running tasks by zone.
func (w *world) byZone() map[string]int {
	out := map[string]int{}
	v := w.store.View()
	for task := range v.Tasks.All() {
		if task.LastStatus == ecs.TaskRunning && task.DesiredStatus == ecs.TaskRunning {
			zone, _ := v.Instances.Get(task.Instance).Attribute(ecs.AttributeZone)
			out[zone]++
		}
	}
	return out
}

// TestRebalances moves tasks to a zone that comes, and never has too few.
func TestRebalances(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		for n := range byte(3) {
			w.zone(n, "a")
		}
		w.service("s", "web", 6, func(s *ecs.Service) {
			s.ZoneRebalancing = zonesEnabled
			s.DeploymentConfiguration.MaximumPercent = 150
		})
		pass(time.Minute)
		w.zone(1, "b")
		w.zone(2, "c")
		for i := range 200 {
			if i == 30 {
				w.restart()
			}
			pass(100 * time.Millisecond)
			if n := w.store.View().DeploymentCounts("c", "ecs-svc/first"); n.Healthy < 6 || n.Wanted > 9 {
				t.Fatalf("%+v", n)
			}
		}
		pass(time.Hour)
		if got := fmt.Sprint(w.byZone()); got != "map[a:2 b:2 c:2]" {
			t.Errorf("%s, %q", got, w.events("s"))
		}
		if s := w.get("s"); !s.Progress.Steady || s.Progress.Rebalancing != 0 {
			t.Errorf("%+v", s.Progress)
		}
	})
}

// TestRebalancesWithoutRoom leaves all as it is where the other zone is full.
func TestRebalancesWithoutRoom(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.zone(0, "a")
		w.zone(1, "a")
		w.service("s", "web", 4, func(s *ecs.Service) { s.ZoneRebalancing = zonesEnabled })
		pass(time.Minute)
		w.changeInstance(ecs.InstanceID{1, 0, 1}, func(i *ecs.Instance) {
			i.Attributes, i.Registered.CPU = []ecs.Attribute{{Name: ecs.AttributeZone, Value: "b"}}, 0
		})
		before := w.store.View().Tasks.Len()
		pass(time.Hour)
		if n := w.store.View().Tasks.Len(); n > before+2 || !w.get("s").Progress.Steady && w.get("s").Progress.Rebalancing != 0 {
			t.Errorf("%d tasks, %d before, %+v", n, before, w.get("s").Progress)
		}
	})
}

// TestToMove brings any distribution to one with a difference of one at most, and moves no task of such a one.
func TestToMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Int32Range(0, 20), 2, 5).Draw(t, "counts")
		zones := map[string]int32{}
		low, high := counts[0], counts[0]
		for i, n := range counts {
			zones[fmt.Sprint(i)] = n
			low, high = min(low, n), max(high, n)
		}
		n := toMove(zones)
		if (high-low <= 1) != (n == 0) {
			t.Fatalf("%v: %d to move", counts, n)
		}
		for range n {
			from, to := "0", "0"
			for zone := range zones {
				if zones[zone] > zones[from] {
					from = zone
				}
				if zones[zone] < zones[to] {
					to = zone
				}
			}
			zones[from]--
			zones[to]++
		}
		if toMove(zones) != 0 {
			t.Fatalf("%v after %d moves: %v", counts, n, zones)
		}
	})
}
