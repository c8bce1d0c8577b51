package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

// A node that cannot join waits from retryFirst, doubling up to retryMost, each time more or less by half.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// node is one simulated container instance.
type node struct {
	fleet *Fleet
	index int
	arn   string
	wake  chan struct{}

	mu sync.Mutex
	// definitions has the containers' names of each definition heard of.
	definitions map[ecs.DefinitionID][]string
	tasks       map[ecs.TaskID]*task
	// starts and stops are what is to happen, each in the order of its moments.
	starts, stops []due
	// next gathers reports; sent are those under way, under the message's id, until they are acknowledged.
	next, sent []acs.TaskState
	sentID     string
	reports    int
}

// task is what a node knows of one.
type task struct {
	names    []string
	status   ecs.TaskStatus
	stopping bool
	started  ecs.Millis
}

type due struct {
	at time.Time
	id ecs.TaskID
}

func newNode(f *Fleet, index int) *node {
	return &node{fleet: f, index: index, wake: make(chan struct{}, 1), definitions: map[ecs.DefinitionID][]string{}, tasks: map[ecs.TaskID]*task{}}
}

// run registers and then keeps a session until ctx ends. Its only error is a refusal that will not change.
func (n *node) run(ctx context.Context) error {
	err := n.persist(ctx, func() error {
		if err := n.limited(ctx, func() error { return n.register(ctx) }); err != nil {
			return err
		}
		if n.fleet.registered.Add(1) == int64(n.fleet.cfg.Nodes) && n.fleet.cfg.OnRegistered != nil {
			n.fleet.cfg.OnRegistered()
		}
		return nil
	})
	if err != nil || ctx.Err() != nil {
		return err
	}
	return n.persist(ctx, func() error {
		var conn *websocket.Conn
		err := n.limited(ctx, func() (err error) {
			conn, err = n.dial(ctx)
			return err
		})
		if err != nil {
			return err
		}
		return n.session(ctx, conn)
	})
}

// limited does what a bounded number of nodes does at a time.
func (n *node) limited(ctx context.Context, do func() error) error {
	select {
	case n.fleet.joining <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-n.fleet.joining }()
	return do()
}

// errAgain asks persist to begin anew without a pause growing: something had succeeded.
var errAgain = errors.New("the session ended")

// persist tries until it succeeds, ctx ends or the server refuses for good.
func (n *node) persist(ctx context.Context, try func() error) error {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := try()
		var refused *APIError
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.As(err, &refused) && refused.Status < 500:
			return err
		case errors.Is(err, errAgain):
			pause = retryFirst
		}
		n.fleet.cfg.Log.Debug("a node tries again", "node", n.index, "err", err, "in", pause)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil
		}
	}
}

// session carries one websocket to its end.
func (n *node) session(ctx context.Context, conn *websocket.Conn) error {
	defer conn.CloseNow()
	f := n.fleet
	f.connected.Add(1)
	f.sessions.Add(1)
	defer f.connected.Add(-1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.unsend()
	var parts sync.WaitGroup
	parts.Go(func() { cancel(n.read(ctx, conn)) })
	parts.Go(func() { cancel(n.write(ctx, conn)) })
	parts.Wait()
	return fmt.Errorf("%w: %w", errAgain, context.Cause(ctx))
}

// unsend has what the last session left unacknowledged reported anew.
func (n *node) unsend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next, n.sent, n.sentID = append(n.sent, n.next...), nil, ""
}

// slimTasks is what a node reads of acs.Tasks: decoding all of it would cost a fleet more than it costs thousands of machines.
type slimTasks struct {
	MessageID   string `json:"messageId"`
	Definitions []struct {
		Family               string `json:"family"`
		Revision             int32  `json:"revision"`
		Daemon               bool   `json:"daemon,omitempty"`
		ContainerDefinitions []struct {
			Name string `json:"name"`
		} `json:"containerDefinitions"`
	} `json:"definitions"`
	Run []struct {
		ID         ecs.TaskID       `json:"id"`
		Definition ecs.DefinitionID `json:"definition"`
		Known      ecs.TaskStatus   `json:"known"`
	} `json:"run"`
	Stop []ecs.TaskID `json:"stop"`
}

func (n *node) read(ctx context.Context, conn *websocket.Conn) error {
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		name, body, err := acs.Decode(b)
		if err != nil {
			return err
		}
		switch name {
		case acs.TypeHeartbeat:
			var m acs.Heartbeat
			if err := json.Unmarshal(body, &m); err != nil {
				return err
			}
			err = n.send(ctx, conn, acs.TypeHeartbeatAck, acs.HeartbeatAck{MessageID: m.MessageID})
		case acs.TypeSync, acs.TypeTasks:
			var m slimTasks
			if err := json.Unmarshal(body, &m); err != nil {
				return err
			}
			n.apply(&m, name == acs.TypeSync)
			err = n.send(ctx, conn, acs.TypeTasksAck, acs.TasksAck{MessageID: m.MessageID})
		case acs.TypeStatesAck:
			var m acs.StatesAck
			if err := json.Unmarshal(body, &m); err != nil {
				return err
			}
			n.acknowledged(m.MessageID)
		}
		if err != nil {
			return err
		}
	}
}

func (n *node) send(ctx context.Context, conn *websocket.Conn, name string, message any) error {
	b, err := acs.Encode(name, message)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, b)
}

// apply takes what the server says of tasks; a sync is all there is.
func (n *node) apply(m *slimTasks, sync bool) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range m.Definitions {
		names := make([]string, len(d.ContainerDefinitions))
		for i, c := range d.ContainerDefinitions {
			names[i] = c.Name
		}
		n.definitions[ecs.DefinitionID{Family: d.Family, Revision: d.Revision, Daemon: d.Daemon}] = names
	}
	if sync {
		n.forgetOthers(m)
	}
	for _, r := range m.Run {
		if t := n.tasks[r.ID]; t != nil {
			if r.Known < t.status {
				n.report(r.ID, t)
			}
			continue
		}
		n.tasks[r.ID] = &task{names: n.definitions[r.Definition], status: ecs.TaskPending}
		n.starts = append(n.starts, due{now.Add(n.fleet.cfg.StartDelay), r.ID})
		n.fleet.assigned.Add(1)
		if n.fleet.cfg.OnAssigned != nil {
			n.fleet.cfg.OnAssigned(r.ID, now)
		}
	}
	for _, id := range m.Stop {
		t := n.tasks[id]
		if t == nil {
			t = &task{status: ecs.TaskPending}
			n.tasks[id] = t
		}
		if !t.stopping {
			t.stopping = true
			n.stops = append(n.stops, due{now.Add(n.fleet.cfg.StopDelay), id})
		}
	}
	n.poke()
}

// forgetOthers drops the tasks that a sync does not name: the server has ended them by itself.
func (n *node) forgetOthers(m *slimTasks) {
	named := make(map[ecs.TaskID]bool, len(m.Run)+len(m.Stop))
	for _, r := range m.Run {
		named[r.ID] = true
	}
	for _, id := range m.Stop {
		named[id] = true
	}
	for id, t := range n.tasks {
		if named[id] {
			continue
		}
		if t.status == ecs.TaskRunning {
			n.fleet.running.Add(-1)
		}
		delete(n.tasks, id)
	}
}

func (n *node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// write sends reports as their moments come, one message at a time.
func (n *node) write(ctx context.Context, conn *websocket.Conn) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		message, pause := n.advance(time.Now())
		if message != nil {
			if err := n.send(ctx, conn, acs.TypeStates, message); err != nil {
				return err
			}
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.wake:
		case <-timer.C:
		}
	}
}

// advance does what is due, and gives the message to be sent, if there is one, and when to look again.
func (n *node) advance(now time.Time) (*acs.States, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.starts) > 0 && !n.starts[0].at.After(now) {
		id := n.starts[0].id
		n.starts = n.starts[1:]
		if t := n.tasks[id]; t != nil && !t.stopping && t.status < ecs.TaskRunning {
			t.status, t.started = ecs.TaskRunning, ecs.MillisOf(now)
			n.fleet.running.Add(1)
			n.report(id, t)
		}
	}
	for len(n.stops) > 0 && !n.stops[0].at.After(now) {
		id := n.stops[0].id
		n.stops = n.stops[1:]
		if t := n.tasks[id]; t != nil && t.status < ecs.TaskStopped {
			if t.status == ecs.TaskRunning {
				n.fleet.running.Add(-1)
			}
			t.status = ecs.TaskStopped
			n.fleet.stopped.Add(1)
			n.report(id, t)
		}
	}
	pause := time.Hour
	for _, q := range [][]due{n.starts, n.stops} {
		if len(q) > 0 {
			pause = min(pause, q[0].at.Sub(now))
		}
	}
	if n.sentID != "" || len(n.next) == 0 {
		return nil, pause
	}
	n.reports++
	n.sent, n.sentID, n.next = n.next, strconv.Itoa(n.reports), nil
	return &acs.States{MessageID: n.sentID, Tasks: n.sent}, pause
}

// digest is that of the image that all containers are said to have.
const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// report adds what is known of a task to the next message. mu is held.
func (n *node) report(id ecs.TaskID, t *task) {
	s := acs.TaskState{ID: id, Status: t.status, PullStartedAt: t.started, PullStoppedAt: t.started, StartedAt: t.started, Containers: make([]ecs.Container, len(t.names))}
	for i, name := range t.names {
		c := ecs.Container{Name: name, LastStatus: t.status, ImageDigest: digest}
		if t.started != 0 {
			c.RuntimeID = fmt.Sprintf("%x%032x", id[:], i)
		}
		if t.status == ecs.TaskStopped {
			c.ExitCode = new(int32)
		}
		s.Containers[i] = c
	}
	if t.status == ecs.TaskStopped {
		s.ExecutionStoppedAt = ecs.MillisOf(time.Now())
	}
	n.next = append(n.next, s)
}

// acknowledged forgets what is durable.
func (n *node) acknowledged(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id != n.sentID {
		return
	}
	n.fleet.acknowledged.Add(int64(len(n.sent)))
	for i := range n.sent {
		if n.sent[i].Status == ecs.TaskStopped {
			delete(n.tasks, n.sent[i].ID)
		}
	}
	n.sent, n.sentID = nil, ""
	n.poke()
}
