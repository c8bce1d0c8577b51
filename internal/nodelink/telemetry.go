package nodelink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// Telemetry is the http.Handler of the websockets over which Amazon's agents send metrics, and the health of containers and of
// themselves: GET with containerInstance in the query. Each frame is signed like a request: header lines, an empty line,
// and the JSON message.
func (s *Server) Telemetry() http.Handler { return http.HandlerFunc(s.serveTelemetry) }

// maxTelemetry is the largest frame, in bytes; agents send 1 MiB at most.
const maxTelemetry = 2 << 20

// telemetry is one connection.
type telemetry struct {
	*line
	// request is the one that it began with, whose signer must sign every frame. newest is the date of the newest frame.
	request *http.Request
	newest  string
}

func (s *Server) serveTelemetry(w http.ResponseWriter, r *http.Request) {
	inst, caller, seenAt, ok := s.admit(w, r, "StartTelemetrySession", "containerInstance", sessionGate)
	if !ok {
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.cfg.Log.Warn("websocket refused", "instance", inst.ID, "err", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxTelemetry)
	t := &telemetry{line: newLine(s, inst.ID, caller.AccessKeyID, seenAt, conn), request: r}
	t.allowed = rate.NewLimiter(frameRate, frameBurst)
	s.peers.with(s.cfg.Store.View(), inst.ID, func(p *peer) {
		if p.telemetry != nil {
			p.telemetry.end("a newer connection took its place")
		}
		p.telemetry = t
	})
	// What ended just before the loop could find the connection among the instance's.
	view := s.cfg.Store.View()
	if withdrawn(&view.Tables, t.key) {
		t.end(keyWithdrawn)
	}
	if i := view.Instances.Get(inst.ID); i == nil || i.Status == ecs.InstanceInactive {
		t.end(notRegistered)
		s.peers.forget(inst.ID)
	}
	err = t.serve(r.Context(), t.read, t.write)
	s.peers.with(s.cfg.Store.View(), inst.ID, func(p *peer) {
		if p.telemetry == t {
			p.telemetry = nil
		}
	})
	var closed websocket.CloseError
	if err != nil && !errors.As(err, &closed) {
		s.cfg.Log.Debug("telemetry ended", "instance", inst.ID, "err", err)
	}
}

// write says something from time to time, without which agents leave, until the connection has lasted long enough.
func (t *telemetry) write(ctx context.Context) error {
	beat := time.NewTicker(t.srv.cfg.Heartbeat)
	defer beat.Stop()
	over := time.NewTimer(life - rand.N(life/6))
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.srv.done:
			t.end("the server is stopping")
			return nil
		case <-over.C:
			return t.conn.Close(websocket.StatusNormalClosure, expired)
		case <-beat.C:
			if err := t.send(ctx, acs.TypeHeartbeat, acs.Heartbeat{Healthy: true}); err != nil {
				return err
			}
		}
	}
}

func (t *telemetry) read(ctx context.Context) error {
	for {
		frame, err := t.next(ctx)
		if err != nil {
			return err
		}
		body, err := t.open(frame)
		if err != nil {
			return t.refuse(err)
		}
		name, message, err := acs.Decode(body)
		if err != nil {
			return t.refuse(err)
		}
		if err := t.receive(ctx, name, message); err != nil {
			return t.refuse(err)
		}
	}
}

// open checks a frame's signature and gives what is signed.
func (t *telemetry) open(frame []byte) ([]byte, error) {
	head, body, ok := bytes.Cut(frame, []byte("\r\n\r\n"))
	if !ok {
		return nil, errors.New("a frame without a signature")
	}
	// The headers as those of the request that the connection began with, which is what the agent signs.
	text := fmt.Sprintf("GET %s HTTP/1.1\r\n%s\r\n\r\n", t.request.URL.RequestURI(), head)
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(text))))
	if err != nil {
		return nil, fmt.Errorf("a frame's headers: %w", err)
	}
	caller, err := t.srv.cfg.Auth.Authenticate(r, "ecs", "StartTelemetrySession", body)
	if err != nil {
		return nil, fmt.Errorf("a frame's signature: %w", err)
	}
	if caller.AccessKeyID != t.key {
		return nil, errors.New("a frame is signed with another key than the connection")
	}
	// Frames are signed as they are sent. The dates, of ISO 8601's basic form, sort as texts.
	date := r.Header.Get("X-Amz-Date")
	if date < t.newest {
		return nil, errors.New("a frame is older than one before it")
	}
	t.newest = date
	return body, nil
}

func (t *telemetry) receive(ctx context.Context, name string, message json.RawMessage) error {
	ack := struct {
		Message string `json:"message"`
	}{"OK"}
	switch name {
	case acs.TypeMetrics:
		var m acs.Metrics
		if err := json.Unmarshal(message, &m); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		t.srv.measured(t.instance, &m)
		return t.send(ctx, payload.TypeMetricsAck, ack)
	case acs.TypeInstanceStatus:
		var status acs.InstanceStatus
		if err := json.Unmarshal(message, &status); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		t.srv.report(t.instance, &status)
		return t.send(ctx, payload.TypeInstanceStatusAck, ack)
	case payload.TypeHealth:
		var h payload.Health
		if err := json.Unmarshal(message, &h); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := t.health(ctx, &h); err != nil {
			return err
		}
		return t.send(ctx, payload.TypeHealthAck, ack)
	default:
		t.srv.cfg.Log.Debug("unknown message from an agent", "instance", t.instance, "type", name)
		return nil
	}
}

// health takes over what became of containers' health checks: Amazon's agents say it nowhere else.
func (t *telemetry) health(ctx context.Context, h *payload.Health) error {
	var reports []acs.TaskState
	for _, task := range h.Tasks {
		id, ok := taskOf(task.TaskARN)
		if !ok {
			continue
		}
		r := acs.TaskState{ID: id}
		for _, c := range task.Containers {
			switch status := ecs.HealthStatus(c.HealthStatus); status {
			case ecs.HealthHealthy, ecs.HealthUnhealthy, ecs.HealthUnknown:
				r.Containers = append(r.Containers, ecs.Container{Name: c.ContainerName, HealthStatus: status})
			}
		}
		reports = append(reports, r)
	}
	err := t.srv.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		for _, r := range reports {
			if task := tx.Tasks.Get(r.ID); task == nil || task.Instance != t.instance {
				continue
			}
			if err := lifecycle.Report(tx, ecs.MillisOf(time.Now()), r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the health of containers: %w", err)
	}
	return nil
}
