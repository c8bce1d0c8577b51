package nodelink

import "roadstead.dev/roadstead/internal/state"

// keyWithdrawn is what agents are told whose key was withdrawn.
const keyWithdrawn = "the agent's access key was withdrawn"

// withdrawn tells whether an access key is an agent's that was withdrawn.
func withdrawn(t *state.Tables, key string) bool {
	k := t.AgentKeys.Get(key)
	return k != nil && k.RevokedAt != 0
}

// endKey ends the connections that were opened with a key that was withdrawn, whosever the instance is by now. The loop calls it.
func (s *Server) endKey(key string) {
	for _, n := range s.sessions {
		if l := n.base(); l.key == key {
			l.end(keyWithdrawn)
		}
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	for _, p := range s.peers.of {
		if t := p.telemetry; t != nil && t.key == key {
			t.end(keyWithdrawn)
		}
	}
}
