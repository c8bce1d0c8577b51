// Package execcmd holds the sessions of ECS Exec on a machine: each is a process with a terminal in a container, and a data channel
// (package ssmsession) to a client, AWS's session-manager-plugin. The client's websocket ends at the server, which passes frames on;
// what they say is between the client and this package. So a session outlasts the client's connection and the server's process, and
// no more than a window of its output is ever in memory: a client that reads slowly makes the process wait.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html
package execcmd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// Runtime runs processes in containers; a runtime.Runtime does.
type Runtime interface {
	Exec(ctx context.Context, container string, spec *runtime.ExecSpec) (runtime.Process, error)
}

// Conn is a websocket to the server for one session. One goroutine reads and one writes.
type Conn interface {
	// Read gives the next message: a note if it is text, else a frame.
	Read(ctx context.Context) (text bool, message []byte, err error)
	Write(ctx context.Context, text bool, message []byte) error
	// Close cuts it off. It may be called more than once.
	Close() error
}

// ErrRefused is wrapped by an error of Dial after which another try would come to the same end: the server has no such session.
var ErrRefused = errors.New("the server refuses the session's connection")

// Sink takes what a session's terminal shows. Write may block until Close.
type Sink interface {
	io.Writer
	// Close keeps what was written, until ctx ends. An error says what is lost.
	Close(ctx context.Context) error
}

// Config is what a Manager needs. Idle and Absence have defaults.
type Config struct {
	Runtime Runtime
	// Dial opens the connection of a session.
	Dial func(ctx context.Context, session string) (Conn, error)
	// OpenLog opens where a session is logged.
	OpenLog func(ctx context.Context, session string, to *ecs.ExecLog) (Sink, error)
	// Idle is how long a session may be without input and output: 20 minutes, as ECS has it.
	Idle time.Duration
	// Absence is how long a session waits for a client that is not there: 5 minutes.
	Absence time.Duration
	Log     *slog.Logger
}

// remembered is how many sessions that have ended are remembered, so that none runs twice.
const remembered = 1000

// Manager holds a machine's sessions. Its methods may be called at once from many goroutines.
type Manager struct {
	cfg     Config
	changed chan struct{}

	mu       sync.Mutex
	sessions map[string]*session
	// ctx is Run's, nil before and after it; early is what was to be held before.
	ctx     context.Context
	early   []acs.ExecSession
	over    bool
	running sync.WaitGroup
	// ended has the reasons of those that have ended, order the same by their ends; due are those of them to be reported.
	ended map[string]string
	order []string
	due   []acs.ExecEnd
}

// New makes a manager; Run must run for it to hold sessions.
func New(cfg Config) *Manager {
	if cfg.Idle == 0 {
		cfg.Idle = 20 * time.Minute
	}
	if cfg.Absence == 0 {
		cfg.Absence = 5 * time.Minute
	}
	return &Manager{cfg: cfg, changed: make(chan struct{}, 1), sessions: map[string]*session{}, ended: map[string]string{}}
}

// Run lets sessions begin until ctx ends, and then ends them. It may be called once.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	for i := range m.early {
		m.hold(&m.early[i])
	}
	m.early = nil
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.ctx, m.over = nil, true
	m.mu.Unlock()
	m.running.Wait()
	return nil
}

// reasonLost is the end of a session that an earlier process of the agent had.
const reasonLost = "The agent of the container instance was restarted."

// Apply takes what the server wants: sessions to hold, and such to end. With whole, other sessions end too.
func (m *Manager) Apply(hold []acs.ExecSession, end []string, whole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := make(map[string]bool, len(hold))
	for i := range hold {
		wanted[hold[i].ID] = true
		m.hold(&hold[i])
	}
	for _, id := range end {
		wanted[id] = true
		if s := m.sessions[id]; s != nil {
			s.terminate()
		} else {
			m.early = slices.DeleteFunc(m.early, func(s acs.ExecSession) bool { return s.ID == id })
			m.report(id, reasonTerminated)
		}
	}
	if !whole {
		return
	}
	for id, s := range m.sessions {
		if !wanted[id] {
			s.terminate()
		}
	}
}

// hold begins a session, unless it is there or has been. m.mu is held.
func (m *Manager) hold(spec *acs.ExecSession) {
	if m.sessions[spec.ID] != nil {
		return
	}
	reason, over := m.ended[spec.ID]
	switch {
	case over:
		m.report(spec.ID, reason)
	case spec.Opened:
		m.report(spec.ID, reasonLost)
	case m.ctx == nil && !m.over:
		m.early = append(m.early, *spec)
	case m.ctx != nil:
		s := newSession(&m.cfg, *spec)
		m.sessions[spec.ID] = s
		ctx := m.ctx
		m.running.Go(func() { m.run(ctx, s) })
	}
}

func (m *Manager) run(ctx context.Context, s *session) {
	m.cfg.Log.Info("session begins", "session", s.spec.ID, "container", s.spec.RuntimeID)
	reason := s.run(ctx)
	m.cfg.Log.Info("session ends", "session", s.spec.ID, "reason", reason)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, s.spec.ID)
	m.report(s.spec.ID, reason)
}

// report notes the end of a session, to be told to the server. m.mu is held.
func (m *Manager) report(id, reason string) {
	if _, known := m.ended[id]; !known {
		if len(m.order) >= remembered {
			delete(m.ended, m.order[0])
			m.order = m.order[1:]
		}
		m.ended[id] = reason
		m.order = append(m.order, id)
	}
	for _, e := range m.due {
		if e.ID == id {
			return
		}
	}
	m.due = append(m.due, acs.ExecEnd{ID: id, Reason: m.ended[id]})
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Ended gives the ends of sessions that are to be told to the server, each once: what does not arrive is asked for by a server that
// still wants the session.
func (m *Manager) Ended() []acs.ExecEnd {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := m.due
	m.due = nil
	return due
}

// Changed is rung when Ended has something.
func (m *Manager) Changed() <-chan struct{} { return m.changed }
