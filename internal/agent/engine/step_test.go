package engine

import (
	"testing"

	"pgregory.net/rapid"
)

// drawTask draws a task of up to five containers whose dependencies have no circle.
func drawTask(t *rapid.T) *observed {
	n := rapid.IntRange(1, 5).Draw(t, "containers")
	o := &observed{containers: make([]observedContainer, n)}
	for i := range o.containers {
		c := &o.containers[i]
		c.essential = i == 0 || rapid.Bool().Draw(t, "essential")
		for on := range i {
			if rapid.IntRange(0, 2).Draw(t, "depends") == 0 {
				c.needs = append(c.needs, dependency{on: on, condition: condition(rapid.IntRange(0, 3).Draw(t, "condition")), logs: rapid.Bool().Draw(t, "logs")})
			}
		}
	}
	return o
}

// apply marks an action as done, as the engine does.
func apply(o *observed, a action) {
	c := &o.containers[a.container]
	switch a.verb {
	case doPull:
		c.phase = phasePulling
	case doStart:
		c.phase, o.connected = phaseStarting, true
	case doDisconnect:
		o.disconnecting = true
	case doEnd:
		o.stopping = true
	case doAbandon:
		c.phase = phaseStopped
	case doAsk:
		c.urge = urgeAsked
	case doForce:
		c.urge = urgeForced
	case doFinish:
		o.finished = true
	case doRelease:
		o.released = true
	}
}

// happen lets one of the things happen that may happen now; false if nothing may. Stubborn containers end by SIGKILL alone.
func happen(t *rapid.T, o *observed, stubborn []bool) bool {
	var may []func()
	for i := range o.containers {
		c := &o.containers[i]
		switch {
		case c.phase == phasePulling, c.phase == phaseStarting:
			may = append(may, func() {
				if rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
					c.phase, c.failed = phaseStopped, true
				} else if c.phase++; c.phase == phaseRunning {
					c.ran = true
				}
			})
		case c.phase == phaseRunning:
			if c.urge == urgeAsked && !c.overdue {
				may = append(may, func() { c.overdue = true })
			}
			if c.urge == urgeForced || !stubborn[i] {
				may = append(may, func() {
					c.phase, c.ok = phaseStopped, rapid.Bool().Draw(t, "exits with 0")
					c.draining, c.held = rapid.Bool().Draw(t, "draining"), true
				})
			}
			if !c.late {
				may = append(may, func() { c.late = true })
			}
			may = append(may, func() { c.healthy = !c.healthy })
		case c.draining:
			may = append(may, func() { c.draining = false })
		case c.held:
			may = append(may, func() { c.held = false })
		}
	}
	if o.disconnecting && o.connected {
		may = append(may, func() { o.connected = false })
	}
	if o.finished && !o.settled {
		may = append(may, func() { o.settled = true })
	}
	if !o.stopping {
		// Everything ends in the end because somebody stops it.
		may = append(may, func() { o.stopping = true })
	}
	if len(may) == 0 {
		return false
	}
	may[rapid.IntRange(0, len(may)-1).Draw(t, "happens")]()
	return true
}

// TestStepAlwaysEnds lets anything happen to a task in any order: it never goes backwards, never starts a container whose
// dependencies are not met, never asks for the same thing twice, and is released in the end.
func TestStepAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawTask(t)
		stubborn := make([]bool, len(o.containers))
		for i := range stubborn {
			stubborn[i] = rapid.Bool().Draw(t, "stubborn")
		}
		done := map[action]bool{}
		for !o.released {
			for a := step(o); a.verb != doNothing; a = step(o) {
				if done[a] {
					t.Fatalf("%v is asked for twice: %+v", a, o)
				}
				done[a] = true
				checkAction(t, o, a)
				apply(o, a)
			}
			if !o.released && !happen(t, o, stubborn) {
				t.Fatalf("nothing is left to happen and the task is not released: %+v", o)
			}
		}
		for i := range o.containers {
			if c := &o.containers[i]; c.phase != phaseStopped || c.held || c.draining {
				t.Fatalf("released with container %d %+v", i, c)
			}
		}
	})
}

func checkAction(t *rapid.T, o *observed, a action) {
	c := &o.containers[a.container]
	switch a.verb {
	case doPull, doStart:
		if o.stopping {
			t.Fatalf("%v in a task that is to end", a)
		}
		if a.verb == doStart && !ready(o, c) {
			t.Fatalf("container %d starts before its dependencies: %+v", a.container, o)
		}
	case doAsk:
		if c.phase != phaseRunning || needed(o, a.container) {
			t.Fatalf("container %d is asked to end before its dependents: %+v", a.container, o)
		}
	case doFinish, doDisconnect:
		if a.verb == doFinish && o.connected {
			t.Fatal("finished with its networks")
		}
		for i := range o.containers {
			if o.containers[i].phase != phaseStopped {
				t.Fatalf("finished with container %d in phase %d", i, o.containers[i].phase)
			}
		}
	case doRelease:
		if !o.settled {
			t.Fatal("released before it was reported")
		}
	}
}

func TestStepOrders(t *testing.T) {
	running := observedContainer{phase: phaseRunning, ran: true, essential: true}
	for name, c := range map[string]struct {
		o    observed
		want action
	}{
		"a new container is pulled":       {observed{containers: make([]observedContainer, 1)}, action{doPull, 0}},
		"a pulled container starts":       {observed{containers: []observedContainer{{phase: phasePulled}}}, action{doStart, 0}},
		"a running task is left in peace": {observed{containers: []observedContainer{running}}, action{}},
		"an essential end ends the task": {
			observed{containers: []observedContainer{running, {phase: phaseStopped, essential: true, ran: true}}}, action{doEnd, 1}},
		"another end does not": {observed{containers: []observedContainer{running, {phase: phaseStopped, ran: true}}}, action{}},
		"SUCCESS waits":        {observed{containers: []observedContainer{{phase: phaseRunning, ran: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionSuccess}}}}}, action{}},
		"SUCCESS is met":       {observed{containers: []observedContainer{{phase: phaseStopped, ran: true, ok: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionSuccess}}}}}, action{doStart, 1}},
		"SUCCESS fails":        {observed{containers: []observedContainer{{phase: phaseStopped, ran: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionSuccess}}}}}, action{doEnd, 1}},
		"COMPLETE comes late":  {observed{containers: []observedContainer{{phase: phaseRunning, ran: true, late: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionComplete}}}}}, action{doEnd, 1}},
		"HEALTHY waits":        {observed{containers: []observedContainer{{phase: phaseRunning, ran: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionHealthy}}}}}, action{}},
		"HEALTHY is met":       {observed{containers: []observedContainer{{phase: phaseRunning, ran: true, healthy: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionHealthy}}}}}, action{doStart, 1}},
		"HEALTHY comes late":   {observed{containers: []observedContainer{{phase: phaseRunning, ran: true, late: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionHealthy}}}}}, action{doEnd, 1}},
		"HEALTHY cannot come":  {observed{containers: []observedContainer{{phase: phaseStopped, ran: true, healthy: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionHealthy}}}}}, action{doEnd, 1}},
		"START of one that failed": {observed{containers: []observedContainer{{phase: phaseStopped, failed: true}, {phase: phasePulled, needs: []dependency{{on: 0, condition: conditionStart}}}}},
			action{doEnd, 1}},
		"dependents stop first": {observed{stopping: true, containers: []observedContainer{running, {phase: phaseRunning, needs: []dependency{{on: 0, condition: conditionStart}}}}}, action{doAsk, 1}},
		"and then what they need": {observed{stopping: true, containers: []observedContainer{running, {phase: phaseStopped, needs: []dependency{{on: 0, condition: conditionStart}}}}},
			action{doAsk, 0}},
		"a router is asked after the output is shipped": {observed{stopping: true, containers: []observedContainer{running,
			{phase: phaseStopped, draining: true, held: true, needs: []dependency{{on: 0, condition: conditionStart, logs: true}}}}}, action{}},
		"or the grace is over": {observed{stopping: true, containers: []observedContainer{running,
			{phase: phaseStopped, held: true, needs: []dependency{{on: 0, condition: conditionStart, logs: true}}}}}, action{doAsk, 0}},
		"time is up":           {observed{stopping: true, containers: []observedContainer{{phase: phaseRunning, urge: urgeAsked, overdue: true}}}, action{doForce, 0}},
		"all ended":            {observed{stopping: true, containers: []observedContainer{{phase: phaseStopped}}}, action{verb: doFinish}},
		"its network goes":     {observed{stopping: true, connected: true, containers: []observedContainer{{phase: phaseStopped, draining: true}}}, action{verb: doDisconnect}},
		"its network is going": {observed{stopping: true, connected: true, disconnecting: true, containers: []observedContainer{{phase: phaseStopped}}}, action{}},
		"unreported is kept":   {observed{stopping: true, finished: true, containers: []observedContainer{{phase: phaseStopped}}}, action{}},
		"reported is cleaned":  {observed{stopping: true, finished: true, settled: true, containers: []observedContainer{{phase: phaseStopped}}}, action{verb: doRelease}},
		"unshipped is kept":    {observed{stopping: true, finished: true, settled: true, containers: []observedContainer{{phase: phaseStopped, held: true}}}, action{}},
	} {
		if got := step(&c.o); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
