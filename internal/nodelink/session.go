package nodelink

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// maxUnacked is how many Tasks messages an agent may have before it. What changes meanwhile is gathered into the next one.
const maxUnacked = 4

// gatherFor is how long a session may leave the processors to a placement of many tasks. What is to be said meanwhile is said in one
// message, which costs little more than one of a single task.
const gatherFor = 500 * time.Millisecond

// session is that of Roadstead's own agent. The loop of Server puts work into it; its own goroutines carry it.
type session struct {
	*line
	// next is what has not been sent yet, and known the definitions that the agent has had on this connection.
	next    *acs.Tasks
	known   map[ecs.DefinitionID]bool
	synced  bool
	unacked map[string]struct{}
	// hurry has something in it when the agent is to be told at once.
	hurry chan struct{}
}

func newSession(l *line) *session {
	return &session{line: l, next: &acs.Tasks{}, known: map[ecs.DefinitionID]bool{}, unacked: map[string]struct{}{}, hurry: make(chan struct{}, 1)}
}

// sync lays down the whole truth for the instance as the first message.
func (n *session) sync(view *state.View) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for t := range view.Tasks.OnInstance(n.instance) {
		switch {
		case t.LastStatus == ecs.TaskStopped:
		case t.DesiredStatus == ecs.TaskStopped:
			n.next.Stop = append(n.next.Stop, t.ID)
		default:
			n.add(view, t)
		}
	}
	if n.srv.cfg.Exec != nil {
		n.next.Exec = n.srv.cfg.Exec.Held(n.instance)
	}
	n.poke()
}

// exec has the agent told of sessions of ECS Exec to hold and to end.
func (n *session) exec(hold []acs.ExecSession, end []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next.Exec = append(n.next.Exec, hold...)
	n.next.EndExec = append(n.next.EndExec, end...)
	n.poke()
}

func (n *session) run(view *state.View, t *ecs.Task) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.add(view, t)
	if _, ok := ecs.ServiceOfGroup(t.Group); !ok { // somebody waits for this very one
		select {
		case n.hurry <- struct{}{}:
		default:
		}
	}
	n.poke()
}

func (n *session) stop(t *ecs.Task) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next.Stop = append(n.next.Stop, t.ID)
	n.poke()
}

func (n *session) ended(ecs.TaskID) {}

// attached: the agent has the task already, and the interface is its own work.
func (n *session) attached(*ecs.Task) {}

// add puts a task, and its definition if the agent has not had it, into the next message.
func (n *session) add(view *state.View, t *ecs.Task) {
	if !n.known[t.Definition] {
		d := view.Definitions.Get(t.Definition)
		if d == nil {
			n.srv.cfg.Log.Error("a task's definition is not stored", "task", t.ID, "definition", t.Definition)
			return
		}
		n.known[t.Definition] = true
		n.next.Definitions = append(n.next.Definitions, d)
	}
	n.next.Run = append(n.next.Run, n.srv.runTask(view, t))
}

func (n *session) serve(ctx context.Context) error {
	return n.line.serve(ctx, func(ctx context.Context) error { return n.read(ctx, n.receive) }, n.write)
}

func (n *session) write(ctx context.Context) error {
	beat := time.NewTicker(n.srv.cfg.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if err := n.heartbeat(ctx); err != nil {
				return err
			}
		case <-n.wake:
			n.giveWay(ctx, n.hurry)
			b, err := n.message(ctx)
			if err != nil {
				return err
			}
			if b == nil {
				continue
			}
			if err := n.sendFrame(ctx, b); err != nil {
				return err
			}
		}
	}
}

// giveWay waits until no placement of many tasks is under way, gatherFor has passed, or there is a hurry.
func (n *session) giveWay(ctx context.Context, hurry <-chan struct{}) {
	if n.srv.cfg.Placing == nil {
		return
	}
	over := n.srv.cfg.Placing()
	if over == nil {
		return
	}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-hurry:
	case <-ctx.Done():
	}
}

// message takes and encodes the next message, when it is this session's turn: thousands of sessions that are told of a task each would
// else take the processors from what makes these tasks. What comes while it waits goes with the same message. It is nil where
// there is nothing to send.
func (n *session) message(ctx context.Context) ([]byte, error) {
	select {
	case n.srv.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil
	}
	defer func() { <-n.srv.turns }()
	name, msg := n.take()
	if msg == nil {
		return nil, nil
	}
	return acs.Encode(name, msg)
}

// take gives the next message if there is one and the agent is not behind.
func (n *session) take() (string, *acs.Tasks) {
	n.mu.Lock()
	defer n.mu.Unlock()
	empty := len(n.next.Run) == 0 && len(n.next.Stop) == 0 && len(n.next.Exec) == 0 && len(n.next.EndExec) == 0
	if len(n.unacked) >= maxUnacked || (empty && n.synced) {
		return "", nil
	}
	name := acs.TypeTasks
	if !n.synced {
		name, n.synced = acs.TypeSync, true
	}
	msg := n.next
	msg.MessageID = n.srv.messageID()
	n.unacked[msg.MessageID] = struct{}{}
	n.next = &acs.Tasks{}
	return name, msg
}

func (n *session) receive(ctx context.Context, name string, body json.RawMessage) error {
	switch name {
	case acs.TypeHeartbeatAck:
		return nil
	case acs.TypeTasksAck:
		var ack acs.TasksAck
		if err := json.Unmarshal(body, &ack); err != nil {
			return n.refuse(err)
		}
		n.mu.Lock()
		delete(n.unacked, ack.MessageID)
		n.poke()
		n.mu.Unlock()
		return nil
	case acs.TypeStates:
		var states acs.States
		if err := json.Unmarshal(body, &states); err != nil {
			return n.refuse(err)
		}
		return n.report(ctx, &states)
	case acs.TypeExecEnded:
		var ended acs.ExecEnded
		if err := json.Unmarshal(body, &ended); err != nil {
			return n.refuse(err)
		}
		if n.srv.cfg.Exec != nil {
			n.srv.cfg.Exec.Ended(n.instance, ended.Sessions)
		}
		return nil
	case acs.TypeInstanceStatus:
		var status acs.InstanceStatus
		if err := json.Unmarshal(body, &status); err != nil {
			return n.refuse(err)
		}
		n.srv.report(n.instance, &status)
		return nil
	default:
		// A newer agent may say what we don't know.
		n.srv.cfg.Log.Debug("unknown message from an agent", "instance", n.instance, "type", name)
		return nil
	}
}

// report makes a batch of states durable and says so. A store that refuses for now (no leader, no room) leaves the batch
// unacknowledged, and the session ends, so that the agent sends it again on the next one.
func (n *session) report(ctx context.Context, states *acs.States) error {
	n.giveWay(ctx, nil)
	now := ecs.MillisOf(time.Now())
	err := n.srv.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		for _, s := range states.Tasks {
			t := tx.Tasks.Get(s.ID)
			if t == nil || t.Instance != n.instance {
				n.srv.cfg.Log.Warn("report of a task that is not the instance's", "instance", n.instance, "task", s.ID)
				continue
			}
			if err := lifecycle.Report(tx, now, s); err != nil {
				return fmt.Errorf("task %s: %w", s.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		n.end("the report could not be stored")
		return fmt.Errorf("store a report: %w", err)
	}
	return n.send(ctx, acs.TypeStatesAck, acs.StatesAck{MessageID: states.MessageID})
}
