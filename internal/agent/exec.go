package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
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
	endpoint, arn := a.execTarget()
	req, err := wsRequest(ctx, endpoint, "/exec", map[string][]string{"containerInstanceArn": {arn}, "session": {session}})
	if err != nil {
		return nil, err
	}
	credentials, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: credentials: %w", err)
	}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, emptyHash, "ecs", a.cfg.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("connect: sign: %w", err)
	}
	conn, resp, err := websocket.Dial(ctx, req.URL.String(), &websocket.DialOptions{HTTPClient: a.cfg.HTTPClient, HTTPHeader: req.Header})
	switch {
	case err != nil && resp != nil && resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%w: %w", execcmd.ErrRefused, err)
	case err != nil:
		return nil, refusalOf(resp, err)
	}
	conn.SetReadLimit(ssmsession.MaxFrame)
	return execConn{conn}, nil
}

// execTarget is what the session with the server has last connected to, and as whom.
func (a *Agent) execTarget() (endpoint, arn string) {
	a.connected.Lock()
	defer a.connected.Unlock()
	return a.connected.endpoint, a.connected.arn
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
	if a.cfg.ExecLogs == nil {
		return nil, errors.New("this node has no server for logs")
	}
	return logs.OpenStream(ctx, logs.Config{Client: a.cfg.ExecLogs, Log: a.cfg.Log}, logs.StreamConfig{
		Group: to.Group, Stream: session, Region: to.Region, CreateGroup: to.Create,
	})
}
