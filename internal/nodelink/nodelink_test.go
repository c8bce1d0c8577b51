package nodelink

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
	"roadstead.dev/roadstead/internal/wire"
)

var place = ecs.Place{Account: "000000000000", Region: "us-east-1"}

// doorman lets in whoever says "let me in", or "another" with another key.
type doorman struct{}

func (doorman) Authenticate(r *http.Request, service, operation string, body []byte) (wire.Caller, error) {
	switch authorization := r.Header.Get("Authorization"); {
	case service == "ecs" && authorization == "let me in":
		return wire.Caller{AccessKeyID: "k"}, nil
	case service == "ecs" && authorization == "another":
		return wire.Caller{AccessKeyID: "another"}, nil
	}
	return wire.Caller{}, errors.New("no")
}

// pipes is a network in memory, so that sessions run on fake time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fixture is a server over a state in memory with one instance and one task definition.
type fixture struct {
	t     *testing.T
	store *state.Store
	srv   *Server
	url   string
	// client dials the server; nil dials by the network.
	client *http.Client
	inst   ecs.InstanceID
	def    *ecs.TaskDefinition
}

func newFixture(t *testing.T, heartbeat time.Duration) *fixture {
	return newFixtureOn(t, heartbeat, nil)
}

// newFixtureOn is reached over a network in memory, if there is one.
func newFixtureOn(t *testing.T, heartbeat time.Duration, network *pipes) *fixture {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: store, inst: ecs.NewInstanceID(), def: &ecs.TaskDefinition{
		Family: "f", Revision: 1, Status: ecs.DefinitionActive, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "c", Image: "i"}}}}
	f.srv = New(Config{Store: store, Place: place, Auth: doorman{}, Agent: func(c wire.Caller) string { return c.AccessKeyID }, Log: log, Heartbeat: heartbeat})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { store.Run(ctx); ended <- struct{}{} }()
	go func() { f.srv.Run(ctx); ended <- struct{}{} }()
	mux := http.NewServeMux()
	mux.Handle("/tcs/ws", f.srv.Telemetry())
	mux.Handle("/", f.srv)
	httpSrv := httptest.NewUnstartedServer(mux)
	if network != nil {
		httpSrv.Listener.Close()
		httpSrv.Listener, f.client = network, &http.Client{Transport: &http.Transport{DialContext: network.dial}}
	}
	httpSrv.Start()
	f.url = "ws" + strings.TrimPrefix(httpSrv.URL, "http")
	t.Cleanup(func() { cancel(); <-ended; <-ended; httpSrv.Close() })
	f.update(func(tx *state.Tx) {
		tx.Clusters.Put(&ecs.Cluster{Name: "default", Status: ecs.ClusterActive})
		tx.Definitions.Put(f.def)
		tx.Instances.Put(&ecs.Instance{ID: f.inst, Cluster: "default", Status: ecs.InstanceActive, Native: true, AgentKey: "k"})
	})
	return f
}

func (f *fixture) update(fn func(*state.Tx)) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), func(tx *state.Tx) error { fn(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) newTask() (id ecs.TaskID) {
	f.update(func(tx *state.Tx) {
		id = lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: f.def, Instance: f.inst}).ID
	})
	return id
}

// agent is a scripted one.
type agent struct {
	t    *testing.T
	conn *websocket.Conn
}

func (f *fixture) dial() *agent {
	f.t.Helper()
	q := url.Values{"containerInstanceArn": {place.InstanceARN("default", f.inst)}, "roadstead": {"1"}}
	conn, _, err := websocket.Dial(f.t.Context(), f.url+"?"+q.Encode(), &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"let me in"}}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(acs.MaxFrame)
	return &agent{f.t, conn}
}

func (a *agent) send(name string, msg any) {
	a.t.Helper()
	b, err := acs.Encode(name, msg)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := a.conn.Write(a.t.Context(), websocket.MessageText, b); err != nil {
		a.t.Fatal(err)
	}
}

// expect reads until a message of that name and gives it.
func expect[T any](a *agent, name string) (msg T) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, b, err := a.conn.Read(ctx)
		if err != nil {
			a.t.Fatalf("waiting for %s: %v", name, err)
		}
		got, body, err := acs.Decode(b)
		if err != nil {
			a.t.Fatal(err)
		}
		if got != name {
			continue
		}
		if err := json.Unmarshal(body, &msg); err != nil {
			a.t.Fatal(err)
		}
		return msg
	}
}

// ended reads until the connection is closed and gives the close code.
func (a *agent) ended() websocket.StatusCode {
	for {
		if _, _, err := a.conn.Read(a.t.Context()); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestSyncThenChanges(t *testing.T) {
	f := newFixture(t, time.Minute)
	early, stopping := f.newTask(), f.newTask()
	f.update(func(tx *state.Tx) { lifecycle.Stop(tx, 2, tx.Tasks.Get(stopping), ecs.StopUserInitiated, "") })
	a := f.dial()
	sync := expect[acs.Tasks](a, acs.TypeSync)
	if len(sync.Run) != 1 || sync.Run[0].ID != early || !slices.Equal(sync.Stop, []ecs.TaskID{stopping}) || len(sync.Definitions) != 1 {
		t.Fatalf("sync %+v", sync)
	}
	a.send(acs.TypeTasksAck, acs.TasksAck{MessageID: sync.MessageID})
	late := f.newTask()
	msg := expect[acs.Tasks](a, acs.TypeTasks)
	if len(msg.Run) != 1 || msg.Run[0].ID != late || len(msg.Definitions) != 0 {
		t.Errorf("the definition comes once a connection; got %+v", msg)
	}
	f.update(func(tx *state.Tx) { lifecycle.Stop(tx, 2, tx.Tasks.Get(late), ecs.StopUserInitiated, "") })
	if msg := expect[acs.Tasks](a, acs.TypeTasks); !slices.Equal(msg.Stop, []ecs.TaskID{late}) {
		t.Errorf("stop %+v", msg)
	}
	if !f.srv.Connected(f.inst) {
		t.Error("not connected")
	}
	f.update(func(tx *state.Tx) {
		lifecycle.Lose(tx, 3, tx.Tasks.Get(early), ecs.StopInfrastructureHealth, "lost, and here after all")
	})
	if msg := expect[acs.Tasks](a, acs.TypeTasks); !slices.Equal(msg.Stop, []ecs.TaskID{early}) {
		t.Errorf("stop of what was given up %+v", msg)
	}
}

func TestReportsAreDurableAndOwn(t *testing.T) {
	f := newFixture(t, time.Minute)
	mine := f.newTask()
	var other ecs.TaskID
	f.update(func(tx *state.Tx) {
		other = lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: f.def, Instance: ecs.NewInstanceID()}).ID
	})
	a := f.dial()
	a.send(acs.TypeStates, acs.States{MessageID: "1", Tasks: []acs.TaskState{
		{ID: other, Status: ecs.TaskStopped}, {ID: ecs.NewTaskID(), Status: ecs.TaskStopped}, {ID: mine, Status: ecs.TaskRunning}}})
	if ack := expect[acs.StatesAck](a, acs.TypeStatesAck); ack.MessageID != "1" {
		t.Errorf("ack %+v", ack)
	}
	v := f.store.View()
	if s := v.Tasks.Get(mine).LastStatus; s != ecs.TaskRunning {
		t.Errorf("the instance's task is %v", s)
	}
	if s := v.Tasks.Get(other).LastStatus; s != ecs.TaskPending {
		t.Errorf("another instance's task is %v", s)
	}
}

func TestNewestWins(t *testing.T) {
	f := newFixture(t, time.Minute)
	first := f.dial()
	expect[acs.Tasks](first, acs.TypeSync)
	second := f.dial()
	expect[acs.Tasks](second, acs.TypeSync)
	if code := first.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("the older connection ended with %v", code)
	}
	id := f.newTask()
	if msg := expect[acs.Tasks](second, acs.TypeTasks); len(msg.Run) != 1 || msg.Run[0].ID != id {
		t.Errorf("%+v", msg)
	}
	if !f.srv.Connected(f.inst) {
		t.Error("the end of the older connection disconnected the instance")
	}
}

// TestSlowAgent: an agent that acknowledges nothing has four messages before it, and gets the rest in one.
func TestSlowAgent(t *testing.T) {
	f := newFixture(t, time.Minute)
	a := f.dial()
	first := expect[acs.Tasks](a, acs.TypeSync)
	for range maxUnacked - 1 {
		f.newTask()
		expect[acs.Tasks](a, acs.TypeTasks)
	}
	want := map[ecs.TaskID]bool{}
	for range 10 {
		want[f.newTask()] = true
	}
	a.send(acs.TypeTasksAck, acs.TasksAck{MessageID: first.MessageID})
	got := 0
	for got < len(want) {
		msg := expect[acs.Tasks](a, acs.TypeTasks)
		for _, r := range msg.Run {
			if !want[r.ID] {
				t.Errorf("task %v was not expected", r.ID)
			}
		}
		got += len(msg.Run)
		a.send(acs.TypeTasksAck, acs.TasksAck{MessageID: msg.MessageID})
	}
}

func TestSilentAgentIsClosed(t *testing.T) {
	f := newFixture(t, 10*time.Millisecond)
	a := f.dial()
	a.ended() // answers no heartbeat
	for deadline := time.Now().Add(10 * time.Second); f.srv.Connected(f.inst); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still connected")
		}
	}
}

func TestBrokenAgents(t *testing.T) {
	f := newFixture(t, time.Minute)
	for _, frame := range []string{"", "{", `{"type":"","message":{}}`, `{"type":"RoadsteadStatesMessage","message":{"tasks":[{"id":"short"}]}}`, `{"type":"RoadsteadTasksAck","message":7}`} {
		a := f.dial()
		if err := a.conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		if code := a.ended(); code != websocket.StatusPolicyViolation {
			t.Errorf("%q: closed with %v", frame, code)
		}
	}
	// An unknown message is a newer agent's, and does no harm.
	a := f.dial()
	expect[acs.Tasks](a, acs.TypeSync)
	a.send("SomethingNew", map[string]int{"x": 1})
	f.newTask()
	expect[acs.Tasks](a, acs.TypeTasks)
}

func TestRefused(t *testing.T) {
	f := newFixture(t, time.Minute)
	gone := ecs.NewInstanceID()
	foreign, others := ecs.NewInstanceID(), ecs.NewInstanceID()
	f.update(func(tx *state.Tx) {
		tx.Instances.Put(&ecs.Instance{ID: gone, Cluster: "default", Status: ecs.InstanceInactive, Native: true, AgentKey: "k"})
		tx.Instances.Put(&ecs.Instance{ID: others, Cluster: "default", Status: ecs.InstanceActive, Native: true, AgentKey: "another"})
		tx.Instances.Put(&ecs.Instance{ID: foreign, Cluster: "default", Status: ecs.InstanceActive, AgentKey: "k"})
	})
	for _, c := range []struct{ auth, arn, native, want string }{
		{"", place.InstanceARN("default", f.inst), "1", "AccessDeniedException"},
		{"let me in", "", "1", "BadRequestException"},
		{"let me in", place.ClusterARN("default"), "1", "BadRequestException"},
		{"let me in", "arn:aws:ecs:us-east-1:000000000000:container-instance/default/xyz", "1", "BadRequestException"},
		{"let me in", place.InstanceARN("default", ecs.NewInstanceID()), "1", "InvalidInstanceException"},
		{"let me in", place.InstanceARN("default", gone), "1", "InactiveInstanceException"},
		{"let me in", place.InstanceARN("default", others), "1", "AccessDeniedException"},
		{"another", place.InstanceARN("default", f.inst), "1", "AccessDeniedException"},
		{"let me in", place.InstanceARN("default", foreign), "1", "BadRequestException"},
		{"let me in", place.InstanceARN("default", f.inst), "", "BadRequestException"},
	} {
		q := url.Values{"containerInstanceArn": {c.arn}, "roadstead": {c.native}}
		_, resp, err := websocket.Dial(t.Context(), f.url+"?"+q.Encode(), &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {c.auth}}})
		if err == nil || resp == nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		var refusal map[string]string
		if err := json.Unmarshal(body, &refusal); err != nil || len(refusal) != 1 || refusal[c.want] == "" {
			t.Errorf("%+v: %s", c, body)
		}
	}
}

func TestDeregisteredInstanceIsDisconnected(t *testing.T) {
	f := newFixture(t, time.Minute)
	a := f.dial()
	expect[acs.Tasks](a, acs.TypeSync)
	f.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(f.inst)
		i.Status = ecs.InstanceInactive
		tx.Instances.Put(&i)
	})
	if code := a.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", code)
	}
}

// TestInterfaceTravelsWithItsTask: an agent is told the address, the subnet's range and the names that it needs.
func TestInterfaceTravelsWithItsTask(t *testing.T) {
	f := newFixture(t, time.Minute)
	f.update(func(tx *state.Tx) {
		i, err := lifecycle.NewInterface(tx, lifecycle.Subnets{}, &ecs.AwsVpcConfiguration{Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"}}, ecs.InstanceID{})
		if err != nil {
			t.Fatal(err)
		}
		lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: f.def, Instance: f.inst, Interface: i, EnableExecuteCommand: true})
	})
	sync := expect[acs.Tasks](f.dial(), acs.TypeSync)
	if len(sync.Run) != 1 || sync.Run[0].Interface == nil || !sync.Run[0].EnableExecuteCommand {
		t.Fatalf("sync: %+v", sync.Run)
	}
	got := sync.Run[0].Interface
	if got.CIDR != "100.64.0.0/20" || got.Address != (ecs.IPv4{100, 64, 0, 4}) || got.MAC != "0a:58:64:40:00:04" || got.SubnetID != "subnet-1" ||
		got.PrivateDNSName != place.PrivateDNSName(got.Address) || len(got.SecurityGroups) != 1 || len(got.AttachmentID) != 36 {
		t.Errorf("interface: %+v", got)
	}
}
