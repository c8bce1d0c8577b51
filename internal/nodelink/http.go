package nodelink

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
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
	caller, err := s.cfg.Auth.Authenticate(r, "ecs", "Poll", nil)
	if err != nil {
		refuse(w, http.StatusForbidden, refusedAccess, "the signature or the key is not accepted")
		return
	}
	q := r.URL.Query()
	arn, err := ecs.ParseARN(q.Get("containerInstanceArn"))
	if err != nil || arn.Type != "container-instance" {
		refuse(w, http.StatusBadRequest, refusedRequest, "containerInstanceArn is not the ARN of a container instance")
		return
	}
	id, err := ecs.ParseInstanceID(arn.Resource)
	if err != nil {
		refuse(w, http.StatusBadRequest, refusedRequest, "containerInstanceArn has no instance id")
		return
	}
	view := s.cfg.Store.View()
	inst := view.Instances.Get(id)
	key := ""
	if s.cfg.Agent != nil {
		key = s.cfg.Agent(caller)
	}
	switch {
	case inst == nil:
		refuse(w, http.StatusBadRequest, refusedInstance, "no such container instance")
		return
	case key != "" && key != inst.AgentKey:
		refuse(w, http.StatusForbidden, refusedAccess, "another key registered the container instance")
		return
	case inst.Status == ecs.InstanceInactive:
		refuse(w, http.StatusBadRequest, refusedInactive, "the container instance is not registered any more")
		return
	case q.Get("roadstead") != "1" || !inst.Native:
		refuse(w, http.StatusBadRequest, refusedRequest, "this server takes Roadstead's own agent only")
		return
	}
	s.accept(w, r, id, view.Revision)
}

func refuse(w http.ResponseWriter, status int, name, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{name: text})
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request, id ecs.InstanceID, seenAt int64) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.cfg.Log.Warn("websocket refused", "instance", id, "err", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(acs.MaxFrame)
	n := newSession(s, id, seenAt, conn)
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
		s.cfg.Log.Debug("session ended", "instance", id, "err", err)
	}
}
