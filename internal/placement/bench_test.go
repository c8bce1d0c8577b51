package placement_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
)

var (
	spreadZones     = ecs.PlacementStrategy{Type: "spread", Field: "attribute:ecs.availability-zone"}
	spreadInstances = ecs.PlacementStrategy{Type: "spread", Field: "instanceId"}
	binpackMemory   = ecs.PlacementStrategy{Type: "binpack", Field: "memory"}
	random          = ecs.PlacementStrategy{Type: "random"}
)

// fleet makes instances as agents register them, in three zones, each with some tasks of other groups and some with one of the
// service's.
func fleet(nodes int) (instances []*ecs.Instance, tasks []*ecs.Task) {
	for n := range nodes {
		i := instance(0, 64<<10, 256<<10)
		binary.BigEndian.PutUint32(i.ID[:], uint32(n+1)*uint32(1<<32/uint64(nodes+1)))
		for a := range 50 {
			i.Attributes = append(i.Attributes, ecs.Attribute{Name: fmt.Sprintf("com.amazonaws.ecs.capability.n%d", a)})
		}
		i.Attributes = append(i.Attributes, ecs.Attribute{Name: "ecs.availability-zone", Value: string(rune('a' + n%3))},
			ecs.Attribute{Name: "ecs.instance-type", Value: "t2.small"})
		instances = append(instances, i)
		for k := range 3 {
			group := "other"
			if k == 0 && n%2 == 0 {
				group = "service:s"
			}
			tasks = append(tasks, &ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", Instance: i.ID, Group: group, LastStatus: ecs.TaskRunning,
				DesiredStatus: ecs.TaskRunning, Reserved: ecs.Resources{CPU: int32(n % 7), MemoryMiB: int32(n % 11)}})
		}
	}
	return instances, tasks
}

func BenchmarkPlace(b *testing.B) {
	for _, nodes := range []int{100, 1000, 5000} {
		s := open(b)
		instances, tasks := fleet(nodes)
		if err := fill(s, instances, tasks); err != nil {
			b.Fatal(err)
		}
		d := definition(100, 100)
		d.RequiresAttributes = []ecs.Attribute{{Name: "com.amazonaws.ecs.capability.n20"}, {Name: "com.amazonaws.ecs.capability.n40"}}
		view := s.View()
		for _, c := range []struct {
			name    string
			request placement.Request
		}{
			{"default", placement.Request{}},
			{"random", placement.Request{Strategy: []ecs.PlacementStrategy{random}}},
			{"spread-zones-binpack", placement.Request{Strategy: []ecs.PlacementStrategy{spreadZones, binpackMemory}}},
			{"spread-zones-instances", placement.Request{Strategy: []ecs.PlacementStrategy{spreadZones, spreadInstances}}},
			{"spread-instances", placement.Request{Strategy: []ecs.PlacementStrategy{spreadInstances}}},
			{"binpack", placement.Request{Strategy: []ecs.PlacementStrategy{binpackMemory}}},
			{"memberOf", placement.Request{Constraints: []ecs.PlacementConstraint{{Type: "memberOf", Expression: "attribute:ecs.instance-type =~ t2.*"}}}},
			{"memberOf-anti-affinity", placement.Request{Constraints: []ecs.PlacementConstraint{{Type: "memberOf", Expression: "not(task:group == databases)"}}}},
			{"distinct", placement.Request{Constraints: []ecs.PlacementConstraint{{Type: "distinctInstance"}}}},
		} {
			for _, count := range []int{1, 10000} {
				r := c.request
				r.Cluster, r.Definition, r.Count, r.Group = "c", d, count, "service:s"
				b.Run(fmt.Sprintf("nodes=%d/tasks=%d/%s", nodes, count, c.name), func(b *testing.B) {
					b.ReportAllocs()
					placed := 0
					for b.Loop() {
						p, _ := placement.Place(&view.Tables, r)
						placed += len(p)
					}
					b.ReportMetric(float64(placed)/b.Elapsed().Seconds(), "placed/s")
				})
			}
		}
	}
}
