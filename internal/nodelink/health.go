package nodelink

import (
	"slices"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// healths are what agents last said of their machines. It is kept in memory as connections are: it is said anew every few ten
// seconds, and would be the most frequent of all writes.
type healths struct {
	mu sync.Mutex
	of map[ecs.InstanceID]*health
}

// health is an instance's. changed is when its agent came or went.
type health struct {
	checks  ecs.InstanceHealth
	changed ecs.Millis
}

func (h *healths) at(id ecs.InstanceID) *health {
	if h.of == nil {
		h.of = map[ecs.InstanceID]*health{}
	}
	if h.of[id] == nil {
		h.of[id] = &health{}
	}
	return h.of[id]
}

// report takes over what the agent of an instance says, unless that is not registered any more.
func (h *healths) report(view *state.View, id ecs.InstanceID, s *acs.InstanceStatus) {
	if i := view.Instances.Get(id); i == nil || i.Status == ecs.InstanceInactive {
		return
	}
	checks := s.Health(time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at(id).checks = checks
}

func (h *healths) turned(id ecs.InstanceID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at(id).changed = ecs.MillisOf(time.Now())
}

func (h *healths) forget(id ecs.InstanceID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, id)
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
	s.healths.mu.Lock()
	var checks ecs.InstanceHealth
	if h := s.healths.of[id]; h != nil {
		link.Changed, checks = h.changed, slices.Clone(h.checks)
	}
	s.healths.mu.Unlock()
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
