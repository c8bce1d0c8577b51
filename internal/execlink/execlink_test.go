package execlink

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/ssmsession"
)

var instance = ecs.InstanceID{1}

// world is a broker behind a server, with an agent's part played by the test.
type world struct {
	*Broker
	t   *testing.T
	url string
	// connected is what the broker is told of the agent, and ended what it tells it.
	connected bool
	ended     chan string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, connected: true, ended: make(chan string, 10)}
	w.Broker = New(Config{Log: slog.New(slog.DiscardHandler), Tell: func(_ ecs.InstanceID, _ []acs.ExecSession, end []string) bool {
		for _, id := range end {
			w.ended <- id
		}
		return w.connected
	}})
	mux := http.NewServeMux()
	mux.Handle("GET "+ClientPath+"{session}", w.Broker)
	mux.HandleFunc("GET /agent", func(rw http.ResponseWriter, r *http.Request) { w.ServeAgent(rw, r, instance) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	w.url = "ws" + strings.TrimPrefix(srv.URL, "http")
	return w
}

func (w *world) dial(path string) *websocket.Conn {
	w.t.Helper()
	c, _, err := websocket.Dial(w.t.Context(), w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func (w *world) send(c *websocket.Conn, kind websocket.MessageType, data []byte) {
	w.t.Helper()
	if err := c.Write(w.t.Context(), kind, data); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) client(id, token string) *websocket.Conn {
	w.t.Helper()
	c := w.dial(ClientPath + id)
	hello, err := json.Marshal(ssmsession.OpenDataChannel{TokenValue: token})
	if err != nil {
		w.t.Fatal(err)
	}
	w.send(c, websocket.MessageText, hello)
	return c
}

func (w *world) note(c *websocket.Conn) acs.ExecNote {
	w.t.Helper()
	kind, data, err := c.Read(w.t.Context())
	var n acs.ExecNote
	if err != nil || kind != websocket.MessageText || json.Unmarshal(data, &n) != nil {
		w.t.Fatalf("%v %q, %v", kind, data, err)
	}
	return n
}

func (w *world) refused(c *websocket.Conn) {
	w.t.Helper()
	if _, _, err := c.Read(w.t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		w.t.Errorf("not refused: %v", err)
	}
}

// TestRelay: frames go to and fro, an agent that comes again is told of the client, and what was said for an earlier client is not passed on.
func TestRelay(t *testing.T) {
	w := newWorld(t)
	id, token, err := w.Begin(Target{Instance: instance, RuntimeID: "r", Command: "sh"})
	if err != nil {
		t.Fatal(err)
	}
	agent := w.dial("/agent?session=" + id)
	client := w.client(id, token)
	came := w.note(agent)
	if came.Event != acs.ExecClientCame {
		t.Fatalf("%+v", came)
	}
	w.send(agent, websocket.MessageBinary, []byte("for nobody"))
	w.send(agent, websocket.MessageText, note(acs.ExecBegun, came.Client).data)
	w.send(agent, websocket.MessageBinary, []byte("down"))
	if _, data, err := client.Read(t.Context()); err != nil || string(data) != "down" {
		t.Fatalf("%q, %v", data, err)
	}
	w.send(client, websocket.MessageBinary, []byte("up"))
	if _, data, err := agent.Read(t.Context()); err != nil || string(data) != "up" {
		t.Fatalf("%q, %v", data, err)
	}
	again := w.dial("/agent?session=" + id)
	if n := w.note(again); n.Event != acs.ExecClientCame || n.Client != came.Client+1 {
		t.Fatalf("%+v", n)
	}
	if held := w.Held(instance); len(held) != 1 || !held[0].Opened {
		t.Errorf("%+v", held)
	}
	w.Ended(ecs.InstanceID{2}, []acs.ExecEnd{{ID: id}})
	if len(w.Held(instance)) != 1 {
		t.Error("another instance's agent ended it")
	}
	w.Ended(instance, []acs.ExecEnd{{ID: id, Reason: "over"}})
	_, data, err := client.Read(t.Context())
	if f, bad := ssmsession.Decode(data); err != nil || bad != nil || f.Type != ssmsession.TypeClosed || !strings.Contains(string(f.Payload), "over") {
		t.Errorf("%q, %v", data, err)
	}
}

// TestMeet: an agent and a client that come at the same moment find each other, and the agent is told of the client once.
func TestMeet(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		id, token, err := w.Begin(Target{Instance: instance, RuntimeID: "r", Command: "sh"})
		if err != nil {
			t.Fatal(err)
		}
		s := w.get(id)
		s.ordered.Lock()
		agent := w.dial("/agent?session=" + id)
		client := w.client(id, token)
		for registered := false; !registered; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			registered = s.clients == 1
			s.mu.Unlock()
		}
		s.ordered.Unlock() // both wait for it, in either order
		came := w.note(agent)
		w.send(client, websocket.MessageBinary, []byte("up"))
		if _, data, err := agent.Read(t.Context()); err != nil || string(data) != "up" {
			t.Fatalf("after %+v: %q, %v", came, data, err)
		}
	}
}

// TestTokens: a token is good once and for a while, and a new one makes it void.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	id, token, err := w.Begin(Target{Instance: instance, RuntimeID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	w.refused(w.client(id, ""))
	w.refused(w.client(id, "wrong"))
	garbage := w.dial(ClientPath + id)
	w.send(garbage, websocket.MessageBinary, []byte{0, 1, 2})
	w.refused(garbage)
	second, err := w.Resume(id)
	if err != nil {
		t.Fatal(err)
	}
	w.refused(w.client(id, token))
	agent := w.dial("/agent?session=" + id)
	w.client(id, second)
	if n := w.note(agent); n.Event != acs.ExecClientCame {
		t.Fatalf("%+v", n)
	}
	w.refused(w.client(id, second))
	s := w.get(id)
	if late := s.newToken(-time.Second); s.redeem(late) {
		t.Error("a token is taken after its time")
	}
	if _, resp, err := websocket.Dial(t.Context(), w.url+ClientPath+"none", nil); err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%v", err)
	}
}

func TestEnds(t *testing.T) {
	w := newWorld(t)
	id, _, err := w.Begin(Target{Instance: instance, RuntimeID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	s := w.get(id)
	if s.lost(time.Now(), time.Minute, time.Hour) || !s.lost(time.Now().Add(2*time.Minute), time.Minute, time.Hour) {
		t.Error("an agent that does not come is not noticed in its time")
	}
	if err := w.Terminate(id); err != nil || <-w.ended != id {
		t.Errorf("%v", err)
	}
	if err := w.Terminate(id); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, err := w.Resume(id); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	w.connected = false
	if _, _, err := w.Begin(Target{Instance: instance}); !errors.Is(err, ErrNotConnected) || len(w.all()) != 0 {
		t.Errorf("%v, %d sessions", err, len(w.all()))
	}
	w.connected = true
	for range maxOfContainer {
		if _, _, err := w.Begin(Target{Instance: instance, RuntimeID: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.Begin(Target{Instance: instance, RuntimeID: "r"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
}
