package deploy

import (
	"fmt"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// Zone rebalancing moves tasks of a service at rest from the zones with the most to those with the fewest: it starts the new ones
// first, as far as the maximum allows, and stops as many when all are healthy. How many are being moved is Progress.Rebalancing.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html

// rebalanceEvery is how long a move may take, and how long after it the next is looked for.
const rebalanceEvery ecs.Millis = 10 * 60_000

const zonesEnabled = "ENABLED"

// byZone is what is chosen by while tasks are moved.
var byZone = ecs.PlacementStrategy{Type: ecs.StrategySpread, Field: "attribute:" + ecs.AttributeZone}

// moves tells whether tasks of a service are being moved.
func moves(s *ecs.Service) bool {
	return s.Progress.Rebalancing > 0 && s.Deployments[0].RolloutState == ecs.RolloutCompleted
}

// rebalance finds whether a service at rest has tasks to be moved, or its moves are done; steady says that it is at rest.
func (d *decision) rebalance(now ecs.Millis, t *state.Tables, s *ecs.Service, c *census, steady bool) turn {
	if s.ZoneRebalancing != zonesEnabled || s.SchedulingStrategy != ecs.SchedulingReplica {
		return noTurn
	}
	if moves(s) {
		if c.primary.Healthy >= s.DesiredCount+s.Progress.Rebalancing || now >= s.Progress.RebalanceAt {
			return turnMoved
		}
		loop.Sooner(&d.wake, s.Progress.RebalanceAt)
		return noTurn
	}
	room := highest(s) - s.DesiredCount
	if !steady || room <= 0 {
		return noTurn
	}
	zones := zoneCounts(t, s)
	n := toMove(zones)
	if n == 0 {
		return noTurn
	}
	if now < s.Progress.RebalanceAt {
		loop.Sooner(&d.wake, s.Progress.RebalanceAt)
		return noTurn
	}
	d.moving, d.zones = min(n, room), zones
	return turnMove
}

// zoneCounts are the numbers of a service's tasks by zone, of the zones in which they may be.
func zoneCounts(t *state.Tables, s *ecs.Service) map[string]int32 {
	p := &s.Deployments[0]
	def := t.Definitions.Get(p.Definition)
	if def == nil {
		return nil
	}
	out, zoneOf := map[string]int32{}, map[ecs.InstanceID]string{}
	for _, i := range placement.Eligible(t, request(s, p, def)) {
		if zone, ok := i.Attribute(ecs.AttributeZone); ok {
			zoneOf[i.ID], out[zone] = zone, 0
		}
	}
	for task := range t.Tasks.StartedBy(s.Cluster, p.ID) {
		if zone, ok := zoneOf[task.Instance]; ok && task.IsWanted() {
			out[zone]++
		}
	}
	return out
}

// toMove is how many tasks must go to other zones for none to have more than one more than another.
func toMove(zones map[string]int32) int32 {
	if len(zones) < 2 {
		return 0
	}
	total := int32(0)
	for _, n := range zones {
		total += n
	}
	least, above := total/int32(len(zones)), int32(0)
	short := int32(0)
	for _, n := range zones {
		above += max(0, n-least-1)
		short += max(0, least-n)
	}
	return max(above, short)
}

// move begins a move and tells of it.
func (w *work) move(d *decision) {
	p := &w.s.Progress
	p.Rebalancing, p.RebalanceAt, p.Steady = d.moving, w.now+rebalanceEvery, false
	w.event("is not AZ balanced with " + zoneText(d.zones) + ". AZ Rebalancing in progress.")
}

// moved ends a move: the tasks that are too many now are stopped where there are the most.
func (w *work) moved() { w.s.Progress.Rebalancing = 0 }

func zoneText(zones map[string]int32) string {
	var out []string
	for zone, n := range zones {
		out = append(out, fmt.Sprintf("%d tasks in %s", n, zone))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// toZones restricts a placement to the zones with the fewest tasks.
func toZones(t *state.Tables, s *ecs.Service, r *placement.Request) {
	zones := zoneCounts(t, s)
	least := int32(0)
	total := int32(0)
	for _, n := range zones {
		total += n
	}
	if len(zones) > 0 {
		least = total / int32(len(zones))
	}
	var under []string
	for zone, n := range zones {
		if n < least || n == least && total > least*int32(len(zones)) {
			under = append(under, zone)
		}
	}
	slices.Sort(under)
	r.Constraints = append(slices.Clone(r.Constraints), ecs.PlacementConstraint{
		Type: ecs.ConstraintMemberOf, Expression: "attribute:" + ecs.AttributeZone + " in [" + strings.Join(under, ", ") + "]",
	})
	r.Strategy = append([]ecs.PlacementStrategy{byZone}, r.Strategy...)
}

// startMoved starts the tasks of a move. Where there is no room for them the move is off.
func (w *work) startMoved(p *ecs.Deployment, n int) error {
	def := w.tx.Definitions.Get(p.Definition)
	if def == nil {
		w.s.Progress.Rebalancing = 0
		return nil
	}
	r := request(w.s, p, def)
	toZones(&w.tx.Tables, w.s, &r)
	r.Count, r.Connected = n, w.cfg.Connected
	placed, _ := placement.Place(&w.tx.Tables, r)
	var made []ecs.TaskID
	for _, at := range placed {
		id, failure, err := w.create(p, def, "", at)
		if err != nil {
			return err
		}
		if failure == nil {
			made = append(made, id)
		}
	}
	if len(made) > 0 {
		w.event(fmt.Sprintf("has started %d tasks to AZ Rebalance: %s.", len(made), names(made)))
	}
	if len(made) < n {
		w.s.Progress.Rebalancing = max(0, w.s.Progress.Rebalancing-int32(n-len(made)))
	}
	return nil
}
