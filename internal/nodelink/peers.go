package nodelink

import (
	"slices"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// peers are what is known of agents beside the state, by their instances. It is kept in memory as connections are: most of it is
// said anew every few ten seconds, and would be the most frequent of all writes.
type peers struct {
	mu sync.Mutex
	of map[ecs.InstanceID]*peer
}

// peer is an instance's agent. Server.peers guards it.
type peer struct {
	// checks are those of its machine, and changed is when it came or went.
	checks  ecs.InstanceHealth
	changed ecs.Millis
	// telemetry is the newest connection of that kind, nil for none.
	telemetry *telemetry
	// sessions lets its sessions and telemetry in, execs its connections for sessions of ECS Exec.
	sessions, execs gate
}

// notRegistered is why the connections of an instance end that was deregistered.
const notRegistered = "the instance is not registered any more"

// with calls f for an instance's agent, unless the instance is not registered any more.
func (p *peers) with(view *state.View, id ecs.InstanceID, f func(*peer)) {
	if i := view.Instances.Get(id); i == nil || i.Status == ecs.InstanceInactive {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[ecs.InstanceID]*peer{}
	}
	if p.of[id] == nil {
		p.of[id] = &peer{sessions: newGate(connectRate, connectBurst), execs: newGate(execRate, execBurst)}
	}
	f(p.of[id])
}

// forget ends what is left of an instance that is not registered any more.
func (p *peers) forget(id ecs.InstanceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.of[id]; t != nil && t.telemetry != nil {
		t.telemetry.end(notRegistered)
	}
	delete(p.of, id)
}

// report takes over what the agent of an instance says of its machine.
func (s *Server) report(id ecs.InstanceID, status *acs.InstanceStatus) {
	checks := status.Health(time.Now())
	s.peers.with(s.cfg.Store.View(), id, func(p *peer) { p.checks = checks })
}

// turned notes that an agent came or went.
func (s *Server) turned(view *state.View, id ecs.InstanceID) {
	s.peers.with(view, id, func(p *peer) { p.changed = ecs.MillisOf(time.Now()) })
}

// Health gives the checks of an instance: whether its agent is connected, and what that last said of its machine. What the agent
// of a machine said that is not connected any more counts for nothing. Safe for concurrent use.
func (s *Server) Health(id ecs.InstanceID) ecs.InstanceHealth {
	s.mu.RLock()
	session := s.sessions[id]
	s.mu.RUnlock()
	link := ecs.InstanceCheck{Type: ecs.CheckAgentConnectivity, Status: ecs.CheckImpaired, Reason: "The agent is not connected.", Updated: ecs.MillisOf(time.Now())}
	if session != nil {
		l := session.base()
		l.mu.Lock()
		link.Status, link.Reason, link.Updated = ecs.CheckOK, "", ecs.MillisOf(l.seen)
		l.mu.Unlock()
	}
	s.peers.mu.Lock()
	var checks ecs.InstanceHealth
	if h := s.peers.of[id]; h != nil {
		link.Changed, checks = h.changed, slices.Clone(h.checks)
	}
	s.peers.mu.Unlock()
	if !slices.ContainsFunc(checks, func(c ecs.InstanceCheck) bool { return c.Type == ecs.CheckContainerRuntime }) {
		checks = append(checks, ecs.InstanceCheck{Type: ecs.CheckContainerRuntime, Status: ecs.CheckInsufficientData})
	}
	if session == nil {
		for i := range checks {
			checks[i].Status, checks[i].Reason = ecs.CheckInsufficientData, ""
		}
	}
	return append(checks, link)
}
