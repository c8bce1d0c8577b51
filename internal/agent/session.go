package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/execcmd"
)

// Times of a session.
const (
	// silence is how long the server may say nothing. It sends heartbeats every few ten seconds.
	silence = 90 * time.Second
	// ackTimeout is how long it may take to acknowledge a report, and writeTimeout to take a frame.
	ackTimeout   = time.Minute
	writeTimeout = 30 * time.Second
	// farewell is how long the closing of a connection may take.
	farewell = time.Second
)

// session is one websocket, from its opening to its end.
type session struct {
	engine  *engine.Engine
	checkup *checkup
	exec    *execcmd.Manager
	conn    *websocket.Conn
	log     *slog.Logger
	// acks has the ids of the reports that the server acknowledged.
	acks chan string
	// beaten is rung by heartbeats.
	beaten chan struct{}
}

func newSession(a *Agent, conn *websocket.Conn) *session {
	return &session{engine: a.engine, checkup: a.checkup, exec: a.exec, conn: conn, log: a.cfg.Log, acks: make(chan string, 8), beaten: make(chan struct{}, 1)}
}

// run carries the session until it breaks or ctx ends. The error says why it ended.
func (s *session) run(ctx context.Context) error {
	// A read that is given up breaks the connection, so the end of ctx reaches the reader through an orderly close.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var parts sync.WaitGroup
	for _, part := range []func(context.Context) error{s.read, s.report, s.checks, s.execEnds} {
		parts.Go(func() { cancel(part(inner)) })
	}
	select {
	case <-ctx.Done():
		// A server that does not answer the goodbye is cut off: the end of inner breaks the connection under it.
		cut := time.AfterFunc(farewell, func() { cancel(ctx.Err()) })
		if err := s.conn.Close(websocket.StatusNormalClosure, "the agent is stopping"); err != nil {
			s.log.Debug("the connection did not close in order", "err", err)
		}
		cut.Stop()
		cancel(ctx.Err())
	case <-inner.Done():
	}
	// An error here says only that it is closed already.
	_ = s.conn.CloseNow()
	parts.Wait()
	return context.Cause(inner)
}

// read takes what the server says.
func (s *session) read(ctx context.Context) error {
	for {
		frame, err := s.next(ctx)
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		name, body, err := acs.Decode(frame)
		if err == nil {
			err = s.receive(ctx, name, body)
		}
		var bad *badMessage
		switch {
		case errors.As(err, &bad):
			return err
		case err != nil:
			// As Amazon's agent does: what cannot be read is no reason to lose what can.
			s.log.Warn("a message that cannot be read is dropped", "type", name, "err", err)
		}
	}
}

// badMessage is a failure of the session, in contrast to a message that is dropped.
type badMessage struct{ cause error }

func (b *badMessage) Error() string { return "session: " + b.cause.Error() }
func (b *badMessage) Unwrap() error { return b.cause }

func (s *session) next(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_, b, err := s.conn.Read(ctx)
	return b, err
}

func (s *session) receive(ctx context.Context, name string, body json.RawMessage) error {
	switch name {
	case acs.TypeHeartbeat:
		var m acs.Heartbeat
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		select {
		case s.beaten <- struct{}{}:
		default:
		}
		return s.send(ctx, acs.TypeHeartbeatAck, acs.HeartbeatAck{MessageID: m.MessageID})
	case acs.TypeSync, acs.TypeTasks:
		var m acs.Tasks
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		if err := s.engine.Apply(ctx, &m, name == acs.TypeSync); err != nil {
			return &badMessage{err}
		}
		s.exec.Apply(m.Exec, m.EndExec, name == acs.TypeSync)
		return s.send(ctx, acs.TypeTasksAck, acs.TasksAck{MessageID: m.MessageID})
	case acs.TypeStatesAck:
		var m acs.StatesAck
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		select {
		case s.acks <- m.MessageID:
		case <-ctx.Done():
		}
		return nil
	}
	return fmt.Errorf("the agent knows no such message")
}

func (s *session) send(ctx context.Context, name string, message any) error {
	frame, err := acs.Encode(name, message)
	if err != nil {
		return &badMessage{err}
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, frame); err != nil {
		return &badMessage{err}
	}
	return nil
}

// checks tells the server after each heartbeat how the machine is.
func (s *session) checks(ctx context.Context) error {
	for {
		select {
		case <-s.beaten:
		case <-ctx.Done():
			return ctx.Err()
		}
		status, ok := s.checkup.run(ctx)
		if !ok || ctx.Err() != nil {
			continue
		}
		if err := s.send(ctx, acs.TypeInstanceStatus, status); err != nil {
			return err
		}
	}
}

// execEnds tells the server of sessions of ECS Exec that have ended.
func (s *session) execEnds(ctx context.Context) error {
	for {
		if ended := s.exec.Ended(); len(ended) > 0 {
			if err := s.send(ctx, acs.TypeExecEnded, acs.ExecEnded{Sessions: ended}); err != nil {
				return err
			}
		}
		select {
		case <-s.exec.Changed():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// report tells the server what changes: at once when nothing is on its way, else together when that is acknowledged.
func (s *session) report(ctx context.Context) error {
	for serial := 1; ; serial++ {
		batch, err := s.collect(ctx)
		if err != nil {
			return err
		}
		id := "s-" + strconv.Itoa(serial)
		err = s.send(ctx, acs.TypeStates, acs.States{MessageID: id, Tasks: batch.States})
		if err == nil {
			err = s.acknowledged(ctx, id)
		}
		if err != nil {
			s.engine.Resend(batch)
			return err
		}
		s.engine.Acknowledge(batch)
	}
}

// collect waits for something to report.
func (s *session) collect(ctx context.Context) (*engine.Batch, error) {
	for {
		if b := s.engine.Collect(); b != nil {
			return b, nil
		}
		select {
		case <-s.engine.Changed():
		case <-s.acks:
			// Of a report that was acknowledged before: some servers say things twice.
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// acknowledged waits for the server to have a report for good.
func (s *session) acknowledged(ctx context.Context, id string) error {
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	for {
		select {
		case got := <-s.acks:
			if got == id {
				return nil
			}
		case <-timer.C:
			return fmt.Errorf("session: no acknowledgement within %v", ackTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
