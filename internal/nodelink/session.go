package nodelink

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// maxUnacked is how many Tasks messages an agent may have before it. What changes meanwhile is gathered into the next one.
const maxUnacked = 4

// session is one agent's websocket. The loop of Server puts work into it; its own goroutines carry it.
type session struct {
	srv      *Server
	instance ecs.InstanceID
	conn     *websocket.Conn
	// seenAt is the revision of the view in which the instance was found.
	seenAt int64
	wake   chan struct{}
	// over is closed by end; why says the reason, set before.
	over chan struct{}
	once sync.Once
	why  string

	mu sync.Mutex
	// next is what has not been sent yet, and known the definitions that the agent has had on this connection.
	next    *acs.Tasks
	known   map[ecs.DefinitionID]bool
	synced  bool
	unacked map[string]struct{}
	seen    time.Time
}

func newSession(srv *Server, id ecs.InstanceID, seenAt int64, conn *websocket.Conn) *session {
	return &session{
		srv: srv, instance: id, conn: conn, seenAt: seenAt, wake: make(chan struct{}, 1), over: make(chan struct{}),
		next: &acs.Tasks{}, known: map[ecs.DefinitionID]bool{}, unacked: map[string]struct{}{}, seen: time.Now(),
	}
}

// end closes the session; why goes to the agent in the close frame. It does not block.
func (n *session) end(why string) {
	n.once.Do(func() {
		n.why = why
		close(n.over)
	})
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
	n.poke()
}

func (n *session) run(view *state.View, t *ecs.Task) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.add(view, t)
	n.poke()
}

func (n *session) stop(id ecs.TaskID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next.Stop = append(n.next.Stop, id)
	n.poke()
}

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

func (n *session) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// serve carries the session until the connection, end or ctx ends it. Its goroutines have ended when it returns.
func (n *session) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var carry sync.WaitGroup
	errs := make(chan error, 2)
	carry.Go(func() { errs <- n.read(ctx) })
	carry.Go(func() { errs <- n.write(ctx) })
	var err error
	select {
	case err = <-errs:
		n.conn.CloseNow()
	case <-n.over:
		// The handshake is bounded by the library (5 s), and makes read and write fail.
		n.conn.Close(websocket.StatusPolicyViolation, n.why)
	case <-ctx.Done():
		n.conn.CloseNow()
	}
	cancel()
	carry.Wait()
	return err
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
			name, msg := n.take()
			if msg == nil {
				continue
			}
			if err := n.send(ctx, name, msg); err != nil {
				return err
			}
		}
	}
}

func (n *session) heartbeat(ctx context.Context) error {
	n.mu.Lock()
	silent := time.Since(n.seen)
	n.mu.Unlock()
	if silent > 3*n.srv.cfg.Heartbeat {
		n.end("no sign of life")
		return fmt.Errorf("no sign of life for %v", silent.Round(time.Second))
	}
	return n.send(ctx, acs.TypeHeartbeat, acs.Heartbeat{MessageID: n.srv.messageID(), Healthy: true})
}

// take gives the next message if there is one and the agent is not behind.
func (n *session) take() (string, *acs.Tasks) {
	n.mu.Lock()
	defer n.mu.Unlock()
	empty := len(n.next.Run) == 0 && len(n.next.Stop) == 0
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

func (n *session) send(ctx context.Context, name string, message any) error {
	b, err := acs.Encode(name, message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*n.srv.cfg.Heartbeat)
	defer cancel()
	return n.conn.Write(ctx, websocket.MessageText, b)
}

func (n *session) read(ctx context.Context) error {
	for {
		_, b, err := n.conn.Read(ctx)
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.seen = time.Now()
		n.mu.Unlock()
		name, body, err := acs.Decode(b)
		if err != nil {
			return n.refuse(err)
		}
		if err := n.receive(ctx, name, body); err != nil {
			return err
		}
	}
}

// refuse ends a session whose agent does not keep to the protocol: what it says cannot be relied on any further.
func (n *session) refuse(err error) error {
	n.end("protocol error: " + err.Error())
	return err
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
	default:
		// A newer agent may say what we don't know.
		n.srv.cfg.Log.Debug("unknown message from an agent", "instance", n.instance, "type", name)
		return nil
	}
}

// report makes a batch of states durable and says so. A store that refuses for now (no leader, no room) leaves the batch
// unacknowledged, and the session ends, so that the agent sends it again on the next one.
func (n *session) report(ctx context.Context, states *acs.States) error {
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
