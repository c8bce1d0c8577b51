package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
	domain "roadstead.dev/roadstead/internal/ecs"
)

const testARN = "arn:aws:ecs:us-east-1:000000000000:container-instance/default/0123456789abcdef0123456789abcdef"

var testCredentials = credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")

// pipes is a network in memory, so that a whole session runs on fake time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

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

// server is a scripted control plane: it answers the API by itself, and hands each websocket to the test.
type server struct {
	t     testing.TB
	net   *pipes
	http  *http.Server
	done  sync.WaitGroup
	conns chan *peer

	mu sync.Mutex
	// calls are the API's, in order: the operation and its body.
	calls []call
	// answer, if set, answers an API call or a websocket ("ws") in place of the usual; it returns false to leave it.
	answer func(op string, w http.ResponseWriter) bool
	// deaf, if set, keeps websockets from being read until it is closed.
	deaf chan struct{}
	// dials are the moments at which a websocket was asked for.
	dials []time.Time
}

type call struct {
	op   string
	body map[string]any
}

func newServer(t testing.TB) *server {
	s := &server{t: t, net: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}, conns: make(chan *peer, 64)}
	s.http = &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.done.Go(func() { s.http.Serve(s.net) })
	return s
}

func (s *server) close() {
	s.http.Close()
	s.net.Close()
	s.done.Wait()
}

func (s *server) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.net.dial}}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/base/ws" {
		s.serveWebsocket(w, r)
		return
	}
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonEC2ContainerServiceV20141113.")
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		s.t.Errorf("%s: %v", op, err)
	}
	s.mu.Lock()
	s.calls = append(s.calls, call{op, body})
	answer := s.answer
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if answer != nil && answer(op, w) {
		return
	}
	switch op {
	case "RegisterContainerInstance":
		fmt.Fprintf(w, `{"containerInstance":{"containerInstanceArn":%q,"attributes":[]}}`, testARN)
	case "DiscoverPollEndpoint":
		io.WriteString(w, `{"endpoint":"http://roadstead.test/base","telemetryEndpoint":"http://roadstead.test/base"}`)
	case "CreateCluster":
		io.WriteString(w, `{"cluster":{}}`)
	default:
		s.t.Errorf("unexpected call of %s", op)
	}
}

func (s *server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.dials = append(s.dials, time.Now())
	answer := s.answer
	s.mu.Unlock()
	s.checkSignature(r)
	if answer != nil && answer("ws", w) {
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.t.Errorf("accept: %v", err)
		return
	}
	conn.SetReadLimit(acs.MaxFrame)
	query := map[string]string{}
	for k := range r.URL.Query() {
		query[k] = r.URL.Query().Get(k)
	}
	s.mu.Lock()
	deaf := s.deaf
	s.mu.Unlock()
	s.conns <- newPeer(s.t, conn, query, deaf)
}

// checkSignature signs the same request again and compares.
func (s *server) checkSignature(r *http.Request) {
	when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		s.t.Errorf("X-Amz-Date: %v", err)
		return
	}
	again, err := http.NewRequest(http.MethodGet, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		s.t.Errorf("request: %v", err)
		return
	}
	creds, _ := testCredentials.Retrieve(context.Background())
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, again, emptyHash, "ecs", "us-east-1", when); err != nil {
		s.t.Errorf("sign: %v", err)
	}
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want {
		s.t.Errorf("Authorization\n%s\nwant\n%s", got, want)
	}
}

func (s *server) callsOf(op string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []call
	for _, c := range s.calls {
		if c.op == op {
			list = append(list, c)
		}
	}
	return list
}

func (s *server) script(answer func(op string, w http.ResponseWriter) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// accept waits for the agent's next websocket.
func (s *server) accept() *peer {
	s.t.Helper()
	select {
	case p := <-s.conns:
		return p
	case <-time.After(24 * time.Hour):
		s.t.Fatal("the agent does not connect")
		return nil
	}
}

// peer is the server's end of one websocket. What it receives is kept by type: acknowledgements and reports come in any order.
type peer struct {
	t     testing.TB
	conn  *websocket.Conn
	query map[string]string
	next  int

	mu     sync.Mutex
	inbox  map[string]chan json.RawMessage
	broken chan struct{}
}

func newPeer(t testing.TB, conn *websocket.Conn, query map[string]string, deaf <-chan struct{}) *peer {
	p := &peer{t: t, conn: conn, query: query, inbox: map[string]chan json.RawMessage{}, broken: make(chan struct{})}
	go func() {
		defer close(p.broken)
		if deaf != nil {
			<-deaf
		}
		for {
			_, b, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			name, body, err := acs.Decode(b)
			if err != nil {
				t.Errorf("the agent sends %q: %v", b, err)
				continue
			}
			p.box(name) <- body
		}
	}()
	return p
}

func (p *peer) box(name string) chan json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inbox[name] == nil {
		p.inbox[name] = make(chan json.RawMessage, 100)
	}
	return p.inbox[name]
}

func (p *peer) raw(frame string) {
	p.t.Helper()
	if err := p.conn.Write(context.Background(), websocket.MessageText, []byte(frame)); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

func (p *peer) send(name string, message any) {
	p.t.Helper()
	frame, err := acs.Encode(name, message)
	if err != nil {
		p.t.Fatal(err)
	}
	p.raw(string(frame))
}

// expect takes the next message of a type.
func expect[T any](p *peer, name string) T {
	p.t.Helper()
	var v T
	select {
	case body := <-p.box(name):
		if err := json.Unmarshal(body, &v); err != nil {
			p.t.Fatal(err)
		}
	case <-p.broken:
		if p.silent(name) {
			p.t.Fatalf("the connection breaks before a %s", name)
		}
		return expect[T](p, name)
	case <-time.After(time.Hour):
		p.t.Fatalf("no %s", name)
	}
	return v
}

// silent tells whether nothing of a type has come.
func (p *peer) silent(name string) bool { return len(p.box(name)) == 0 }

// tasks sends a Tasks or Sync message and reads its acknowledgement.
func (p *peer) tasks(name string, m *acs.Tasks) {
	p.t.Helper()
	p.next++
	m.MessageID = fmt.Sprintf("m-%d", p.next)
	p.send(name, m)
	if ack := expect[acs.TasksAck](p, acs.TypeTasksAck); ack.MessageID != m.MessageID {
		p.t.Fatalf("acknowledged %q, want %q", ack.MessageID, m.MessageID)
	}
}

// states reads a report and acknowledges it.
func (p *peer) states() []acs.TaskState {
	p.t.Helper()
	m := expect[acs.States](p, acs.TypeStates)
	p.send(acs.TypeStatesAck, acs.StatesAck{MessageID: m.MessageID})
	return m.Tasks
}

// until reads reports until a task has a status.
func (p *peer) until(id domain.TaskID, want domain.TaskStatus) acs.TaskState {
	p.t.Helper()
	for {
		for _, s := range p.states() {
			if s.ID == id && s.Status == want {
				return s
			}
		}
	}
}

// box is a machine with its agents, one after another.
type box struct {
	t       *testing.T
	server  *server
	runtime fake.Runtime
	images  fake.Images
	dir     string
	client  *http.Client
	stops   []func()
}

func (b *box) config() Config {
	return Config{
		ServerURL: "http://roadstead.test", Cluster: "default", Region: "us-east-1", Credentials: aws.CredentialsProvider(testCredentials),
		HTTPClient: b.client, DataDir: b.dir, Resources: &domain.Resources{CPU: 2048, MemoryMiB: 4096, Ports: []domain.Port{{Number: 22}, {Number: 53, UDP: true}}},
		Version: "1.2.3", Commit: "abc", RuntimeVersion: "fake", Images: &b.images, Runtime: &b.runtime, LogsWait: -1,
		Log: slog.New(slog.DiscardHandler),
	}
}

// boot starts an agent; the returned function ends it and gives Run's error.
func (b *box) boot(cfg Config) (stop func() error) {
	b.t.Helper()
	a, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = a.Run(ctx)
	}()
	stop = func() error { cancel(); <-done; return err }
	b.stops = append(b.stops, func() { stop() })
	return stop
}

func newBox(t *testing.T, dir string) (b *box, close func()) {
	s := newServer(t)
	b = &box{t: t, server: s, dir: dir, client: s.client()}
	return b, func() {
		for _, stop := range b.stops {
			stop()
		}
		b.client.CloseIdleConnections()
		s.close()
	}
}

func task(commands ...string) (*domain.TaskDefinition, acs.RunTask) {
	d := &domain.TaskDefinition{Family: "test", Revision: 1, NetworkMode: "none"}
	for i, c := range commands {
		d.ContainerDefinitions = append(d.ContainerDefinitions, domain.ContainerDefinition{Name: string(rune('a' + i)), Image: "busybox", Command: strings.Fields(c)})
	}
	id := domain.NewTaskID()
	return d, acs.RunTask{ID: id, Cluster: "default", ARN: "arn:aws:ecs:us-east-1:000000000000:task/default/" + id.String(), Definition: d.ID(), Known: domain.TaskPending}
}

func runMessage(d *domain.TaskDefinition, runs ...acs.RunTask) *acs.Tasks {
	return &acs.Tasks{Definitions: []*domain.TaskDefinition{d}, Run: runs}
}
