package nodelink

import (
	"net/http"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

// TellExec has an instance's agent told of sessions of ECS Exec to hold and to end. False is that it is not connected, or is
// Amazon's, which has no such sessions. Safe for concurrent use; it does not block.
func (s *Server) TellExec(id ecs.InstanceID, hold []acs.ExecSession, end []string) bool {
	s.mu.RLock()
	n, native := s.sessions[id].(*session)
	s.mu.RUnlock()
	if native {
		n.exec(hold, end)
	}
	return native
}

// ExecConnections takes agents' websockets for sessions of ECS Exec: as those of ServeHTTP, with the session's id in the query.
func (s *Server) ExecConnections() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inst, _, _, ok := s.admit(w, r, "Poll", "containerInstanceArn", execGate)
		if !ok {
			return
		}
		if s.cfg.Exec == nil {
			refuse(w, http.StatusNotFound, refusedRequest, "this server has no ECS Exec")
			return
		}
		s.cfg.Exec.ServeAgent(w, r, inst.ID)
	})
}
