package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/agent/execcmd"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/ssmsession"

	domain "roadstead.dev/roadstead/internal/ecs"
)

// dialExec opens the websocket of a session of ECS Exec.
func (a *Agent) dialExec(ctx context.Context, session string) (execcmd.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	at := a.connected.Load() // the server tells of sessions over the connection that it is
	if at == nil {
		return nil, errors.New("connect: the agent was never connected")
	}
	req, err := wsRequest(ctx, at.endpoint, "/exec", map[string][]string{"containerInstanceArn": {at.arn}, "session": {session}})
	if err != nil {
		return nil, err
	}
	conn, err := a.connect(ctx, req, ssmsession.MaxFrame)
	if no := (*refused)(nil); errors.As(err, &no) && no.status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", execcmd.ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	return execConn{conn}, nil
}

// execConn is an execcmd.Conn.
type execConn struct{ *websocket.Conn }

// Read implements execcmd.Conn.
func (c execConn) Read(ctx context.Context) (bool, []byte, error) {
	kind, data, err := c.Conn.Read(ctx)
	return kind == websocket.MessageText, data, err
}

// Write implements execcmd.Conn.
func (c execConn) Write(ctx context.Context, text bool, message []byte) error {
	kind := websocket.MessageBinary
	if text {
		kind = websocket.MessageText
	}
	return c.Conn.Write(ctx, kind, message)
}

// Close implements execcmd.Conn.
func (c execConn) Close() error { return c.Conn.CloseNow() }

// openExecLog opens where a session of ECS Exec is logged.
func (a *Agent) openExecLog(ctx context.Context, session string, to *domain.ExecLog) (execcmd.Sink, error) {
	return logs.OpenStream(ctx, logs.Config{Client: a.cfg.ExecLogs, Log: a.cfg.Log}, logs.StreamConfig{
		Group: to.Group, Stream: session, Region: to.Region, CreateGroup: to.Create,
	})
}
