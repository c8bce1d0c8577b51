package lifecycle

import (
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Stop asks for a task's end, and gives the task as it is then. The first cause is kept: a task that is stopping or has
// stopped stays as it is. A task that no agent has is STOPPED at once.
func Stop(tx *state.Tx, now ecs.Millis, old *ecs.Task, code, reason string) *ecs.Task {
	if old.DesiredStatus >= ecs.TaskStopped || old.LastStatus >= ecs.TaskStopped {
		return old
	}
	task := *old
	task.DesiredStatus = ecs.TaskStopped
	setOnce(&task.StoppingAt, now)
	task.StopCode = code
	task.StoppedReason = reason
	if task.Instance.IsZero() {
		task.LastStatus = ecs.TaskStopped
		finish(&task, now, code, reason)
	}
	task.Version++
	tx.Tasks.Put(&task)
	return &task
}

// Lose ends a task that no agent will report on any more.
func Lose(tx *state.Tx, now ecs.Millis, old *ecs.Task, code, reason string) *ecs.Task {
	if old.LastStatus >= ecs.TaskStopped {
		return old
	}
	task := *old
	task.LastStatus = ecs.TaskStopped
	finish(&task, now, code, reason)
	task.Version++
	tx.Tasks.Put(&task)
	return &task
}

// InstanceGone ends up to limit tasks of an instance that was lost or deregistered, and gives their number; fewer than
// limit means that it has none left. Their resources are free.
func InstanceGone(tx *state.Tx, now ecs.Millis, id ecs.InstanceID, limit int, code, reason string) int {
	var tasks []*ecs.Task
	for t := range tx.Tasks.OnInstance(id) {
		if t.LastStatus >= ecs.TaskStopped {
			continue
		}
		if len(tasks) == limit {
			break
		}
		tasks = append(tasks, t)
	}
	for _, t := range tasks {
		Lose(tx, now, t, code, reason)
	}
	return len(tasks)
}
