package deploy

import (
	"slices"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// A service of the deployment controller EXTERNAL has task sets in place of deployments. Another system makes, scales and deletes
// them; here each is kept at its part of the desired count, and told when it is stable.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html

// setDecision is what is to be done for one task set.
type setDecision struct {
	start int
	// gone says that it was deleted and has no tasks any more.
	gone      bool
	stability string
}

// externalDecision is what is to be done for an EXTERNAL service; sets are in the order of its task sets.
type externalDecision struct {
	decision
	sets []setDecision
}

func (d *externalDecision) idle(s *ecs.Service) bool {
	for i, set := range d.sets {
		if set.start > 0 || set.gone || set.stability != s.TaskSets[i].Stability {
			return false
		}
	}
	return d.turn == noTurn && len(d.stops) == 0
}

// decideExternal says what is to be done for a service that is not INACTIVE.
func decideExternal(now ecs.Millis, t *state.Tables, s *ecs.Service) externalDecision {
	d := externalDecision{sets: make([]setDecision, len(s.TaskSets))}
	steady, live := true, int32(0)
	for i := range s.TaskSets {
		d.decideSet(now, t, s, i)
		steady = steady && d.sets[i].stability == ecs.StabilitySteady
		live += t.DeploymentCounts(s.Cluster, s.TaskSets[i].ID).Live
	}
	switch {
	case s.Status == ecs.ServiceDraining:
		if live == 0 {
			d.turn = turnEnded
		}
	case d.throttleSets(now, s):
	case len(s.TaskSets) > 0 && steady && !s.Progress.Steady:
		d.turn = turnSteady
	case s.Progress.LaunchFailures > 0 && steady:
		if good := s.Progress.LastFailure + recovery; now < good {
			loop.Sooner(&d.wake, good)
		} else {
			d.turn = turnRecovered
		}
	}
	return d
}

// throttleSets holds launches back after many that failed, and tells whether that is a turn.
func (d *externalDecision) throttleSets(now ecs.Millis, s *ecs.Service) bool {
	until := throttle(s)
	if now >= until || !slices.ContainsFunc(d.sets, func(x setDecision) bool { return x.start > 0 }) {
		return false
	}
	for i := range d.sets {
		d.sets[i].start = 0
	}
	loop.Sooner(&d.wake, until)
	if s.Progress.Throttled {
		return false
	}
	d.turn = turnThrottled
	return true
}

func (d *externalDecision) decideSet(now ecs.Millis, t *state.Tables, s *ecs.Service, at int) {
	set, out := &s.TaskSets[at], &d.sets[at]
	n := t.DeploymentCounts(s.Cluster, set.ID)
	want := set.Computed(s.DesiredCount)
	if set.Status == ecs.TaskSetDraining || s.Status == ecs.ServiceDraining {
		want, out.gone = 0, n.Live == 0
	}
	c := census{primary: n}
	if t.ClusterCounts(s.Cluster).Draining > 0 && n.Wanted > 0 {
		c.findMoving(t, s.Cluster, set.ID)
	}
	good := n.Wanted - n.Unhealthy - c.draining
	out.start = int(max(0, want-good))
	if excess := good - want; excess > 0 {
		for _, task := range d.victims(now, t, s.Cluster, &set.Deployment, &c, int(excess), want > 0, false) {
			d.stops = append(d.stops, stop{task: task, why: setScaling(set)})
		}
	}
	// What is unhealthy or must move goes once there are others in its place.
	if n.Healthy-c.drainingHealthy >= want && (n.Unhealthy > 0 || c.draining > 0) {
		d.stopReplaced(now, t, s, set, &c)
	}
	out.stability = ecs.StabilityStabilizing
	if n.Healthy == want && n.Running == want && n.Live == want && c.draining == 0 {
		out.stability = ecs.StabilitySteady
	}
}

func (d *externalDecision) stopReplaced(now ecs.Millis, t *state.Tables, s *ecs.Service, set *ecs.TaskSet, c *census) {
	for task := range t.Tasks.StartedBy(s.Cluster, set.ID) {
		if !task.IsWanted() {
			continue
		}
		switch {
		case task.HealthStatus == ecs.HealthUnhealthy:
			d.stops = append(d.stops, stop{task: task, why: lifecycle.UnhealthyReason, unhealthy: true})
		case slices.Contains(c.moving, task) && task.Protected(now):
			loop.Sooner(&d.wake, task.ProtectedUntil)
		case slices.Contains(c.moving, task):
			d.stops = append(d.stops, stop{task: task, why: setScaling(set)})
		}
	}
}

// setScaling is why ECS stops tasks of a task set that it has too many of.
func setScaling(set *ecs.TaskSet) string {
	return "Scaling activity initiated by (taskSet " + set.ID + ")"
}

// carryExternal is carryOut for EXTERNAL services.
func (k *controller) carryExternal(tx *state.Tx, now ecs.Millis, old *ecs.Service) error {
	d := decideExternal(now, &tx.Tables, old)
	s := *old
	s.TaskSets = slices.Clone(old.TaskSets)
	w := &work{tx: tx, now: now, s: &s, cfg: &k.Config}
	left := k.MaxTasks
	for i := range s.TaskSets {
		set := &s.TaskSets[i]
		if stability := d.sets[i].stability; stability != set.Stability {
			set.Stability, set.StabilityAt = stability, now
		}
		n := min(left, d.sets[i].start)
		if n == 0 {
			continue
		}
		left -= n
		w.set = set.ID
		if err := w.start(&set.Deployment, n); err != nil {
			return err
		}
		set.Unplaced = s.Progress.Unplaced
	}
	w.set = ""
	if len(d.stops) > 0 {
		w.stop(d.stops)
	}
	w.take(&d.decision)
	if s.Status != ecs.ServiceInactive {
		kept := s.TaskSets[:0]
		for i := range s.TaskSets {
			if !d.sets[i].gone || s.TaskSets[i].Status != ecs.TaskSetDraining {
				kept = append(kept, s.TaskSets[i])
			}
		}
		s.TaskSets = kept
	}
	if !d.idle(old) {
		if !same(old, &s) || !slices.EqualFunc(old.TaskSets, s.TaskSets, func(a, b ecs.TaskSet) bool {
			return a.ID == b.ID && a.Stability == b.Stability && a.Unplaced == b.Unplaced
		}) {
			tx.Services.Put(&s)
		}
	}
	return nil
}

// planExternal is plan for EXTERNAL services.
func (k *controller) planExternal(now ecs.Millis, t *state.Tables, s *ecs.Service) ([]loop.Change, ecs.Millis) {
	d, key := decideExternal(now, t, s), s.Key()
	if s.Progress.Unplaced == "" {
		delete(k.unplaced[s.Cluster], key)
	} else if wait := k.waiting(now, s.Cluster, key); wait != 0 && d.turn == noTurn && len(d.stops) == 0 {
		loop.Sooner(&d.wake, wait)
		return nil, d.wake
	}
	if d.idle(s) {
		return nil, d.wake
	}
	return []loop.Change{func(tx *state.Tx) error { return k.carryOut(tx, now, key) }}, d.wake
}
