package nodelink

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/wire"
)

// Names of the refusals that agents know, given as {"NAME": "text"} in place of the websocket.
const (
	refusedRequest  = "BadRequestException"
	refusedInstance = "InvalidInstanceException"
	refusedInactive = "InactiveInstanceException"
	refusedAccess   = "AccessDeniedException"
)

// ServeHTTP takes an agent's websocket: GET with containerInstanceArn in the query, signed with SigV4 for the service ecs.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inst, _, seenAt, ok := s.admit(w, r, "Poll", "containerInstanceArn")
	if !ok {
		return
	}
	if inst.Native != (r.URL.Query().Get("roadstead") == "1") {
		refuse(w, http.StatusBadRequest, refusedRequest, "the instance was registered by an agent of another kind")
		return
	}
	s.accept(w, r, inst, seenAt)
}

// admit finds the instance that a websocket is for, by its ARN in the query, and checks that the caller may speak for it. It
// answers the request where it is false. seenAt is the revision at which the instance was looked up.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, operation, parameter string) (inst *ecs.Instance, caller wire.Caller, seenAt int64, ok bool) {
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
	default:
		return inst, caller, view.Revision, true
	}
	return nil, caller, 0, false
}

func refuse(w http.ResponseWriter, status int, name, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{name: text})
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request, inst *ecs.Instance, seenAt int64) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.cfg.Log.Warn("websocket refused", "instance", inst.ID, "err", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(acs.MaxFrame)
	l := newLine(s, inst.ID, seenAt, conn)
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
