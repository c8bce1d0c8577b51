// Package reap removes what has been over long enough: tasks that stopped an hour ago, instances that were deregistered an
// hour ago and have no task left, client tokens that have expired or whose tasks are all gone, and the history of services and daemons: what
// is 90 days old of it, or of services that are gone, and secrets whose recovery window is over. It alone deletes them.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-errors.html
package reap

import (
	"context"
	"log/slog"
	"time"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the controller needs.
type Config struct {
	Store *state.Store
	// Keep is how long a stopped task stays visible; 0 is ECS's hour.
	Keep time.Duration
	// KeepHistory is how long a service deployment that has ended stays visible; 0 is ECS's 90 days.
	KeepHistory time.Duration
	// Every is the shortest time between two looks; 0 is 10 seconds, or Keep if that is less. What is due goes late by up to it.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Run reaps until ctx ends.
func Run(ctx context.Context, c Config) error {
	setDefaults(&c)
	return loop.Run(ctx, loop.Config{
		Name: "reap", Store: c.Store, Now: c.Now, Log: c.Log, Plan: c.Plan,
		// What stops now is due in Keep at the soonest, and Plan has it looked at by then.
		Interested: func(*state.Commit) bool { return false },
	})
}

func setDefaults(c *Config) {
	if c.Keep == 0 {
		c.Keep = time.Hour
	}
	if c.KeepHistory == 0 {
		c.KeepHistory = 90 * 24 * time.Hour
	}
	if c.Every == 0 {
		c.Every = min(10*time.Second, c.Keep)
	}
}

// Plan says what is due. It wakes when the next task or token is, and in Keep if there is none.
func (c *Config) Plan(now ecs.Millis, t *state.Tables) ([]loop.Change, ecs.Millis) {
	keep, every := ecs.Millis(c.Keep.Milliseconds()), ecs.Millis(c.Every.Milliseconds())
	var changes []loop.Change
	wake := now + keep
	reaped := map[ecs.TaskID]bool{}
	for task := range t.Tasks.Stopped() {
		if due := task.StoppedAt + keep; due > now {
			wake = min(wake, due)
			break
		}
		reaped[task.ID] = true
		changes = append(changes, deleteTask(task.ID))
	}
	for token := range t.Tokens.Expired() {
		if token.ExpiresAt <= now || len(reaped) > 0 && orphaned(t, token, reaped) {
			changes = append(changes, deleteToken(token.Key))
			continue
		}
		if len(reaped) == 0 {
			wake = min(wake, token.ExpiresAt)
			break
		}
	}
	for s := range t.Secrets.All() {
		switch {
		case s.GoneAt == 0:
		case s.GoneAt > now:
			wake = min(wake, s.GoneAt)
		default:
			changes = append(changes, deleteSecret(s.Key()))
		}
	}
	for i := range t.Instances.All() {
		if i.Status != ecs.InstanceInactive {
			continue
		}
		if due := i.DeregisteredAt + keep; due > now {
			wake = min(wake, due)
		} else if hasTask(t, i.ID) {
			wake = now + every // they say on which instance they ran
		} else {
			changes = append(changes, deleteInstance(i.ID))
		}
	}
	for _, plan := range []func(now, keep ecs.Millis, t *state.Tables) ([]loop.Change, ecs.Millis){planHistory, planDaemons} {
		history, next := plan(now, ecs.Millis(c.KeepHistory.Milliseconds()), t)
		changes = append(changes, history...)
		if next != 0 {
			wake = min(wake, next)
		}
	}
	return changes, max(wake, now+every)
}

func hasTask(t *state.Tables, id ecs.InstanceID) bool {
	for range t.Tasks.OnInstance(id) {
		return true
	}
	return false
}

func deleteInstance(id ecs.InstanceID) loop.Change {
	return func(tx *state.Tx) error {
		if i := tx.Instances.Get(id); i != nil && i.Status == ecs.InstanceInactive && !hasTask(&tx.Tables, id) {
			tx.Instances.Delete(id)
		}
		return nil
	}
}

// orphaned tells whether a token's last tasks are among those that go now.
func orphaned(t *state.Tables, token *state.Token, reaped map[ecs.TaskID]bool) bool {
	for _, id := range token.Tasks {
		if !reaped[id] && t.Tasks.Get(id) != nil {
			return false
		}
	}
	return true
}

func deleteTask(id ecs.TaskID) loop.Change {
	return func(tx *state.Tx) error {
		if task := tx.Tasks.Get(id); task != nil && task.LastStatus >= ecs.TaskStopped {
			tx.Tasks.Delete(id)
		}
		return nil
	}
}

func deleteToken(key string) loop.Change {
	return func(tx *state.Tx) error {
		if tx.Tokens.Get(key) != nil {
			tx.Tokens.Delete(key)
		}
		return nil
	}
}

// deleteSecret deletes a secret with its values, unless it was restored or made anew meanwhile.
func deleteSecret(key string) loop.Change {
	return func(tx *state.Tx) error {
		s := tx.Secrets.Get(key)
		if s == nil || s.GoneAt == 0 {
			return nil
		}
		for i := range s.Versions {
			tx.SecretValues.Delete(secrets.SecretValueKey(s.Name, s.Versions[i].ID))
		}
		tx.Secrets.Delete(key)
		return nil
	}
}
