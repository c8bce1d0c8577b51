package execlink

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/ssmsession"
)

// ClientPath is where clients come: the session's id follows.
const ClientPath = "/v1/data-channel/"

// ServeHTTP takes a client's websocket. It proves itself by the token in its first message alone, as AWS's plugin does.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := b.get(r.PathValue("session"))
	if s == nil {
		http.Error(w, "there is no such session", http.StatusNotFound)
		return
	}
	select {
	case b.strangers <- struct{}{}:
	default:
		http.Error(w, "too many clients", http.StatusServiceUnavailable)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		<-b.strangers
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(ssmsession.MaxFrame)
	known := admitted(r.Context(), s, c)
	<-b.strangers
	if !known {
		b.cfg.Log.Warn("a client without a valid token", "session", s.id)
		_ = c.Close(websocket.StatusPolicyViolation, "the token is not accepted")
		return
	}
	carry(r.Context(), c, s.serveClient)
}

// admitted reads a client's first message.
func admitted(ctx context.Context, s *session, c *websocket.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	kind, data, err := c.Read(ctx)
	if err != nil || kind != websocket.MessageText {
		return false
	}
	var open ssmsession.OpenDataChannel
	return json.Unmarshal(data, &open) == nil && s.redeem(open.TokenValue)
}

// ServeAgent takes an agent's websocket for a session of its instance.
func (b *Broker) ServeAgent(w http.ResponseWriter, r *http.Request, instance ecs.InstanceID) {
	s := b.get(r.URL.Query().Get("session"))
	if s == nil || s.target.Instance != instance {
		http.Error(w, "there is no such session", http.StatusNotFound)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(ssmsession.MaxFrame)
	carry(r.Context(), c, s.serveAgent)
	// Which ends the connection in order where the other end waits for that.
	_ = c.Close(websocket.StatusNormalClosure, "")
}

// carry serves a connection as long as it answers pings.
func carry(ctx context.Context, c *websocket.Conn, serve func(context.Context, *websocket.Conn)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(pingEvery)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			answer, stop := context.WithTimeout(ctx, writeTimeout)
			err := c.Ping(answer)
			stop()
			if err != nil {
				cancel()
				return
			}
		}
	}()
	serve(ctx, c)
	cancel()
	<-done
}
