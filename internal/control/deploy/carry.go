package deploy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// work is a service on its way through one update.
type work struct {
	tx  *state.Tx
	now ecs.Millis
	s   *ecs.Service
	cfg *Config
	// deployment is the service's deployment, or nil; changed is it, once record has been asked for it.
	deployment, changed *ecs.ServiceDeployment
	// set is the id of the task set that is at work, for events.
	set string
	// groupName is group's.
	groupName string
}

// carryOut does what is to be done for a service, up to MaxTasks tasks of it; the rest is found again.
func (k *controller) carryOut(tx *state.Tx, now ecs.Millis, key string) error {
	old := tx.Services.Get(key)
	if old == nil || old.Status == ecs.ServiceInactive {
		return nil
	}
	if old.External() {
		return k.carryExternal(tx, now, old)
	}
	s := *old
	s.Deployments = slices.Clone(old.Deployments)
	w := &work{tx: tx, now: now, s: &s, cfg: &k.Config, deployment: current(&tx.Tables, old)}
	d := k.decide(now, &tx.Tables, &s, w.deployment)
	for range stages {
		// Stages in which nothing is to be done pass at once.
		if d.turn != turnStage && d.turn != turnReady && d.turn != turnReset && d.turn != turnMoved {
			break
		}
		w.take(&d)
		d = k.decide(now, &tx.Tables, &s, w.deployment)
	}
	w.take(&d)
	if len(d.stops) > 0 {
		w.stop(d.stops)
	}
	if s.SchedulingStrategy == ecs.SchedulingDaemon && d.desired != s.DesiredCount && s.Status == ecs.ServiceActive {
		s.DesiredCount, s.Progress.Steady = d.desired, false
	}
	if len(d.places) > 0 {
		if err := w.startDaemon(&s.Deployments[d.lead], d.places); err != nil {
			return err
		}
	}
	if n := min(d.start, k.MaxTasks); n > 0 && d.lead == 0 && moves(&s) {
		if err := w.startMoved(&s.Deployments[0], n); err != nil {
			return err
		}
	} else if n > 0 {
		if err := w.start(&s.Deployments[d.lead], n); err != nil {
			return err
		}
	}
	if !same(old, &s) {
		tx.Services.Put(&s)
	}
	if w.changed != nil && w.deployment != nil {
		tx.ServiceDeployments.Put(w.changed)
	}
	return nil
}

// same compares what a work changes.
func same(a, b *ecs.Service) bool {
	return a.Status == b.Status && a.DesiredCount == b.DesiredCount && a.Progress == b.Progress && a.LastEvent == b.LastEvent && a.Completed == b.Completed &&
		slices.EqualFunc(a.Deployments, b.Deployments, func(x, y ecs.Deployment) bool {
			return x.ID == y.ID && x.Status == y.Status && x.RolloutState == y.RolloutState && x.RolloutStateReason == y.RolloutStateReason &&
				x.FailedTasks == y.FailedTasks && x.ResetAt == y.ResetAt && x.ReadyAt == y.ReadyAt && x.UpdatedAt == y.UpdatedAt
		})
}

// take takes the service's own next step.
func (w *work) take(d *decision) {
	s := w.s
	switch d.turn {
	case turnStopped, turnRollback:
		w.stopAsked(d.turn)
	case turnStage:
		w.enter(d.stage)
	case turnEnded:
		s.Status, s.Deployments, s.Progress = ecs.ServiceInactive, nil, ecs.Progress{}
		s.TaskSets = nil
	case turnTidied:
		s.Deployments = s.Deployments[:1]
	case turnReady:
		s.Deployments[0].ReadyAt = w.now
	case turnReset:
		s.Deployments[0].FailedTasks, s.Deployments[0].ResetAt = 0, d.reset
	case turnMove:
		w.move(d)
	case turnMoved:
		w.moved()
	case turnBlocked:
		s.Progress.Blocked = true
		w.event("was unable to stop or start tasks during a deployment because of the service deployment configuration. " +
			"Update the minimumHealthyPercent or maximumPercent value and try again.")
	case turnAlarm:
		w.alarm()
	case turnHookFailed:
		w.failFor("Lifecycle hook failed.")
	case turnHookExpired:
		w.expire()
	case turnUnready:
		s.Deployments[0].ReadyAt = 0
	case turnCompleted:
		w.complete(d.full)
	case turnSteady:
		s.Progress.Steady = true
		w.action(ecs.ActionSteadyState, "", "has reached a steady state.")
	case turnFailed:
		w.fail()
	case turnThrottled:
		s.Progress.Throttled = true
		w.action(ecs.ActionStartImpaired, "", "is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
	case turnRecovered:
		s.Progress.LaunchFailures, s.Progress.Throttled = 0, false
	}
}

func (w *work) complete(steady bool) {
	p := &w.s.Deployments[0]
	p.RolloutState, p.RolloutStateReason = ecs.RolloutCompleted, "ECS deployment "+p.ID+" completed."
	p.UpdatedAt = w.now
	done := *p
	w.s.Completed = &done
	if w.deployment != nil && w.deployment.Status == ecs.ServiceDeploymentRollbackInProgress {
		w.finish(ecs.ServiceDeploymentRollbackSuccessful, w.deployment.StatusReason)
	} else {
		w.finish(ecs.ServiceDeploymentSuccessful, "")
	}
	w.event("(deployment " + p.ID + ") deployment completed.")
	if steady {
		w.s.Progress.Steady = true
		w.action(ecs.ActionSteadyState, "", "has reached a steady state.")
	}
}

// fail ends a deployment, and with a rollback makes the last one that completed the primary again.
func (w *work) fail() {
	s := w.s
	p := &s.Deployments[0]
	w.giveUp(breakerReason)
	w.event("(deployment " + p.ID + ") deployment failed: tasks failed to start.")
	if w.deployment != nil && w.deployment.Status == ecs.ServiceDeploymentRollbackInProgress {
		w.finish(ecs.ServiceDeploymentRollbackFailed, breakerReason)
		return
	}
	if w.deployment != nil {
		w.record().BreakerTriggered = true
	}
	if s.DeploymentConfiguration.CircuitBreaker.Rollback && w.rollBack("ECS deployment circuit breaker") {
		return
	}
	w.finish(ecs.ServiceDeploymentStopped, breakerReason)
}

func (w *work) stop(stops []stop) {
	stops = stops[:min(len(stops), w.cfg.MaxTasks)]
	running := make([]ecs.TaskID, 0, len(stops))
	for _, v := range stops {
		if v.task.LastStatus == ecs.TaskRunning {
			running = append(running, v.task.ID)
		}
		lifecycle.Stop(w.tx, w.now, v.task, ecs.StopServiceSchedulerStopped, v.why)
		if v.unhealthy {
			w.event(fmt.Sprintf("(task %s) failed container health checks.", v.task.ID))
			if p := w.s.Primary(); p != nil && p.RolloutState == ecs.RolloutInProgress {
				p.FailedTasks++
				p.UpdatedAt = w.now
			}
		}
	}
	w.s.Progress.Steady = false
	if len(running) > 0 {
		w.action(ecs.ActionTasksStopped, "", fmt.Sprintf("has stopped %d running tasks: %s.", len(running), names(running)))
	}
}

// names lists tasks as events do; many are cut short.
func names(ids []ecs.TaskID) string {
	const most = 10
	var b strings.Builder
	for i, id := range ids[:min(len(ids), most)] {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("(task " + id.String() + ")")
	}
	if len(ids) > most {
		fmt.Fprintf(&b, " and %d more", len(ids)-most)
	}
	return b.String()
}

// start places and makes tasks of a deployment.
func (w *work) start(p *ecs.Deployment, n int) error {
	def := w.tx.Definitions.Get(p.Definition)
	if def == nil {
		w.cannotPlace("its task definition " + p.Definition.String() + " does not exist")
		return nil
	}
	var made []ecs.TaskID
	var failures []placement.Failure
	missing := n
	for _, share := range w.shares(p, n) {
		ids, failed, err := w.startShare(p, def, share)
		if err != nil {
			return err
		}
		made, failures = append(made, ids...), append(failures, failed...)
		missing -= len(ids)
	}
	w.started(made)
	if missing > 0 {
		w.cannotPlace(unplacedReason(p, failures))
	} else {
		w.s.Progress.Unplaced, w.s.Progress.UnplacedAt = "", 0
	}
	return nil
}

// attributes are what the tasks need of an instance beside what their definition says.
func attributes(p *ecs.Deployment) []ecs.Attribute {
	if !p.EnableExecuteCommand {
		return nil
	}
	return []ecs.Attribute{{Name: "ecs.capability.execute-command"}}
}

// share is a number of tasks on one capacity provider, or on none.
type share struct {
	provider string
	count    int
}

// shares divides n tasks so that all of the deployment's are divided as the strategy says.
func (w *work) shares(p *ecs.Deployment, n int) []share {
	if len(p.CapacityProviderStrategy) == 0 {
		return []share{{count: n}}
	}
	have := map[string]int{}
	total := n
	for task := range w.tx.Tasks.StartedBy(w.s.Cluster, p.ID) {
		if task.IsWanted() {
			have[task.CapacityProvider]++
			total++
		}
	}
	var out []share
	for i, want := range ecs.Distribute(p.CapacityProviderStrategy, total) {
		name := p.CapacityProviderStrategy[i].CapacityProvider
		if count := min(n, want-have[name]); count > 0 {
			out = append(out, share{name, count})
			n -= count
		}
	}
	return out
}

// request is how the tasks of a service's deployment are placed.
func request(s *ecs.Service, p *ecs.Deployment, def *ecs.TaskDefinition) placement.Request {
	r := placement.Request{
		Cluster: s.Cluster, Definition: def, Group: ecs.ServiceGroup(s.Name), Constraints: p.PlacementConstraints, Strategy: p.PlacementStrategy,
		LaunchType: p.LaunchType, Attributes: attributes(p),
	}
	if p.NetworkConfiguration != nil && p.NetworkConfiguration.AwsvpcConfiguration != nil {
		r.Subnets = p.NetworkConfiguration.AwsvpcConfiguration.Subnets
	}
	return r
}

func (w *work) startShare(p *ecs.Deployment, def *ecs.TaskDefinition, sh share) ([]ecs.TaskID, []placement.Failure, error) {
	r := request(w.s, p, def)
	r.CapacityProvider, r.Count, r.Connected = sh.provider, sh.count, w.cfg.Connected
	placed, failures := placement.Place(&w.tx.Tables, r)
	ids := make([]ecs.TaskID, 0, len(placed))
	for _, at := range placed {
		id, failure, err := w.create(p, def, sh.provider, at)
		switch {
		case err != nil:
			return nil, nil, err
		case failure != nil:
			return ids, []placement.Failure{*failure}, nil
		}
		ids = append(ids, id)
	}
	return ids, failures, nil
}

// group is that of the service's tasks, one string for all that an update makes.
func (w *work) group() string {
	if w.groupName == "" {
		w.groupName = ecs.ServiceGroup(w.s.Name)
	}
	return w.groupName
}

// create makes a task of a deployment at its place. It is a failure if there is no address for it.
func (w *work) create(p *ecs.Deployment, def *ecs.TaskDefinition, provider string, at placement.Placement) (ecs.TaskID, *placement.Failure, error) {
	spec := lifecycle.Spec{
		Cluster: w.s.Cluster, Definition: def, Group: w.group(), StartedBy: p.ID, LaunchType: p.LaunchType, CapacityProvider: provider,
		Tags: w.tags(def), EnableExecuteCommand: p.EnableExecuteCommand, PlatformVersion: p.PlatformVersion, Instance: at.Instance, GPUs: at.GPUs,
	}
	if p.NetworkConfiguration != nil && p.NetworkConfiguration.AwsvpcConfiguration != nil {
		var err error
		spec.Interface, err = lifecycle.NewInterface(w.tx, w.cfg.Subnets, p.NetworkConfiguration.AwsvpcConfiguration, at.Instance)
		if full := (*lifecycle.NoAddressError)(nil); errors.As(err, &full) {
			return ecs.TaskID{}, &placement.Failure{Instance: at.Instance, Reason: full.Error()}, nil
		}
		if err != nil {
			return ecs.TaskID{}, nil, err
		}
	}
	return lifecycle.Create(w.tx, w.now, spec).ID, nil, nil
}

// started tells of tasks that were made.
func (w *work) started(made []ecs.TaskID) {
	if len(made) == 0 {
		return
	}
	w.s.Progress.Steady = false
	w.event(fmt.Sprintf("has started %d tasks: %s.", len(made), names(made)))
}

// tags are what the service gives its tasks.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html
func (w *work) tags(def *ecs.TaskDefinition) []ecs.Tag {
	var out []ecs.Tag
	switch w.s.PropagateTags {
	case "SERVICE":
		out = slices.Clone(w.s.Tags)
	case "TASK_DEFINITION":
		out = slices.Clone(def.Tags)
	}
	if w.s.EnableECSManagedTags {
		out = append(out, ecs.Tag{Key: ecs.TagClusterName, Value: w.s.Cluster}, ecs.Tag{Key: ecs.TagServiceName, Value: w.s.Name})
	}
	return out
}

// repeatUnplaced is how often the event of a task without a place is given again.
const repeatUnplaced ecs.Millis = 6 * 3600_000

// cannotPlace notes why a task has no place, and tells of it when that is news.
func (w *work) cannotPlace(why string) {
	p := &w.s.Progress
	if p.Unplaced == why && w.now < p.UnplacedAt+repeatUnplaced {
		return
	}
	p.Unplaced, p.UnplacedAt, p.Steady = why, w.now, false
	w.action(ecs.ActionPlacementFailure, why, "was unable to place a task because "+why+". For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
}

// unplacedReason says in ECS's words why there was no place.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
func unplacedReason(p *ecs.Deployment, failures []placement.Failure) string {
	if p.LaunchType == ecs.LaunchFargate {
		return placement.ReasonNoFargate
	}
	const none = "no container instance met all of its requirements. Reason: "
	if len(failures) == 0 {
		return none + "No Container Instances were found in your cluster"
	}
	closest := failures[0]
	what := map[string]string{
		placement.ReasonCPU:       "has insufficient CPU units available",
		placement.ReasonMemory:    "has insufficient memory available",
		placement.ReasonPorts:     "is already using a port required by your task",
		placement.ReasonGPU:       "has insufficient GPU resource available",
		placement.ReasonAttribute: "is missing an attribute required by your task",
		placement.ReasonAgent:     "encountered error \"AGENT\"",
	}[closest.Reason]
	if what == "" {
		what = fmt.Sprintf("encountered error %q", closest.Reason)
	}
	return none + "The closest matching container-instance " + closest.Instance.String() + " " + what
}

// event adds a line to the service's history, and drops the one that is too old.
func (w *work) event(text string) { w.action("", "", text) }

// action adds a line that EventBridge hears of under a name, with a reason if it has one.
func (w *work) action(name, reason, text string) {
	s := w.s
	s.LastEvent++
	of := "(service " + s.Name
	if w.set != "" {
		if name == ecs.ActionSteadyState {
			name = ecs.ActionTaskSetSteady
		}
		of += ", taskSet " + w.set
	}
	w.tx.ServiceEvents.Put(&ecs.ServiceEvent{
		Cluster: s.Cluster, Service: s.Name, Number: s.LastEvent, ID: uuid.NewString(), CreatedAt: w.now, Message: of + ") " + text,
		Action: name, Reason: reason,
	})
	if s.LastEvent > ecs.MaxServiceEvents {
		w.tx.ServiceEvents.Delete(w.tx.ServiceEvents.Key(&ecs.ServiceEvent{Cluster: s.Cluster, Service: s.Name, Number: s.LastEvent - ecs.MaxServiceEvents}))
	}
}
