package engine

// phase is how far a container has come. It never goes back.
type phase uint8

const (
	phaseNone phase = iota
	// phasePulling: its image is on the way; phasePulled: the image is here.
	phasePulling
	phasePulled
	// phaseStarting: it waits for its turn to start, or starts.
	phaseStarting
	phaseRunning
	// phaseStopped: it has ended, or could not start, or was not wanted any more.
	phaseStopped
)

// urge is how much a running container has been told to end. It never goes back.
type urge uint8

const (
	urgeNone urge = iota
	// urgeAsked: it was sent its stop signal; urgeForced: it was sent SIGKILL.
	urgeAsked
	urgeForced
)

// condition is what a container waits for in another before it starts.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
type condition uint8

const (
	// conditionStart: the other runs, or has run. conditionComplete: it has ended. conditionSuccess: it has ended with 0.
	// conditionHealthy: it runs, and its last health check that changed anything found it well.
	conditionStart condition = iota
	conditionComplete
	conditionSuccess
	conditionHealthy
)

// dependency is one entry of dependsOn; on is the other container's place in the definition.
type dependency struct {
	on        int
	condition condition
	// logs says that the other takes this one's output, also after its end.
	logs bool
}

// observedContainer is what a decision needs to know of a container.
type observedContainer struct {
	phase     phase
	urge      urge
	essential bool
	// ran: its first instruction was reached. ok: it has ended with 0. failed: it could not be pulled, created or started.
	ran, ok, failed bool
	// healthy: its health check finds it well. It may come and go while the container runs.
	healthy bool
	// restarting: it has ended, and is being started again for its restart policy.
	restarting bool
	// overdue: its stop timeout has passed since it was asked to end. late: its start timeout has passed since it started.
	overdue, late bool
	// draining: it has ended and the grace for its last output to be shipped is not over. held: its output is still being shipped.
	draining, held bool
	needs          []dependency
}

// observed is what a decision needs to know of a task.
type observed struct {
	containers []observedContainer
	// stopping is the desired status: the task is to end. It never goes back.
	stopping bool
	// connected: containers of the task may have networks. disconnecting: these are being removed.
	connected, disconnecting bool
	// finished: all containers have ended and this was said. settled: nobody waits to be told (again).
	finished, settled bool
	// released: nothing of the task is left but files.
	released bool
}

// verb is a kind of action.
type verb uint8

const (
	// doNothing: wait for something to happen.
	doNothing verb = iota
	doPull
	doStart
	// doEnd decides that the task must end, because of the container.
	doEnd
	// doAbandon gives up a container that was not started.
	doAbandon
	doAsk
	doForce
	// doDisconnect removes the networks of containers that have all ended: what the server hears of a stopped task's ports and
	// addresses, that they are free, must be so.
	doDisconnect
	// doFinish declares the task STOPPED, doRelease removes what is left of it.
	doFinish
	doRelease
)

// action is what is to be done next, to a container where the verb concerns one.
type action struct {
	verb      verb
	container int
}

// step decides the next action for a task. It is a function of what is observed alone, and every action but doNothing,
// once marked in what is observed, moves the task forward: asked again and again it comes to doNothing.
func step(o *observed) action {
	switch {
	case o.released:
		return action{}
	case o.finished:
		return release(o)
	case o.stopping:
		return stop(o)
	}
	if i, must := mustEnd(o); must {
		return action{doEnd, i}
	}
	for i := range o.containers {
		c := &o.containers[i]
		switch c.phase {
		case phaseNone:
			return action{doPull, i}
		case phasePulled:
			if ready(o, c) {
				return action{doStart, i}
			}
		}
	}
	return action{}
}

// mustEnd tells whether the task cannot go on: an essential container has ended, one can never start, or all have ended.
// The container is the one to blame.
func mustEnd(o *observed) (container int, must bool) {
	for i := range o.containers {
		if c := &o.containers[i]; c.phase == phaseStopped && c.essential {
			return i, true
		}
	}
	all := true
	for i := range o.containers {
		c := &o.containers[i]
		all = all && c.phase == phaseStopped
		if c.phase < phaseStarting && !possible(o, c) {
			return i, true
		}
	}
	return 0, all
}

// ready tells whether all that a container waits for has come.
func ready(o *observed, c *observedContainer) bool {
	for _, d := range c.needs {
		if !met(&o.containers[d.on], d.condition) {
			return false
		}
	}
	return true
}

func met(on *observedContainer, want condition) bool {
	switch want {
	case conditionStart:
		return on.ran
	case conditionComplete:
		return on.ran && on.phase == phaseStopped
	case conditionSuccess:
		return on.ok && on.phase == phaseStopped
	case conditionHealthy:
		return on.healthy && on.phase == phaseRunning
	}
	return false
}

// possible tells whether all that a container waits for may still come. The time that a dependency has to complete, or to be well, is its
// own startTimeout.
func possible(o *observed, c *observedContainer) bool {
	for _, d := range c.needs {
		on := &o.containers[d.on]
		if met(on, d.condition) {
			continue
		}
		if on.phase == phaseStopped || (on.late && d.condition != conditionStart) {
			return false
		}
	}
	return true
}

// stop ends what has not ended, dependents before what they depend on.
func stop(o *observed) action {
	ended, drained := true, true
	for i := range o.containers {
		c := &o.containers[i]
		ended = ended && c.phase == phaseStopped
		drained = drained && !c.draining
		switch {
		case c.phase < phaseStarting:
			return action{doAbandon, i}
		case c.phase == phaseRunning && c.urge == urgeNone && !c.restarting && !needed(o, i):
			return action{doAsk, i}
		case c.phase == phaseRunning && c.urge == urgeAsked && c.overdue:
			return action{doForce, i}
		}
	}
	switch {
	case ended && o.connected && !o.disconnecting:
		return action{verb: doDisconnect}
	case ended && drained && !o.connected:
		return action{verb: doFinish}
	}
	return action{}
}

// needed tells whether a container that depends on i has not ended yet, or still has output for it.
func needed(o *observed, i int) bool {
	for j := range o.containers {
		c := &o.containers[j]
		if j == i {
			continue
		}
		for _, d := range c.needs {
			if d.on == i && (c.phase != phaseStopped || d.logs && c.draining) {
				return true
			}
		}
	}
	return false
}

// release waits until the end of the task is known to all and its output is shipped.
func release(o *observed) action {
	if !o.settled {
		return action{}
	}
	for i := range o.containers {
		if o.containers[i].held {
			return action{}
		}
	}
	return action{verb: doRelease}
}
