// Package nodelink is the server's side of agents' sessions: the websockets over which agents are told what to run and say
// what became of it (package acs).
//
// One loop, Run, follows the state's feed and owns the set of sessions. A session that joins gets the whole truth for its
// instance from the loop's view, and after that each change from the commits that follow, so nothing falls between the
// two. What a session could not deliver is not kept: the next one starts with the whole truth again.
package nodelink

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// Authenticator checks a websocket's request; *wire.Server is one.
type Authenticator interface {
	Authenticate(r *http.Request, service, operation string, body []byte) (wire.Caller, error)
}

// Config is what a Server needs. Everything but Heartbeat must be set.
type Config struct {
	Store *state.Store
	Place ecs.Place
	Auth  Authenticator
	// Agent gives the id of a caller's key if that is an agent's own, which may speak for the instances it registered alone;
	// "" may speak for all, and so do all where it is nil.
	Agent func(wire.Caller) string
	Log   *slog.Logger
	// Heartbeat is how often agents are asked for a sign of life; a session without one for three times as long is closed.
	// Default 20 s.
	Heartbeat time.Duration
	// Lend gives a task's credentials of a role, of type payload.RoleTypeTask or RoleTypeExecution: under the same id each time.
	// Amazon's agents are given them, others ask for them. Where it is nil, tasks of Amazon's agents have no roles.
	Lend func(t *ecs.Task, role, roleType string, expires time.Time) (*payload.Credentials, error)
	// AgentRelease is what Amazon's agents are updated to; nil where there is none.
	AgentRelease *ecs.AgentRelease
	// Metrics, if set, takes what agents measure.
	Metrics Metrics
	// Exec, if set, has the sessions of ECS Exec.
	Exec Exec
	// Placing, if set, gives a channel that is closed when a placement of many tasks is over, nil while there is none. Sessions leave
	// it the processors for gatherFor at most.
	Placing func() <-chan struct{}
	// Joined, if set, is called when an agent's session has begun and Connected tells of it. It must not block.
	Joined func(ecs.InstanceID)
}

// Exec has the sessions of ECS Exec that agents hold; *execlink.Broker is one. Its methods must not block.
type Exec interface {
	// Held are those of an instance.
	Held(ecs.InstanceID) []acs.ExecSession
	// Ended takes note of an agent's word that some have ended.
	Ended(ecs.InstanceID, []acs.ExecEnd)
	// ServeAgent takes an agent's websocket for one.
	ServeAgent(http.ResponseWriter, *http.Request, ecs.InstanceID)
}

// Server is an http.Handler for agents' websockets.
type Server struct {
	cfg   Config
	joins chan link
	parts chan link
	// done is closed when Run has returned.
	done chan struct{}

	mu sync.RWMutex
	// sessions is written by the loop alone, under mu.
	sessions map[ecs.InstanceID]link
	peers    peers
	measures measures
	loans    loans
	serial   atomic.Int64
	// turns bounds how many sessions make messages at a time.
	turns chan struct{}
	// life tells the messages of this process from those of the one before: agents remember ids.
	life string
}

// New makes a server; Run must run for it to take sessions.
func New(cfg Config) *Server {
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 20 * time.Second
	}
	return &Server{cfg: cfg, joins: make(chan link), parts: make(chan link), done: make(chan struct{}), sessions: map[ecs.InstanceID]link{}, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), life: rand.Text()[:8]}
}

// Connected tells whether an instance's agent has a session now. Safe for concurrent use.
func (s *Server) Connected(id ecs.InstanceID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sessions[id] != nil
}

// Run follows the state until ctx ends, and then ends all sessions.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed := s.cfg.Store.Watch()
	view := feed.View()
	commits := make(chan *state.Commit)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := feed.Next(ctx)
			if err != nil {
				failed <- err
				return
			}
			select {
			case commits <- c:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	// held are sessions of instances that this loop has not heard of yet.
	var held []link
	defer func() {
		for _, n := range held {
			n.base().end("the server is stopping")
		}
	}()
	defer s.EndAll("the server is stopping")
	defer close(s.done)
	for {
		select {
		case c := <-commits:
			view = c.View
			s.dispatch(c)
			held = slices.DeleteFunc(held, func(n link) bool { return s.join(n, view) })
		case n := <-s.joins:
			if !s.join(n, view) {
				held = append(held, n)
			}
		case n := <-s.parts:
			s.part(n, view)
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("follow the state: %w", err)
		}
	}
}

// join makes a session the instance's own; an older one ends. Newest wins: an agent may come back before we notice that
// its last connection is dead. It answers false for a session that came by a newer view than this: its instance may be in
// that alone.
func (s *Server) join(n link, view *state.View) bool {
	l := n.base()
	if l.seenAt > view.Revision {
		return false
	}
	inst := view.Instances.Get(l.instance)
	if inst == nil || inst.Status == ecs.InstanceInactive {
		l.end(notRegistered)
		return true
	}
	if withdrawn(&view.Tables, l.key) {
		l.end(keyWithdrawn)
		return true
	}
	n.sync(view)
	s.mu.Lock()
	old := s.sessions[l.instance]
	s.sessions[l.instance] = n
	s.mu.Unlock()
	if old != nil {
		old.base().end("a newer connection took its place")
	} else {
		s.turned(view, l.instance)
	}
	s.cfg.Log.Info("agent connected", "instance", l.instance, "cluster", inst.Cluster)
	if s.cfg.Joined != nil {
		s.cfg.Joined(l.instance)
	}
	return true
}

// part forgets a session that has ended, unless a newer one has taken its place.
func (s *Server) part(n link, view *state.View) {
	s.mu.Lock()
	id := n.base().instance
	current := s.sessions[id] == n
	if current {
		delete(s.sessions, id)
	}
	s.mu.Unlock()
	if current {
		s.turned(view, id)
		s.cfg.Log.Info("agent disconnected", "instance", id)
	}
}

// EndAll ends the sessions there are, whose agents then connect again; why is for them. Safe for concurrent use.
func (s *Server) EndAll(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.sessions {
		n.base().end(why)
		delete(s.sessions, id)
	}
}

// dispatch tells each session what a commit changed for it.
func (s *Server) dispatch(c *state.Commit) {
	s.measures.settle(c)
	s.loans.settle(c)
	for _, ch := range c.Tasks {
		t := ch.New
		if t == nil || t.Instance.IsZero() {
			continue
		}
		n := s.sessions[t.Instance]
		if n == nil {
			continue
		}
		if t.LastStatus == ecs.TaskStopped {
			if t.StopCode == ecs.StopInfrastructureHealth {
				// It was given up for lost while its agent came back.
				n.stop(t)
			} else {
				n.ended(t.ID)
			}
			continue
		}
		placed := ch.Old != nil && ch.Old.Instance == t.Instance
		switch {
		case t.DesiredStatus == ecs.TaskStopped && (!placed || ch.Old.DesiredStatus != ecs.TaskStopped):
			n.stop(t)
		case t.DesiredStatus != ecs.TaskStopped && !placed:
			n.run(c.View, t)
		case t.DesiredStatus != ecs.TaskStopped && attachedNow(ch):
			n.attached(t)
		}
	}
	for _, ch := range c.Instances {
		if ch.New == nil || ch.New.Status == ecs.InstanceInactive {
			if n := s.sessions[instanceOf(ch)]; n != nil {
				n.base().end("the instance was deregistered")
			}
			s.peers.forget(instanceOf(ch))
		} else if ch.Old != nil && ch.Old.AgentUpdate != ch.New.AgentUpdate {
			if n := s.sessions[ch.New.ID]; n != nil {
				n.base().poke()
			}
		}
	}
	for _, ch := range c.AgentKeys {
		if ch.New != nil && ch.New.RevokedAt != 0 {
			s.endKey(ch.New.ID)
		}
	}
}

func attachedNow(ch state.Change[ecs.Task]) bool {
	before, now := ch.Old.Interface, ch.New.Interface
	return before != nil && now != nil && before.Status < ecs.AttachmentAttached && now.Status == ecs.AttachmentAttached
}

func instanceOf(ch state.Change[ecs.Instance]) ecs.InstanceID {
	if ch.New != nil {
		return ch.New.ID
	}
	return ch.Old.ID
}

// runTask says a task in the protocol's terms.
func (s *Server) runTask(view *state.View, t *ecs.Task) acs.RunTask {
	arns := make([]string, len(t.Containers))
	for i, c := range t.Containers {
		arns[i] = s.cfg.Place.ContainerARN(t.Cluster, t.ID, c.ID)
	}
	return acs.RunTask{
		ID: t.ID, Cluster: t.Cluster, ARN: s.cfg.Place.TaskARN(t.Cluster, t.ID), Definition: t.Definition, Group: t.Group,
		LaunchType: t.LaunchType, Overrides: t.Overrides, ContainerARNs: arns, Known: t.LastStatus,
		EnableExecuteCommand: t.EnableExecuteCommand, Interface: s.interfaceOf(view, t),
	}
}

func (s *Server) interfaceOf(view *state.View, t *ecs.Task) *acs.Interface {
	if t.Interface == nil {
		return nil
	}
	i := &acs.Interface{NetworkInterface: *t.Interface, PrivateDNSName: s.cfg.Place.PrivateDNSName(t.Interface.Address)}
	if subnet := view.Subnets.Get(t.Interface.SubnetID); subnet != nil {
		i.CIDR = subnet.CIDR
	}
	return i
}

func (s *Server) messageID() string { return fmt.Sprintf("m-%s-%d", s.life, s.serial.Add(1)) }
