package nodelink

import (
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// loan is a role's credentials that a task has.
type loan struct {
	task     ecs.TaskID
	roleType string
}

// loans are the credentials that agents have acknowledged, by when they expire. They outlast connections, which are shorter than
// credentials; a server that starts anew knows of none and lends all again.
type loans struct {
	mu sync.Mutex
	of map[loan]time.Time
}

// fresh tells whether less than a third of the credentials' life has passed.
func (l *loans) fresh(which loan, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[which].Sub(now) > roleLife*2/3
}

func (l *loans) note(which loan, expires time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[loan]time.Time{}
	}
	l.of[which] = expires
}

func (l *loans) forget(id ecs.TaskID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, loan{id, payload.RoleTypeTask})
	delete(l.of, loan{id, payload.RoleTypeExecution})
}

// settle forgets tasks that have ended.
func (l *loans) settle(c *state.Commit) {
	for _, ch := range c.Tasks {
		switch {
		case ch.New != nil && ch.New.LastStatus >= ecs.TaskStopped:
			l.forget(ch.New.ID)
		case ch.New == nil && ch.Old != nil:
			l.forget(ch.Old.ID)
		}
	}
}

// asked is a loan that an agent was sent and has not acknowledged.
type asked struct {
	loan
	at      time.Time
	expires time.Time
}

// asking are the loans under way on a connection, by the ids of the credentials.
type asking map[string]asked

// pending tells whether a loan was sent so lately that its acknowledgement may be on its way.
func (a asking) pending(which loan, now time.Time) bool {
	for _, o := range a {
		if o.loan == which {
			return now.Sub(o.at) < patience
		}
	}
	return false
}

// drop gives up on a task's.
func (a asking) drop(id ecs.TaskID) {
	for key, o := range a {
		if o.task == id {
			delete(a, key)
		}
	}
}
