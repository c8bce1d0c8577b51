package lifecycle

import (
	"slices"
	"unique"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// What ECS says of an end that nobody gave another reason for.
const (
	reasonEssentialExited = "Essential container in task exited"
	reasonFailedToStart   = "Task failed to start"
)

// Report applies what an agent says of a task. Reports may come twice, late and in any order: a status only moves
// forward, and nothing changes a task that is STOPPED. A task that is not there is an InvalidParameter fault, upon
// which agents forget it.
func Report(tx *state.Tx, now ecs.Millis, r acs.TaskState) error {
	old := tx.Tasks.Get(r.ID)
	if old == nil {
		return fault.New(fault.InvalidParameter, "The referenced task was not found.")
	}
	if old.LastStatus >= ecs.TaskStopped {
		return nil
	}
	task := *old
	changed := mergeContainers(&task, r.Containers)
	definition := tx.Definitions.Get(task.Definition)
	changed = advance(&task, now, &r, definition) || changed
	changed = noticeEssential(&task, now, definition) || changed
	changed = attach(&task, r.Attachment) || changed
	if task.LastStatus >= ecs.TaskStopped {
		code := r.StopCode
		if code == "" && essentialExited(&task, definition) {
			// Amazon's agents say no code, and may report the end before the beginning.
			code = ecs.StopEssentialContainerExit
		}
		finish(&task, now, code, r.Reason)
	}
	if changed {
		task.Version++
		tx.Tasks.Put(&task)
		if task.LastStatus >= ecs.TaskStopped {
			noteEnd(tx, &task)
		}
	}
	return nil
}

// mergeContainers takes over what is new of the containers, copying the list before the first change.
func mergeContainers(task *ecs.Task, reported []ecs.Container) bool {
	changed := false
	for i := range reported {
		at := slices.IndexFunc(task.Containers, func(c ecs.Container) bool { return c.Name == reported[i].Name })
		if at < 0 {
			continue
		}
		merged := mergeContainer(task.Containers[at], &reported[i])
		if sameContainer(&merged, &task.Containers[at]) {
			continue
		}
		if !changed {
			task.Containers = slices.Clone(task.Containers)
			changed = true
		}
		task.Containers[at] = merged
	}
	return changed
}

func mergeContainer(c ecs.Container, r *ecs.Container) ecs.Container {
	if c.LastStatus < ecs.TaskStopped {
		c.Reason = or(r.Reason, c.Reason)
		c.HealthStatus = ecs.HealthStatus(or(string(r.HealthStatus), string(c.HealthStatus)))
	} else {
		c.Reason = or(c.Reason, r.Reason)
	}
	c.LastStatus = max(c.LastStatus, min(r.LastStatus, ecs.TaskStopped))
	c.RuntimeID = or(c.RuntimeID, r.RuntimeID)
	if c.ImageDigest == "" && r.ImageDigest != "" {
		// Thousands of tasks have the same image: one string for all.
		c.ImageDigest = unique.Make(r.ImageDigest).Value()
	}
	if c.ExitCode == nil {
		c.ExitCode = r.ExitCode
	}
	if len(r.NetworkBindings) > 0 {
		c.NetworkBindings = r.NetworkBindings
	}
	if len(r.GpuIDs) > 0 {
		c.GpuIDs = r.GpuIDs
	}
	c.ManagedAgents = mergeAgents(c.ManagedAgents, r.ManagedAgents)
	return c
}

// mergeAgents takes over what is reported of managed agents that the container has. Unlike containers they may come back:
// the status is the last one reported.
func mergeAgents(known, reported []ecs.ManagedAgent) []ecs.ManagedAgent {
	copied := false
	for _, r := range reported {
		at := slices.IndexFunc(known, func(k ecs.ManagedAgent) bool { return k.Name == r.Name })
		if at < 0 {
			continue
		}
		merged := known[at]
		if r.LastStartedAt != 0 && (merged.LastStatus != ecs.TaskRunning || merged.LastStartedAt == 0) {
			merged.LastStartedAt = r.LastStartedAt
		}
		merged.Reason = r.Reason
		merged.LastStatus = min(r.LastStatus, ecs.TaskStopped)
		if merged == known[at] {
			continue
		}
		if !copied {
			known, copied = slices.Clone(known), true
		}
		known[at] = merged
	}
	return known
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func sameContainer(a, b *ecs.Container) bool {
	return a.LastStatus == b.LastStatus && a.Reason == b.Reason && a.HealthStatus == b.HealthStatus &&
		a.RuntimeID == b.RuntimeID && a.ImageDigest == b.ImageDigest && a.ExitCode == b.ExitCode &&
		slices.Equal(a.GpuIDs, b.GpuIDs) && slices.Equal(a.ManagedAgents, b.ManagedAgents) && slices.EqualFunc(a.NetworkBindings, b.NetworkBindings, sameBinding)
}

func sameBinding(a, b ecs.NetworkBinding) bool {
	return a.BindIP == b.BindIP && a.Protocol == b.Protocol && a.ContainerPortRange == b.ContainerPortRange &&
		a.HostPortRange == b.HostPortRange && sameInt(a.ContainerPort, b.ContainerPort) && sameInt(a.HostPort, b.HostPort)
}

func sameInt(a, b *int32) bool { return a == b || (a != nil && b != nil && *a == *b) }

// advance moves the task's status forward and notes the moments of its life.
func advance(task *ecs.Task, now ecs.Millis, r *acs.TaskState, d *ecs.TaskDefinition) bool {
	before := *task
	task.LastStatus = max(task.LastStatus, min(r.Status, ecs.TaskStopped))
	passThrough(task)
	setOnce(&task.ConnectivityAt, now)
	if r.PullStartedAt != 0 {
		task.PullStartedAt = r.PullStartedAt
	}
	if r.PullStoppedAt != 0 {
		task.PullStoppedAt = r.PullStoppedAt
	}
	setOnce(&task.ExecutionStoppedAt, r.ExecutionStoppedAt)
	setOnce(&task.StartedAt, r.StartedAt)
	if task.LastStatus == ecs.TaskRunning {
		setOnce(&task.StartedAt, now)
	}
	health := taskHealth(task, d)
	changed := task.LastStatus != before.LastStatus || task.ConnectivityAt != before.ConnectivityAt ||
		task.PullStartedAt != before.PullStartedAt || task.PullStoppedAt != before.PullStoppedAt ||
		task.ExecutionStoppedAt != before.ExecutionStoppedAt || task.StartedAt != before.StartedAt ||
		health != before.HealthStatus
	task.HealthStatus = health
	return changed
}

func setOnce(at *ecs.Millis, v ecs.Millis) {
	if *at == 0 {
		*at = v
	}
}

// taskHealth follows from the essential containers that are checked: UNHEALTHY if one is, HEALTHY if all are, else nothing known.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
func taskHealth(task *ecs.Task, d *ecs.TaskDefinition) ecs.HealthStatus {
	var out ecs.HealthStatus
	for i := range task.Containers {
		if d != nil && i < len(d.ContainerDefinitions) {
			if essential := d.ContainerDefinitions[i].Essential; essential != nil && !*essential {
				continue
			}
		}
		switch task.Containers[i].HealthStatus {
		case ecs.HealthUnhealthy:
			return ecs.HealthUnhealthy
		case ecs.HealthHealthy:
			if out == "" {
				out = ecs.HealthHealthy
			}
		case ecs.HealthUnknown:
			out = ecs.HealthUnknown
		}
	}
	return out
}

// noticeEssential makes a task whose essential container has ended one that is to stop, as the agent does on its side.
func noticeEssential(task *ecs.Task, now ecs.Millis, d *ecs.TaskDefinition) bool {
	if task.DesiredStatus >= ecs.TaskStopped || d == nil {
		return false
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if c.Essential != nil && !*c.Essential || i >= len(task.Containers) {
			continue
		}
		if task.Containers[i].LastStatus < ecs.TaskStopped || task.StartedAt == 0 {
			continue
		}
		task.DesiredStatus = ecs.TaskStopped
		setOnce(&task.StoppingAt, now)
		if task.StopCode == "" {
			task.StopCode = ecs.StopEssentialContainerExit
			task.StoppedReason = or(task.StoppedReason, reasonEssentialExited)
		}
		return true
	}
	return false
}

// essentialExited tells whether an essential container was made and has ended: it has a runtime id and an exit code then.
func essentialExited(task *ecs.Task, d *ecs.TaskDefinition) bool {
	if d == nil {
		return false
	}
	for i := range d.ContainerDefinitions {
		essential := d.ContainerDefinitions[i].Essential
		if (essential == nil || *essential) && i < len(task.Containers) && task.Containers[i].ExitCode != nil && task.Containers[i].RuntimeID != "" {
			return true
		}
	}
	return false
}

// finish completes a task that has become STOPPED: its containers are, its cause is known, its moments are all set.
func finish(task *ecs.Task, now ecs.Millis, code, reason string) {
	task.DesiredStatus = ecs.TaskStopped
	setOnce(&task.StoppingAt, now)
	setOnce(&task.StoppedAt, now)
	if task.StartedAt != 0 {
		setOnce(&task.ExecutionStoppedAt, now)
	}
	task.Containers = slices.Clone(task.Containers)
	for i := range task.Containers {
		c := &task.Containers[i]
		c.LastStatus = ecs.TaskStopped
		if len(c.ManagedAgents) > 0 {
			c.ManagedAgents = slices.Clone(c.ManagedAgents)
			for n := range c.ManagedAgents {
				c.ManagedAgents[n].LastStatus = ecs.TaskStopped
			}
		}
	}
	attach(task, ecs.AttachmentNone)
	if task.StopCode == "" {
		task.StopCode = or(code, derivedCode(task))
	}
	if task.StoppedReason != "" {
		return
	}
	switch {
	case reason != "":
		task.StoppedReason = reason
	case task.StopCode == ecs.StopTaskFailedToStart:
		task.StoppedReason = reasonFailedToStart
	case task.StopCode == ecs.StopEssentialContainerExit:
		task.StoppedReason = reasonEssentialExited
	}
}

func derivedCode(task *ecs.Task) string {
	if task.StartedAt == 0 {
		return ecs.StopTaskFailedToStart
	}
	return ecs.StopEssentialContainerExit
}
