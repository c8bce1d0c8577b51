package daemons

import (
	"cmp"
	"slices"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// turn is a step in the life of a daemon or of its deployment.
type turn int

const (
	noTurn turn = iota
	// turnGone: a daemon that is deleted has no tasks any more.
	turnGone
	// turnBegin: a deployment is looked at for the first time.
	turnBegin
	// turnBroken and turnAlarm: too many launches failed, or an alarm ends the deployment.
	turnBroken
	turnAlarm
	// turnBack: a deployment that failed goes back to the revision before.
	turnBack
	// turnReady and turnUnready: all instances have a healthy task of the revision, or have not any more.
	turnReady
	turnUnready
	// turnDone: they have for as long as the bake time.
	turnDone
	// turnTidied: other revisions have no tasks any more.
	turnTidied
)

// decision is what is to be done for a daemon now.
type decision struct {
	turn turn
	// places are the instances that are to get a task.
	places []*ecs.Instance
	stops  []stop
	// wake is when to decide again if nothing happens; 0 is never.
	wake ecs.Millis
}

type stop struct {
	task *ecs.Task
	why  string
	// failed says that the task counts against the deployment.
	failed bool
}

func (d *decision) nothing() bool {
	return d.turn == noTurn && len(d.places) == 0 && len(d.stops) == 0
}

// onInstance are a daemon's tasks on one instance: those that are to run, of the revision that is and of others, and whether one is ending.
type onInstance struct {
	target, old []*ecs.Task
	ending      bool
}

func (at *onInstance) healthy() bool {
	is := func(t *ecs.Task) bool { return t.IsHealthy() }
	return slices.ContainsFunc(at.target, is) || slices.ContainsFunc(at.old, is)
}

// decide says what is to be done for a daemon with its deployment.
func (c *Config) decide(now ecs.Millis, t *state.Tables, d *ecs.Daemon, dep *ecs.DaemonDeployment) decision {
	if d.Status == ecs.DaemonDeleteInProgress {
		return decideEnd(t, d, dep)
	}
	r := lifecycle.CurrentRevision(t, d)
	if r == nil || dep == nil {
		return decision{}
	}
	todo := decision{turn: c.early(t, d, dep)}
	if todo.turn != noTurn {
		return todo
	}
	tasks, instances := tasksOf(t, d, r), lifecycle.DaemonInstances(t, r)
	todo.keep(now, t, d, dep, tasks, instances)
	todo.leave(t, r, tasks, instances)
	todo.turn = todo.late(now, t, d, dep, tasks, instances)
	return todo
}

// decideEnd stops what a deleted daemon has.
func decideEnd(t *state.Tables, d *ecs.Daemon, dep *ecs.DaemonDeployment) decision {
	if dep != nil && dep.Status == ecs.ServiceDeploymentPending {
		return decision{turn: turnBegin}
	}
	var todo decision
	live := false
	for task := range t.Tasks.OfGroup(d.Cluster, ecs.DaemonGroup(d.Name)) {
		live = live || task.LastStatus < ecs.TaskStopped
		if task.IsWanted() {
			todo.stops = append(todo.stops, stop{task: task, why: "Daemon deleted."})
		}
	}
	if !live {
		todo.turn = turnGone
	}
	return todo
}

// early finds the step of a deployment that comes before anything is started or stopped.
func (c *Config) early(t *state.Tables, d *ecs.Daemon, dep *ecs.DaemonDeployment) turn {
	switch dep.Status {
	case ecs.ServiceDeploymentPending:
		return turnBegin
	case ecs.ServiceDeploymentStopRequested:
		return turnBack
	case ecs.ServiceDeploymentInProgress:
		if len(c.triggered(dep)) > 0 {
			return turnAlarm
		}
		if dep.FailureCount >= lifecycle.DaemonThreshold(t, d) {
			return turnBroken
		}
	case ecs.ServiceDeploymentRollbackInProgress:
		if dep.RollbackFailures >= lifecycle.DaemonThreshold(t, d) {
			return turnBroken
		}
	}
	return noTurn
}

// triggered are a deployment's alarms that are in ALARM and were not when it began.
func (c *Config) triggered(dep *ecs.DaemonDeployment) []string {
	if !dep.Configuration.Alarms {
		return nil
	}
	return slices.DeleteFunc(lifecycle.InAlarm(c.Alarm, dep.Configuration.AlarmNames), func(name string) bool { return slices.Contains(dep.IgnoredAlarms, name) })
}

func tasksOf(t *state.Tables, d *ecs.Daemon, r *ecs.DaemonRevision) map[ecs.InstanceID]*onInstance {
	out := map[ecs.InstanceID]*onInstance{}
	for task := range t.Tasks.OfGroup(d.Cluster, ecs.DaemonGroup(d.Name)) {
		if task.LastStatus >= ecs.TaskStopped {
			continue
		}
		at := out[task.Instance]
		if at == nil {
			at = &onInstance{}
			out[task.Instance] = at
		}
		switch {
		case !task.IsWanted():
			at.ending = true
		case task.StartedBy == r.StartedBy():
			at.target = append(at.target, task)
		default:
			at.old = append(at.old, task)
		}
	}
	return out
}

const replacedReason = "Daemon task replaced by a daemon deployment."

// keep has each instance have one task of the revision that is to run. Healthy tasks of others stop on as many instances at a time as the
// deployment may leave without one.
func (todo *decision) keep(now ecs.Millis, t *state.Tables, d *ecs.Daemon, dep *ecs.DaemonDeployment, tasks map[ecs.InstanceID]*onInstance, instances []*ecs.Instance) {
	spare := dep.Configuration.AtOnce(len(instances))
	for _, i := range instances {
		if at := tasks[i.ID]; at == nil || !at.healthy() {
			spare--
		}
	}
	for _, i := range instances {
		at := tasks[i.ID]
		if at == nil {
			at = &onInstance{}
		}
		good := 0
		for _, task := range at.target {
			switch {
			case task.HealthStatus == ecs.HealthUnhealthy:
				todo.stops = append(todo.stops, stop{task: task, why: lifecycle.UnhealthyReason, failed: true})
			case good > 0:
				todo.stops = append(todo.stops, stop{task: task, why: replacedReason})
			default:
				good++
			}
		}
		if d.Failed {
			continue
		}
		if len(at.old) > 0 && (!at.healthy() || spare > 0) {
			if at.healthy() {
				spare--
			}
			for _, task := range at.old {
				todo.stops = append(todo.stops, stop{task: task, why: replacedReason})
			}
		}
		if good > 0 || len(at.target) > 0 || len(at.old) > 0 || at.ending {
			// The old one's resources are needed.
			continue
		}
		if until := throttle(t, d, i.ID); now < until {
			loop.Sooner(&todo.wake, until)
		} else {
			todo.places = append(todo.places, i)
		}
	}
}

// leave stops the tasks on instances that the revision is not for, and those on DRAINING ones when nothing but daemons is left there.
func (todo *decision) leave(t *state.Tables, r *ecs.DaemonRevision, tasks map[ecs.InstanceID]*onInstance, instances []*ecs.Instance) {
	stays := map[ecs.InstanceID]bool{}
	for _, i := range instances {
		stays[i.ID] = true
	}
	for id, at := range tasks {
		if stays[id] {
			continue
		}
		if i := t.Instances.Get(id); i != nil && i.Status == ecs.InstanceDraining && slices.Contains(r.CapacityProviders, i.CapacityProvider) && hasOthers(t, id) {
			continue
		}
		for _, task := range slices.Concat(at.target, at.old) {
			todo.stops = append(todo.stops, stop{task: task, why: "Daemon task not needed on the container instance any more."})
		}
	}
}

// hasOthers tells whether an instance has tasks that are no daemon's.
func hasOthers(t *state.Tables, id ecs.InstanceID) bool {
	for task := range t.Tasks.OnInstance(id) {
		if _, daemon := ecs.DaemonOfGroup(task.Group); !daemon && task.LastStatus < ecs.TaskStopped {
			return true
		}
	}
	return false
}

// late finds the next step of a deployment that goes on.
func (todo *decision) late(now ecs.Millis, t *state.Tables, d *ecs.Daemon, dep *ecs.DaemonDeployment, tasks map[ecs.InstanceID]*onInstance, instances []*ecs.Instance) turn {
	if dep.Status.Ongoing() {
		ready := ready(tasks, instances)
		switch {
		case ready && dep.ReadyAt == 0:
			return turnReady
		case !ready && dep.ReadyAt != 0:
			return turnUnready
		case ready:
			baked := dep.ReadyAt
			if dep.Rollback == nil {
				baked += ecs.Millis(dep.Configuration.BakeTimeInMinutes) * 60_000
			}
			if now >= baked {
				return turnDone
			}
			loop.Sooner(&todo.wake, baked)
		}
	}
	if len(d.Revisions) > 1 && !hasOld(t, d) {
		return turnTidied
	}
	return noTurn
}

func ready(tasks map[ecs.InstanceID]*onInstance, instances []*ecs.Instance) bool {
	for _, i := range instances {
		at := tasks[i.ID]
		if at == nil || at.ending || len(at.old) > 0 || len(at.target) != 1 || !at.target[0].IsHealthy() {
			return false
		}
	}
	return true
}

func hasOld(t *state.Tables, d *ecs.Daemon) bool {
	for task := range t.Tasks.OfGroup(d.Cluster, ecs.DaemonGroup(d.Name)) {
		if task.LastStatus < ecs.TaskStopped && ecs.RevisionOfStarter(task.StartedBy) != d.Revisions[0] {
			return true
		}
	}
	return false
}

// throttle gives the moment before which no task of a daemon's revision is launched on an instance; 0 is none. It follows from the tasks
// that stopped there, which are kept for an hour.
func throttle(t *state.Tables, d *ecs.Daemon, id ecs.InstanceID) ecs.Millis {
	var ended []*ecs.Task
	for task := range t.Tasks.OnInstance(id) {
		if task.Group == ecs.DaemonGroup(d.Name) && ecs.RevisionOfStarter(task.StartedBy) == d.Revisions[0] && task.LastStatus >= ecs.TaskStopped {
			ended = append(ended, task)
		}
	}
	slices.SortFunc(ended, func(a, b *ecs.Task) int { return cmp.Compare(b.StoppedAt, a.StoppedAt) })
	failures := int32(0)
	for _, task := range ended {
		if !lifecycle.LaunchFailed(t, task) {
			break
		}
		failures++
	}
	if failures == 0 {
		return 0
	}
	return lifecycle.ThrottledUntil(failures, ended[0].StoppedAt)
}

// request is how a revision's task is placed.
func request(d *ecs.Daemon, r *ecs.DaemonRevision, def *ecs.TaskDefinition) placement.Request {
	out := placement.Request{Cluster: d.Cluster, Definition: def, Group: ecs.DaemonGroup(d.Name), LaunchType: ecs.LaunchEC2}
	if r.EnableExecuteCommand {
		out.Attributes = []ecs.Attribute{{Name: "ecs.capability.execute-command"}}
	}
	return out
}
