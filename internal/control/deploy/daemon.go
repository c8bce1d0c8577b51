package deploy

import (
	"slices"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// A DAEMON has one task on each instance that it is for, and as many desired tasks as there are such instances. A rollout stops an
// instance's old task first and starts the new one in its place, on as many instances at a time as the minimum allows.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service-options.html

// onInstance are a daemon's tasks on one instance: the primary's and older ones that are to run, and whether others are ending.
type onInstance struct {
	primary, old []*ecs.Task
	ending       bool
}

// daemonCount gives the instances that a daemon is for.
func daemonCount(t *state.Tables, s *ecs.Service, lead int) []*ecs.Instance {
	p := &s.Deployments[lead]
	def := t.Definitions.Get(p.Definition)
	if def == nil {
		return nil
	}
	all := placement.Eligible(t, request(s, p, def))
	if len(p.CapacityProviderStrategy) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(i *ecs.Instance) bool { return providerOf(p, i) == "" })
}

// decideDaemon fills in what is to be done for a DAEMON. The census is made to tell of tasks on the instances that it is for.
func (d *decision) decideDaemon(now ecs.Millis, t *state.Tables, s *ecs.Service, c *census, instances []*ecs.Instance) {
	tasks := daemonTasks(t, s, d.lead)
	spare := c.healthy - lowest(s)
	failed := s.Deployments[d.lead].RolloutState == ecs.RolloutFailed
	for _, i := range instances {
		at := tasks[i.ID]
		delete(tasks, i.ID)
		if at == nil {
			at = &onInstance{}
		}
		good := 0
		for _, task := range at.primary {
			switch {
			case task.HealthStatus == ecs.HealthUnhealthy:
				d.stops = append(d.stops, stop{task: task, why: lifecycle.UnhealthyReason, unhealthy: true})
			case good > 0:
				spare = d.replace(now, s, task, spare)
			default:
				good++
			}
		}
		if failed {
			continue
		}
		for _, task := range at.old {
			spare = d.replace(now, s, task, spare)
		}
		// The old one's resources are needed, and one task an instance is all that 100 percent allow.
		if good == 0 && len(at.old) == 0 && !at.ending {
			d.places = append(d.places, i)
		}
	}
	d.leaveOthers(t, s, tasks)
	if len(d.places) > 0 {
		if until := throttle(s); now < until {
			if !s.Progress.Throttled && d.turn == noTurn {
				d.turn = turnThrottled
			}
			loop.Sooner(&d.wake, until)
			d.places = nil
		}
	}
}

// leaveOthers stops the tasks on instances that the daemon is not for, and those on DRAINING ones once all else has left.
func (d *decision) leaveOthers(t *state.Tables, s *ecs.Service, tasks map[ecs.InstanceID]*onInstance) {
	for id, at := range tasks {
		if i := t.Instances.Get(id); i != nil && i.Status == ecs.InstanceDraining && hasOthers(t, id) {
			continue
		}
		for _, task := range append(at.primary, at.old...) {
			d.stops = append(d.stops, stop{task: task, why: scaling(s)})
		}
	}
}

// hasOthers tells whether an instance has tasks that are no daemon's: daemons' are the last to be stopped.
func hasOthers(t *state.Tables, id ecs.InstanceID) bool {
	for task := range t.Tasks.OnInstance(id) {
		if task.LastStatus >= ecs.TaskStopped {
			continue
		}
		if _, ok := ecs.DaemonOfGroup(task.Group); ok {
			continue
		}
		name, ok := ecs.ServiceOfGroup(task.Group)
		if !ok {
			return true
		}
		if s := t.Services.Get(task.Cluster + "/" + name); s == nil || s.SchedulingStrategy != ecs.SchedulingDaemon {
			return true
		}
	}
	return false
}

func daemonTasks(t *state.Tables, s *ecs.Service, lead int) map[ecs.InstanceID]*onInstance {
	out := map[ecs.InstanceID]*onInstance{}
	for i := range s.Deployments {
		for task := range t.Tasks.StartedBy(s.Cluster, s.Deployments[i].ID) {
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
			case i == lead:
				at.primary = append(at.primary, task)
			default:
				at.old = append(at.old, task)
			}
		}
	}
	return out
}

// startDaemon makes tasks on the instances that lack one.
func (w *work) startDaemon(p *ecs.Deployment, instances []*ecs.Instance) error {
	def := w.tx.Definitions.Get(p.Definition)
	if def == nil {
		w.cannotPlace("its task definition " + p.Definition.String() + " does not exist")
		return nil
	}
	r := request(w.s, p, def)
	r.Connected = w.cfg.Connected
	var made []ecs.TaskID
	var failures []placement.Failure
	for _, i := range instances {
		if len(made) == w.cfg.MaxTasks {
			break
		}
		at, reason := placement.On(&w.tx.Tables, r, i)
		if reason != "" {
			failures = append(failures, placement.Failure{Instance: i.ID, Reason: reason})
			continue
		}
		id, failure, err := w.create(p, def, providerOf(p, i), at)
		switch {
		case err != nil:
			return err
		case failure != nil:
			failures = append(failures, *failure)
		default:
			made = append(made, id)
		}
	}
	w.started(made)
	w.unplacedDaemon(p, failures)
	return nil
}

// unplacedDaemon tells of instances without room. An agent or a daemon that is not there yet is no news: it is waited for.
func (w *work) unplacedDaemon(p *ecs.Deployment, failures []placement.Failure) {
	for i, f := range failures {
		if f.Reason != placement.ReasonAgent && f.Reason != placement.ReasonDaemon {
			w.cannotPlace(unplacedReason(p, failures[i:]))
			return
		}
	}
	w.s.Progress.Unplaced, w.s.Progress.UnplacedAt = "", 0
}

// providerOf is the capacity provider that a daemon's task on an instance belongs to.
func providerOf(p *ecs.Deployment, i *ecs.Instance) string {
	for _, it := range p.CapacityProviderStrategy {
		if it.CapacityProvider == i.CapacityProvider {
			return i.CapacityProvider
		}
	}
	return ""
}
