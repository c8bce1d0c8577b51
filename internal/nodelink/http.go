package nodelink

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// Names of the refusals that agents know, given as {"NAME": "text"} in place of the websocket.
const (
	refusedRequest  = "BadRequestException"
	refusedInstance = "InvalidInstanceException"
	refusedInactive = "InactiveInstanceException"
	refusedAccess   = "AccessDeniedException"
	refusedServer   = "ServerException"
)

// ServeHTTP takes an agent's websocket: GET with containerInstanceArn in the query, signed with SigV4 for the service ecs.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inst, caller, seenAt, ok := s.admit(w, r, "Poll", "containerInstanceArn", sessionGate)
	if !ok {
		return
	}
	if inst.Native != (r.URL.Query().Get("roadstead") == "1") {
		refuse(w, http.StatusBadRequest, refusedRequest, "the instance was registered by an agent of another kind")
		return
	}
	if !inst.Native {
		s.noteVersion(r.Context(), inst, r.URL.Query())
	}
	s.accept(w, r, inst, caller.AccessKeyID, seenAt)
}

// maxVersion is how much of a version is kept, in bytes.
const maxVersion = 128

// noteVersion takes over the versions that Amazon's agent says when it connects, and nowhere else.
func (s *Server) noteVersion(ctx context.Context, inst *ecs.Instance, q url.Values) {
	value := func(name string) string {
		v := q.Get(name)
		return strings.ToValidUTF8(v[:min(len(v), maxVersion)], "")
	}
	agent, hash, docker := value("agentVersion"), value("agentHash"), value("dockerVersion")
	// An agent that was to go over to an update and has started anew is what became of it.
	anew := q.Get("sendCredentials") == "true"
	same := func(i *ecs.Instance) bool {
		return i.AgentVersion == agent && i.AgentHash == hash && i.RuntimeVersion == docker && !(anew && isUpdating(i))
	}
	if agent == "" || same(inst) {
		return
	}
	err := s.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.Instances.Get(inst.ID)
		if old == nil || same(old) {
			return nil
		}
		i := *old
		i.AgentVersion, i.AgentHash, i.RuntimeVersion = agent, hash, docker
		if anew && isUpdating(old) {
			i.AgentUpdate = updated(&i)
		}
		i.Version++
		tx.Instances.Put(&i)
		return nil
	})
	if err != nil {
		// The next connection says it again.
		s.cfg.Log.Warn("an agent's version could not be stored", "instance", inst.ID, "err", err)
	}
}

// admit finds the instance that a websocket is for, by its ARN in the query, and checks that the caller may speak for it. It
// answers the request where it is false. seenAt is the revision at which the instance was looked up.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, operation, parameter string, which func(*peer) *gate) (inst *ecs.Instance, caller wire.Caller, seenAt int64, ok bool) {
	caller, err := s.cfg.Auth.Authenticate(r, "ecs", operation, nil)
	if err != nil {
		refuse(w, http.StatusForbidden, refusedAccess, "the signature or the key is not accepted")
		return nil, caller, 0, false
	}
	arn, err := ecs.ParseARN(r.URL.Query().Get(parameter))
	if err != nil || arn.Type != "container-instance" {
		refuse(w, http.StatusBadRequest, refusedRequest, parameter+" is not the ARN of a container instance")
		return nil, caller, 0, false
	}
	id, err := ecs.ParseInstanceID(arn.Resource)
	if err != nil {
		refuse(w, http.StatusBadRequest, refusedRequest, parameter+" has no instance id")
		return nil, caller, 0, false
	}
	key := ""
	if s.cfg.Agent != nil {
		key = s.cfg.Agent(caller)
	}
	view := s.cfg.Store.View()
	inst = view.Instances.Get(id)
	switch {
	case inst == nil:
		refuse(w, http.StatusBadRequest, refusedInstance, "no such container instance")
	case key != "" && key != inst.AgentKey:
		refuse(w, http.StatusForbidden, refusedAccess, "another key registered the container instance")
	case inst.Status == ecs.InstanceInactive:
		refuse(w, http.StatusBadRequest, refusedInactive, "the container instance is not registered any more")
	case !s.welcome(w, r, view, id, which):
	default:
		return inst, caller, view.Revision, true
	}
	return nil, caller, 0, false
}

// sessionGate is where sessions and telemetry come in, execGate where connections for sessions of ECS Exec do.
func sessionGate(p *peer) *gate { return &p.sessions }
func execGate(p *peer) *gate    { return &p.execs }

// welcome refuses connections that come too often, and those by a request that was used before.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, view *state.View, id ecs.InstanceID, which func(*peer) *gate) bool {
	often, again := false, false
	s.peers.with(view, id, func(p *peer) {
		now := time.Now()
		g := which(p)
		if often = !g.connects.AllowN(now, 1); !often {
			again = g.again(r, now)
		}
	})
	switch {
	case often:
		s.cfg.Log.Warn("an agent connects too often", "instance", id)
		refuse(w, http.StatusTooManyRequests, refusedServer, "too many connections; try again later")
	case again:
		s.cfg.Log.Warn("a request for a connection was used before", "instance", id)
		refuse(w, http.StatusForbidden, refusedAccess, "the request was used before")
	default:
		return true
	}
	return false
}

func refuse(w http.ResponseWriter, status int, name, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{name: text})
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request, inst *ecs.Instance, key string, seenAt int64) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.cfg.Log.Warn("websocket refused", "instance", inst.ID, "err", err)
		return
	}
	defer conn.CloseNow()
	// Amazon's agent says nothing long here.
	conn.SetReadLimit(maxTelemetry)
	if inst.Native {
		conn.SetReadLimit(acs.MaxFrame)
	}
	l := newLine(s, inst.ID, key, seenAt, conn)
	var n interface {
		link
		serve(ctx context.Context) error
	}
	if inst.Native {
		n = newSession(l)
	} else {
		n = newForeign(l, inst.Cluster, endpointOf(r), r.URL.Query().Get("sendCredentials") == "true")
	}
	select {
	case s.joins <- n:
	case <-s.done:
		conn.Close(websocket.StatusGoingAway, "the server is stopping")
		return
	}
	err = n.serve(r.Context())
	select {
	case s.parts <- n:
	case <-s.done:
	}
	var closed websocket.CloseError
	if err != nil && !errors.As(err, &closed) {
		s.cfg.Log.Debug("session ended", "instance", inst.ID, "err", err)
	}
}
