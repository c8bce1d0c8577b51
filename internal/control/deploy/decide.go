package deploy

import (
	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// decision is what is to be done for a service now.
type decision struct {
	// start is how many tasks of the deployment that leads are to be started, places where those of a DAEMON are.
	start  int
	places []*ecs.Instance
	// lead is the deployment that has tasks launched.
	lead int
	// desired is how many tasks the service is to have.
	desired, wasDesired int32
	// stops are the tasks to be stopped, and why.
	stops []stop
	// turn is a change of the service's own.
	turn turn
	// stage is the one that turnStage comes to, reset the start of the task of turnReset, and full says that all tasks are healthy.
	stage string
	reset ecs.Millis
	full  bool
	// moving is how many tasks turnMove moves, zones how many there are in each.
	moving int32
	zones  map[string]int32
	// wake is when to decide again if nothing happens; 0 is never.
	wake ecs.Millis
}

type stop struct {
	task *ecs.Task
	why  string
	// unhealthy counts against the deployment.
	unhealthy bool
}

// turn is a step in a service's or a deployment's life.
type turn int

const (
	noTurn turn = iota
	// turnEnded: a deleted service has no tasks any more.
	turnEnded
	// turnFailed: the circuit breaker ends the primary deployment.
	turnFailed
	// turnStopped and turnRollback: a user asked for the end of the deployment.
	turnStopped
	turnRollback
	// turnAlarm, turnHookFailed and turnHookExpired: an alarm or a hook ends the deployment, or no longer stands in its way.
	turnAlarm
	turnHookFailed
	turnHookExpired
	// turnBlocked: the percentages let nothing be started or stopped.
	turnBlocked
	// turnMove and turnMoved: tasks are to be moved to other zones, and have been.
	turnMove
	turnMoved
	// turnReset: a task that is healthy sets the count of failures back.
	turnReset
	// turnStage: the deployment comes to its next stage.
	turnStage
	// turnReady: all of the primary's tasks are healthy, and its bake time begins.
	turnReady
	// turnUnready: they are not any more, and it begins anew.
	turnUnready
	// turnCompleted: the primary deployment is all there is.
	turnCompleted
	// turnSteady: the service is as it shall be.
	turnSteady
	// turnTidied: an old deployment has no tasks any more.
	turnTidied
	// turnThrottled: launches are slowed down from now on.
	turnThrottled
	// turnRecovered: launches have been good for long enough.
	turnRecovered
)

func (d *decision) nothing() bool {
	return d.start == 0 && len(d.places) == 0 && len(d.stops) == 0 && d.turn == noTurn && d.desired == d.wasDesired
}

// census is what there is of a service's tasks.
type census struct {
	primary state.DeploymentCounts
	// wanted, healthy and live are those of all deployments.
	wanted, healthy, live int32
	// draining are the primary's wanted tasks on DRAINING instances that are not found unhealthy, drainingHealthy those of them that are healthy.
	draining, drainingHealthy int32
	moving                    []*ecs.Task
}

func count(t *state.Tables, s *ecs.Service, lead int) census {
	var c census
	for i := range s.Deployments {
		n := t.DeploymentCounts(s.Cluster, s.Deployments[i].ID)
		c.wanted += n.Wanted
		c.healthy += n.Healthy
		c.live += n.Live
		if i == lead {
			c.primary = n
		}
	}
	if t.ClusterCounts(s.Cluster).Draining > 0 && c.primary.Wanted > 0 {
		c.findMoving(t, s.Cluster, s.Deployments[lead].ID)
	}
	return c
}

// findMoving finds the tasks of a deployment that must leave their instances.
func (c *census) findMoving(t *state.Tables, cluster, deployment string) {
	for task := range t.Tasks.StartedBy(cluster, deployment) {
		if !task.IsWanted() || task.HealthStatus == ecs.HealthUnhealthy {
			continue
		}
		if i := t.Instances.Get(task.Instance); i == nil || i.Status != ecs.InstanceDraining {
			continue
		}
		c.moving = append(c.moving, task)
		c.draining++
		if task.IsHealthy() {
			c.drainingHealthy++
		}
	}
}

// Bounds of a rollout: ECS rounds the minimum up and the maximum down.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
func lowest(s *ecs.Service) int32 {
	return int32((int64(s.DesiredCount)*int64(s.DeploymentConfiguration.MinimumHealthyPercent) + 99) / 100)
}

func highest(s *ecs.Service) int32 {
	return int32(int64(s.DesiredCount) * int64(s.DeploymentConfiguration.MaximumPercent) / 100)
}

// decide says what is to be done for a service that is not INACTIVE, with its service deployment, which may be nil.
func (k *Config) decide(now ecs.Millis, t *state.Tables, s *ecs.Service, dep *ecs.ServiceDeployment) decision {
	if s.Status == ecs.ServiceDraining {
		c := count(t, s, 0)
		return k.decideEnd(t, s, &c)
	}
	d := decision{desired: s.DesiredCount, wasDesired: s.DesiredCount}
	if d.turn = asked(dep); d.turn != noTurn {
		return d
	}
	if k.alarmed(s, dep) {
		d.turn = turnAlarm
		return d
	}
	waits, turn := d.hooked(now, dep)
	if turn != noTurn {
		d.turn = turn
		return d
	}
	held := holdsBack(dep, waits)
	if held {
		if d.lead = leading(s); d.lead == 0 {
			return d
		}
	}
	d.keep(now, t, s, dep, held, waits)
	return d
}

// keep decides for a service that no one stops. held says that the primary must not have tasks yet, waits that it must not come to its
// next stage.
func (d *decision) keep(now ecs.Millis, t *state.Tables, s *ecs.Service, dep *ecs.ServiceDeployment, held, waits bool) {
	c := count(t, s, d.lead)
	var instances []*ecs.Instance
	daemon := s.SchedulingStrategy == ecs.SchedulingDaemon
	if daemon {
		instances = daemonCount(t, s, d.lead)
		counted := *s
		counted.DesiredCount = int32(len(instances))
		d.desired, s = counted.DesiredCount, &counted
		c.primary.Wanted -= c.draining
	}
	if !held {
		switch d.turn = d.turnOf(now, t, s, dep, &c, waits); d.turn {
		case turnFailed, turnStage, turnReset, turnMove, turnMoved:
			return
		}
	}
	if daemon {
		d.decideDaemon(now, t, s, &c, instances)
		return
	}
	d.decideStarts(now, s, &c)
	d.decideStops(now, t, s, &c)
	if d.turn == noTurn && !held && blocked(s, &c) && d.start == 0 && len(d.stops) == 0 && !s.Progress.Blocked {
		d.turn = turnBlocked
	}
}

// blocked tells whether a deployment waits for a change of its percentages: with one task, say, 50 percent are one, rounded up, and
// 150 percent are one, rounded down.
func blocked(s *ecs.Service, c *census) bool {
	return s.Deployments[0].RolloutState == ecs.RolloutInProgress && c.primary.Wanted < s.DesiredCount && c.wanted >= highest(s) && c.healthy <= lowest(s) &&
		lowest(s) >= highest(s)
}

// decideEnd stops what a deleted service has.
func (k *Config) decideEnd(t *state.Tables, s *ecs.Service, c *census) decision {
	var d decision
	if c.live == 0 {
		d.turn = turnEnded
		return d
	}
	for i := range s.Deployments {
		d.stopAll(t, s, s.Deployments[i].ID, mostUpdates*k.MaxTasks)
	}
	return d
}

// stopAll stops a deployment's tasks, as far as there are not most to stop: the rest is found again.
func (d *decision) stopAll(t *state.Tables, s *ecs.Service, deployment string, most int) {
	if t.DeploymentCounts(s.Cluster, deployment).Wanted == 0 {
		return
	}
	for task := range t.Tasks.StartedBy(s.Cluster, deployment) {
		if len(d.stops) >= most {
			return
		}
		if task.IsWanted() {
			d.stops = append(d.stops, stop{task: task, why: scaling(s)})
		}
	}
}

// scaling is why ECS stops tasks that it has too many of.
func scaling(s *ecs.Service) string {
	return "Scaling activity initiated by (deployment " + s.Deployments[0].ID + ")"
}

// turnOf finds the one next step of the service itself, or when there may be one. waits says that a hook is in the way of the next stage.
func (d *decision) turnOf(now ecs.Millis, t *state.Tables, s *ecs.Service, dep *ecs.ServiceDeployment, c *census, waits bool) turn {
	p := &s.Deployments[0]
	d.full = c.primary.Healthy-c.drainingHealthy == s.DesiredCount && c.primary.Wanted == s.DesiredCount
	alone := c.live == c.primary.Live
	if p.RolloutState == ecs.RolloutInProgress {
		if t := d.rollTurn(now, t, s, dep, c, waits); t != noTurn {
			return t
		}
	}
	if len(s.Deployments) > 1 && alone {
		return turnTidied
	}
	if d.full && alone && c.live == c.primary.Wanted && p.RolloutState == ecs.RolloutCompleted && !s.Progress.Steady {
		return turnSteady
	}
	if t := d.rebalance(now, t, s, c, d.full && alone && s.Progress.Steady && len(s.Deployments) == 1); t != noTurn {
		return t
	}
	if s.Progress.LaunchFailures > 0 && d.full {
		if good := s.Progress.LastFailure + recovery; now < good {
			loop.Sooner(&d.wake, good)
		} else {
			return turnRecovered
		}
	}
	return noTurn
}

// rollTurn finds the next step of a deployment that goes on.
func (d *decision) rollTurn(now ecs.Millis, t *state.Tables, s *ecs.Service, dep *ecs.ServiceDeployment, c *census, waits bool) turn {
	p, cfg := &s.Deployments[0], &s.DeploymentConfiguration
	if b := cfg.CircuitBreaker; b != nil && b.Enable && p.FailedTasks >= b.Threshold(s.DesiredCount) {
		return turnFailed
	}
	if d.resets(now, t, s, c) {
		return turnReset
	}
	ready, alone := d.full, c.live == c.primary.Live
	if e := cfg.EarlySuccess; e != nil && e.Enable {
		ready = ready || c.primary.Healthy-c.drainingHealthy >= share100(s.DesiredCount, e.HealthyPercent)
		alone = alone || e.Cleanup == ecs.CleanupDeferred
	}
	switch {
	case ready && p.ReadyAt == 0:
		return turnReady
	case !ready && p.ReadyAt != 0:
		return turnUnready
	}
	from := p.ReadyAt
	if dep != nil && dep.Stage == ecs.StageBakeTime {
		from = max(from, dep.StageAt)
	}
	baked := from + ecs.Millis(cfg.BakeTimeInMinutes)*60_000
	if !waits {
		if d.stage = nextStage(s, dep, ready, ready && baked <= now); d.stage != "" {
			return turnStage
		}
	}
	switch {
	case !ready || waits:
	case now < baked:
		loop.Sooner(&d.wake, baked)
	case alone:
		return turnCompleted
	}
	return noTurn
}

// share100 is a percentage of a number, rounded up.
func share100(n, percent int32) int32 { return int32((int64(n)*int64(percent) + 99) / 100) }

// resets tells whether a task has become healthy since the count of failures was last set back. One without health checks is
// healthy once it has run for as long as a launch must to be good.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentCircuitBreaker.html
func (d *decision) resets(now ecs.Millis, t *state.Tables, s *ecs.Service, c *census) bool {
	p := &s.Deployments[0]
	if b := s.DeploymentConfiguration.CircuitBreaker; p.FailedTasks == 0 || c.primary.Healthy == 0 || b != nil && b.KeepCount {
		return false
	}
	d.reset = p.ResetAt
	for task := range t.Tasks.StartedBy(s.Cluster, p.ID) {
		if !task.IsHealthy() || task.StartedAt <= p.ResetAt {
			continue
		}
		if good := task.StartedAt + lifecycle.ShortRun; task.HealthStatus != ecs.HealthHealthy && now < good {
			loop.Sooner(&d.wake, good)
			continue
		}
		d.reset = max(d.reset, task.StartedAt)
	}
	return d.reset > p.ResetAt
}

// recovery is how long launches must be good for the count of failures to begin anew.
const recovery ecs.Millis = 60_000

// throttle gives the moment before which no task is launched; 0 is none. Failures count in rounds of the desired count.
func throttle(s *ecs.Service) ecs.Millis {
	return lifecycle.ThrottledUntil(s.Progress.LaunchFailures/max(1, s.DesiredCount), s.Progress.LastFailure)
}

// decideStarts fills up to the desired count, as far as the maximum allows.
func (d *decision) decideStarts(now ecs.Millis, s *ecs.Service, c *census) {
	if s.Deployments[d.lead].RolloutState == ecs.RolloutFailed {
		return
	}
	desired := s.DesiredCount
	if d.lead == 0 && moves(s) {
		desired += s.Progress.Rebalancing
	}
	missing := desired - (c.primary.Wanted - c.primary.Unhealthy - c.draining)
	n := min(missing, highest(s)-c.wanted)
	if n <= 0 {
		return
	}
	if until := throttle(s); now < until {
		if !s.Progress.Throttled && d.turn == noTurn {
			d.turn = turnThrottled
		}
		loop.Sooner(&d.wake, until)
		return
	}
	d.start = int(n)
}

// decideStops finds the tasks that are too many: of the primary what is above the desired count, and then those that are to be
// replaced, as far as the minimum allows.
func (d *decision) decideStops(now ecs.Millis, t *state.Tables, s *ecs.Service, c *census) {
	good := c.primary.Wanted - c.primary.Unhealthy - c.draining
	spare := c.healthy - lowest(s)
	excess := good - s.DesiredCount
	if d.lead == 0 && moves(s) && d.turn != turnMoved {
		excess -= s.Progress.Rebalancing
	}
	if excess > 0 {
		for _, task := range d.victims(now, t, s.Cluster, &s.Deployments[d.lead], c, int(excess), true, s.ZoneRebalancing == zonesEnabled) {
			d.stops = append(d.stops, stop{task: task, why: scaling(s)})
			if task.IsHealthy() {
				spare--
			}
		}
	}
	if c.primary.Unhealthy > 0 {
		d.replaceUnhealthy(t, s, c)
	}
	for _, task := range c.moving {
		spare = d.replace(now, s, task, spare)
	}
	if s.Deployments[d.lead].RolloutState == ecs.RolloutFailed {
		return
	}
	for i := range s.Deployments {
		if i == d.lead || t.DeploymentCounts(s.Cluster, s.Deployments[i].ID).Wanted == 0 {
			continue
		}
		for task := range t.Tasks.StartedBy(s.Cluster, s.Deployments[i].ID) {
			if task.IsWanted() {
				spare = d.replace(now, s, task, spare)
			}
		}
	}
}

// replace stops a task that has, or will have, another in its place: one that serves only where there is another to spare.
func (d *decision) replace(now ecs.Millis, s *ecs.Service, task *ecs.Task, spare int32) int32 {
	if task.Protected(now) {
		loop.Sooner(&d.wake, task.ProtectedUntil)
		return spare
	}
	if task.IsHealthy() {
		if spare <= 0 {
			return spare
		}
		spare--
	}
	d.stops = append(d.stops, stop{task: task, why: scaling(s)})
	return spare
}

// replaceUnhealthy stops the primary's unhealthy tasks once their replacements are there, or at once where there is no room for
// those beside them.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/update-service.html
func (d *decision) replaceUnhealthy(t *state.Tables, s *ecs.Service, c *census) {
	covered := c.primary.Healthy >= s.DesiredCount
	if !covered && c.wanted < highest(s) {
		return
	}
	for task := range t.Tasks.StartedBy(s.Cluster, s.Deployments[d.lead].ID) {
		if task.IsWanted() && task.HealthStatus == ecs.HealthUnhealthy {
			d.stops = append(d.stops, stop{task: task, why: lifecycle.UnhealthyReason, unhealthy: true})
		}
	}
}
