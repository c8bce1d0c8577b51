package nodelink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"

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
	srv      *Server
	instance ecs.InstanceID
	conn     *websocket.Conn
	// request is the one that it began with, and key that of its signer, who must sign every frame.
	request *http.Request
	key     string
}

func (s *Server) serveTelemetry(w http.ResponseWriter, r *http.Request) {
	inst, caller, _, ok := s.admit(w, r, "StartTelemetrySession", "containerInstance")
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
	t := &telemetry{srv: s, instance: inst.ID, conn: conn, request: r, key: caller.AccessKeyID}
	ctx, cancel := context.WithTimeout(r.Context(), life)
	defer cancel()
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		t.beat(ctx)
	}()
	err = t.read(ctx)
	cancel()
	<-beats
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed) || r.Context().Err() != nil:
	case errors.Is(err, context.DeadlineExceeded):
	default:
		s.cfg.Log.Debug("telemetry ended", "instance", inst.ID, "err", err)
		conn.Close(websocket.StatusPolicyViolation, "the frame is not accepted")
	}
}

// beat says something from time to time, without which agents leave.
func (t *telemetry) beat(ctx context.Context) {
	tick := time.NewTicker(t.srv.cfg.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := t.send(ctx, acs.TypeHeartbeat, acs.Heartbeat{Healthy: true}); err != nil {
				return
			}
		}
	}
}

func (t *telemetry) send(ctx context.Context, name string, message any) error {
	b, err := acs.Encode(name, message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*t.srv.cfg.Heartbeat)
	defer cancel()
	return t.conn.Write(ctx, websocket.MessageText, b)
}

func (t *telemetry) read(ctx context.Context) error {
	for {
		_, frame, err := t.conn.Read(ctx)
		if err != nil {
			return err
		}
		body, err := t.open(frame)
		if err != nil {
			return err
		}
		name, message, err := acs.Decode(body)
		if err != nil {
			return err
		}
		if err := t.receive(ctx, name, message); err != nil {
			return err
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
		t.srv.healths.report(t.srv.cfg.Store.View(), t.instance, &status)
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
