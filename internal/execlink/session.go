package execlink

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ssmsession"
)

// Times of connections. One that does not take a message, or does not answer a ping, is cut off.
const (
	writeTimeout = 30 * time.Second
	pingEvery    = 30 * time.Second
	helloTimeout = 10 * time.Second
)

// session is one session between its two connections.
type session struct {
	id     string
	target Target

	// ordered keeps what is sent to the agent in order; it is locked before mu, and over writes.
	ordered sync.Mutex

	// mu guards all that follows, and is never held over a write.
	mu sync.Mutex
	// token is the hash of that with which a client may come once, until tokenUntil.
	token      [sha256.Size]byte
	tokenUntil time.Time
	// agent and client are the newest connections, nil for none.
	agent, client *websocket.Conn
	// clients numbers those that came, and begun is the one for which the agent speaks.
	clients, begun int64
	// opened says that the agent came once, alone is since when it is not there.
	opened bool
	alone  time.Time
	over   bool
}

// spec is the session as its agent is told.
func (s *session) spec() acs.ExecSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return acs.ExecSession{ID: s.id, RuntimeID: s.target.RuntimeID, Command: s.target.Command, Opened: s.opened, Log: s.target.Log}
}

func (s *session) newToken(life time.Duration) string {
	token := rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.tokenUntil = hash(token), time.Now().Add(life)
	return token
}

// redeem tells whether a token is the one with which a client may come now. It is good for one use.
func (s *session) redeem(token string) bool {
	given := hash(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || time.Now().After(s.tokenUntil) || subtle.ConstantTimeCompare(given[:], s.token[:]) != 1 {
		return false
	}
	s.tokenUntil = time.Time{}
	return true
}

// lost tells whether the agent is away for too long.
func (s *session) lost(now time.Time, opening, absence time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := absence
	if !s.opened {
		limit = opening
	}
	return s.agent == nil && now.Sub(s.alone) >= limit
}

// end cuts the agent off and lets the client go, with a word for its user if the agent has not said one.
func (s *session) end(reason string) {
	s.mu.Lock()
	over, agent, client := s.over, s.agent, s.client
	s.over, s.agent, s.client = true, nil, nil
	s.mu.Unlock()
	if over {
		return
	}
	if agent != nil {
		_ = agent.CloseNow() // it may be over already
	}
	if client != nil {
		// It may be slow, and nobody waits for it.
		go func() {
			_ = write(client, message{data: ssmsession.NewClosed(s.id, reason, time.Now())})
			_ = client.Close(websocket.StatusNormalClosure, "the session is over")
		}()
	}
}

type message struct {
	text bool
	data []byte
}

func note(event acs.ExecEvent, client int64) message {
	return message{true, acs.ExecNote{Event: event, Client: client}.Encode()}
}

// write sends a message, or cuts the connection off.
func write(c *websocket.Conn, m message) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	kind := websocket.MessageBinary
	if m.text {
		kind = websocket.MessageText
	}
	err := c.Write(ctx, kind, m.data)
	if err != nil {
		_ = c.CloseNow() // its reader notices
	}
	return err
}

// toAgent sends the agent a message if there is one, and unless told otherwise by still.
func (s *session) toAgent(m message, still func() bool) {
	s.ordered.Lock()
	defer s.ordered.Unlock()
	s.mu.Lock()
	agent := s.agent
	if !still() {
		agent = nil
	}
	s.mu.Unlock()
	if agent != nil {
		_ = write(agent, m) // it comes again
	}
}

// serveAgent carries the agent's connection, which takes the place of an earlier one.
func (s *session) serveAgent(ctx context.Context, c *websocket.Conn) {
	s.ordered.Lock()
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		s.ordered.Unlock()
		return
	}
	old := s.agent
	s.agent, s.opened, s.begun = c, true, 0
	client := s.client
	if client != nil {
		s.clients++
	}
	number := s.clients
	s.mu.Unlock()
	if client != nil {
		_ = write(c, note(acs.ExecClientCame, number)) // its reader notices
	}
	s.ordered.Unlock()
	if old != nil {
		_ = old.CloseNow() // it may be over already
	}
	for {
		kind, data, err := c.Read(ctx)
		if err != nil || s.fromAgent(c, message{kind == websocket.MessageText, data}) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agent == c {
		s.agent, s.alone = nil, time.Now()
	}
}

// fromAgent passes a message on; true is that the session is over.
func (s *session) fromAgent(c *websocket.Conn, m message) bool {
	if !m.text {
		s.mu.Lock()
		client := s.client
		if s.agent != c || s.begun != s.clients {
			client = nil // it is for one that has gone
		}
		s.mu.Unlock()
		if client != nil {
			_ = write(client, m) // its reader notices
		}
		return false
	}
	var n acs.ExecNote
	if json.Unmarshal(m.data, &n) != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Event == acs.ExecBegun && s.agent == c {
		s.begun = n.Client
	}
	return n.Event == acs.ExecOver && s.agent == c
}

// serveClient carries a client's connection, which takes the place of an earlier one.
func (s *session) serveClient(ctx context.Context, c *websocket.Conn) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	old := s.client
	s.client = c
	s.clients++
	number := s.clients
	s.mu.Unlock()
	if old != nil {
		_ = old.CloseNow() // it may be over already
	}
	mine := func() bool { return s.client == c }
	// An agent that came meanwhile was told of this client under a later number.
	s.toAgent(note(acs.ExecClientCame, number), func() bool { return mine() && s.clients == number })
	for {
		kind, data, err := c.Read(ctx)
		if err != nil || kind == websocket.MessageText {
			break
		}
		s.toAgent(message{data: data}, mine)
	}
	gone := false
	s.mu.Lock()
	if mine() {
		s.client, gone = nil, true
	}
	number = s.clients
	s.mu.Unlock()
	if gone {
		s.toAgent(note(acs.ExecClientGone, number), func() bool { return s.client == nil })
	}
}
