package lifecycle

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// ShortRun is how long a task of a service must run, if it then fails, for its launch not to count as failed: one that ends
// sooner, with an exit code that is not zero, would be launched again and again as fast as the machine can.
const ShortRun ecs.Millis = 10_000

// UnhealthyReason is why a scheduler stops a task that is UNHEALTHY, as ECS says it.
const UnhealthyReason = "Task failed container health checks"

// Launches are slowed down after some rounds of failures: ECS waits longer and longer, up to 27 minutes.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-throttle-logic.html
const (
	freeRounds             = 3
	firstDelay  ecs.Millis = 5_000
	longestWait ecs.Millis = 27 * 60_000
	// mostDoublings keeps the delay within an int64; longestWait is reached far before.
	mostDoublings = 20
)

// ThrottledUntil gives the moment before which nothing is launched after rounds of failures in a row, the last at lastFailure; 0 is none.
func ThrottledUntil(rounds int32, lastFailure ecs.Millis) ecs.Millis {
	if rounds < freeRounds {
		return 0
	}
	return lastFailure + min(longestWait, firstDelay<<min(rounds-freeRounds, mostDoublings))
}

// InAlarm gives those of the alarms that are in ALARM. Lookup is nil where there are no alarms.
func InAlarm(lookup func(name string) (ecs.AlarmState, bool), names []string) []string {
	if lookup == nil {
		return nil
	}
	var out []string
	for _, name := range names {
		if state, known := lookup(name); known && state == ecs.AlarmInAlarm {
			out = append(out, name)
		}
	}
	return out
}

// noteEnd counts a failed launch with the service that the task was launched for: its deployment's circuit breaker and the
// throttle of launches go by the count, which is in the same update as the end and so counted once.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
func noteEnd(tx *state.Tx, task *ecs.Task) {
	if daemon, ok := ecs.DaemonOfGroup(task.Group); ok {
		noteDaemonEnd(tx, daemon, task)
		return
	}
	name, ok := ecs.ServiceOfGroup(task.Group)
	if !ok || !LaunchFailed(&tx.Tables, task) {
		return
	}
	old := tx.Services.Get(task.Cluster + "/" + name)
	if old == nil || old.Status != ecs.ServiceActive {
		return
	}
	s := *old
	set := slices.ContainsFunc(s.TaskSets, func(t ecs.TaskSet) bool { return t.ID == task.StartedBy })
	if p := s.Primary(); set || p != nil && (p.ID == task.StartedBy || task.CreatedAt > p.CreatedAt) {
		// What an old deployment's tasks do says nothing of the launches to come, but for those launched while the new one is held back.
		s.Progress.LaunchFailures++
		s.Progress.LastFailure = task.StoppedAt
	}
	s.Progress.Steady = false
	if i := slices.IndexFunc(s.Deployments, func(d ecs.Deployment) bool { return d.ID == task.StartedBy }); i >= 0 && s.Deployments[i].RolloutState == ecs.RolloutInProgress {
		s.Deployments = slices.Clone(s.Deployments)
		s.Deployments[i].FailedTasks++
		s.Deployments[i].UpdatedAt = task.StoppedAt
	}
	tx.Services.Put(&s)
}

// LaunchFailed tells whether a task that has stopped did not come to run, or ended with an exit code that is not zero within ShortRun.
func LaunchFailed(t *state.Tables, task *ecs.Task) bool {
	if task.StopCode == ecs.StopTaskFailedToStart {
		return true
	}
	if task.StopCode != ecs.StopEssentialContainerExit || task.StartedAt == 0 || task.StoppedAt-task.StartedAt >= ShortRun {
		return false
	}
	d := t.Definitions.Get(task.Definition)
	for i := range task.Containers {
		essential := d == nil || i >= len(d.ContainerDefinitions) || d.ContainerDefinitions[i].Essential == nil || *d.ContainerDefinitions[i].Essential
		if code := task.Containers[i].ExitCode; essential && code != nil && *code != 0 {
			return true
		}
	}
	return false
}
