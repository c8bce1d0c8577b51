// Package execlink is the server's side of ECS Exec's sessions. A session's two ends are an agent, which has the command and its
// terminal (internal/agent/execcmd), and a client, AWS's session-manager-plugin. Each opens a websocket to the server, and the server
// passes the frames of the data channel (internal/ssmsession) on, without looking into them.
//
// Sessions are kept in memory, as connections are: who restarts the server ends them (docs/decisions/0150-exec-sessions-in-memory.md).
package execlink

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

// Limits of sessions. That of a container is ECS's own.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
const (
	maxOfContainer = 1000
	maxSessions    = 5000
	// maxStrangers is how many clients may be there that have not said their token yet.
	maxStrangers = 256
)

// Errors of Begin, Resume and Terminate.
var (
	ErrNotConnected = errors.New("the agent is not connected")
	ErrTooMany      = errors.New("there are too many sessions")
	ErrUnknown      = errors.New("there is no such session")
)

// Config is what a Broker needs. The times have defaults.
type Config struct {
	// Tell tells an instance's agent of sessions to hold and to end. False is that it is not connected. It must not block.
	Tell func(instance ecs.InstanceID, hold []acs.ExecSession, end []string) bool
	// TokenLife is how long a token may be used, default 1 minute; Absence how long a session may be without its agent, default 5 minutes;
	// Opening how long an agent has to come for the first time, default 30 s.
	TokenLife, Absence, Opening time.Duration
	Log                         *slog.Logger
}

// Broker has the sessions. Its methods may be called at once from many goroutines.
type Broker struct {
	cfg       Config
	strangers chan struct{}

	mu       sync.Mutex
	sessions map[string]*session
}

// New makes a broker; Run must run for sessions to end whose agent does not come.
func New(cfg Config) *Broker {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&cfg.TokenLife, time.Minute)
	def(&cfg.Absence, 5*time.Minute)
	def(&cfg.Opening, 30*time.Second)
	return &Broker{cfg: cfg, strangers: make(chan struct{}, maxStrangers), sessions: map[string]*session{}}
}

// Target is what a session is for.
type Target struct {
	Instance  ecs.InstanceID
	RuntimeID string
	Command   string
	// Log is where what the terminal shows is kept; nil is nowhere.
	Log *ecs.ExecLog
}

// Begin has the target's agent begin a session, and gives its id and the token of its client.
func (b *Broker) Begin(t Target) (id, token string, err error) {
	s := &session{id: "ecs-execute-command-" + strings.ToLower(rand.Text()), target: t, alone: time.Now()}
	token = s.newToken(b.cfg.TokenLife)
	if err := b.add(s); err != nil {
		return "", "", err
	}
	if !b.cfg.Tell(t.Instance, []acs.ExecSession{s.spec()}, nil) {
		b.remove(s)
		return "", "", ErrNotConnected
	}
	return s.id, token, nil
}

func (b *Broker) add(s *session) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	same := 0
	for _, other := range b.sessions {
		if other.target.RuntimeID == s.target.RuntimeID {
			same++
		}
	}
	if same >= maxOfContainer || len(b.sessions) >= maxSessions {
		return ErrTooMany
	}
	b.sessions[s.id] = s
	return nil
}

// Resume gives a session's client, which has lost its connection, a new token. An earlier one is void.
func (b *Broker) Resume(id string) (token string, err error) {
	s := b.get(id)
	if s == nil {
		return "", ErrUnknown
	}
	return s.newToken(b.cfg.TokenLife), nil
}

// Terminate ends a session.
func (b *Broker) Terminate(id string) error {
	s := b.get(id)
	if s == nil {
		return ErrUnknown
	}
	b.end(s, "The session was terminated.")
	return nil
}

// end ends a session whose agent does not know of it yet.
func (b *Broker) end(s *session, reason string) {
	b.remove(s)
	s.end(reason)
	// An agent that is not connected is told by the next whole truth, which has no such session.
	b.cfg.Tell(s.target.Instance, nil, []string{s.id})
	b.cfg.Log.Info("a session of ECS Exec was ended", "session", s.id, "reason", reason)
}

// Held are the sessions that an instance's agent is to hold: all of them.
func (b *Broker) Held(instance ecs.InstanceID) []acs.ExecSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	var held []acs.ExecSession
	for _, s := range b.sessions {
		if s.target.Instance == instance {
			held = append(held, s.spec())
		}
	}
	return held
}

// Ended takes an agent's word that sessions of its instance have ended.
func (b *Broker) Ended(instance ecs.InstanceID, ends []acs.ExecEnd) {
	for _, e := range ends {
		if s := b.get(e.ID); s != nil && s.target.Instance == instance {
			b.remove(s)
			s.end(e.Reason)
		}
	}
}

// Run ends sessions whose agent is away for too long, and all of them with ctx.
func (b *Broker) Run(ctx context.Context) error {
	sweep := time.NewTicker(max(time.Second, min(b.cfg.Opening, b.cfg.Absence)/4))
	defer sweep.Stop()
	for {
		select {
		case now := <-sweep.C:
			for _, s := range b.all() {
				if s.lost(now, b.cfg.Opening, b.cfg.Absence) {
					b.end(s, "The container's agent is not connected.")
				}
			}
		case <-ctx.Done():
			for _, s := range b.all() {
				b.remove(s)
				s.end("The server is stopping.")
			}
			return nil
		}
	}
}

func (b *Broker) get(id string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[id]
}

func (b *Broker) all() []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*session
	for _, s := range b.sessions {
		all = append(all, s)
	}
	return all
}

func (b *Broker) remove(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s.id)
}

func hash(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
