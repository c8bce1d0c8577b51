package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
)

// ErrLost is wrapped when the connection was lost before the answer came: the request may or may not have been done.
var ErrLost = errors.New("connection to the monitor lost")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("client closed")

// Config is a client's settings.
type Config struct {
	// Dir is the monitor's directory.
	Dir string
	// Command starts a monitor that serves Dir when none lives: the program and its arguments.
	Command []string
	Log     *slog.Logger
}

// Client calls the monitor, and starts one when none answers. All methods may be called at once.
type Client struct {
	cfg Config

	connecting sync.Mutex // one goroutine connects at a time

	mu      sync.Mutex
	session *session
	closed  bool
}

// NewClient makes a client, which connects when it is first used.
func NewClient(cfg Config) *Client { return &Client{cfg: cfg} }

// session is one connection.
type session struct {
	conn *Conn
	// lost is closed when the connection is.
	lost chan struct{}

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan *Frame
	waiters map[string][]chan Status
}

func newSession(conn net.Conn) *session {
	s := &session{conn: NewConn(conn), lost: make(chan struct{}), pending: map[uint64]chan *Frame{}, waiters: map[string][]chan Status{}}
	go s.read()
	return s
}

// Close closes the connection. The monitor and its containers live on.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.session == nil {
		return nil
	}
	if err := c.session.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // the monitor was first
}

// current is the living session or nil.
func (c *Client) current() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if c.session != nil {
		select {
		case <-c.session.lost:
			c.session = nil
		default:
		}
	}
	return c.session, nil
}

// connect gives the living session or makes one.
func (c *Client) connect(ctx context.Context) (*session, error) {
	if s, err := c.current(); s != nil || err != nil {
		return s, err
	}
	c.connecting.Lock()
	defer c.connecting.Unlock()
	if s, err := c.current(); s != nil || err != nil {
		return s, err
	}
	conn, err := c.dialOrLaunch(ctx)
	if err != nil {
		return nil, err
	}
	s := newSession(conn)
	var reply HelloReply
	if err := s.call(ctx, MethodHello, Hello{Version: Version}, &reply); err != nil {
		return nil, errors.Join(fmt.Errorf("greet the monitor: %w", err), conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(ErrClosed, conn.Close())
	}
	c.session = s
	return s, nil
}

// read distributes what comes until the connection ends.
func (s *session) read() {
	defer close(s.lost)
	defer s.conn.Close()
	for {
		f, err := s.conn.Read()
		if err != nil {
			return
		}
		if f.ID == 0 {
			s.event(f)
			continue
		}
		s.mu.Lock()
		ch := s.pending[f.ID]
		delete(s.pending, f.ID)
		s.mu.Unlock()
		if ch != nil {
			ch <- f
		}
	}
}

// event hands an exit to those who wait for it. Events of other names are of a newer monitor.
func (s *session) event(f *Frame) {
	var status Status
	if f.Method != EventExit || json.Unmarshal(f.Body, &status) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.waiters[status.ID] {
		ch <- status
	}
	delete(s.waiters, status.ID)
}

// send sends a request; its answer comes on the channel.
func (s *session) send(method string, body any) (uint64, chan *Frame, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, fmt.Errorf("encode %s: %w", method, err)
	}
	ch := make(chan *Frame, 1)
	s.mu.Lock()
	s.next++
	id := s.next
	s.pending[id] = ch
	s.mu.Unlock()
	if err := s.conn.Write(&Frame{ID: id, Method: method, Body: data}); err != nil {
		s.forget(id)
		if errors.Is(err, ErrTooLong) {
			return 0, nil, err
		}
		// The reader ends with the connection, so that the next try makes a new one.
		_ = s.conn.Close()
		<-s.lost
		return 0, nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return id, ch, nil
}

func (s *session) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
}

// answer waits for an answer and decodes it. When ctx ends first, cancelled is called and decides: true to wait on.
func (s *session) answer(ctx context.Context, id uint64, ch chan *Frame, out any, cancelled func() bool) error {
	done := ctx.Done()
	for {
		select {
		case f := <-ch:
			return decode(f, out)
		case <-s.lost:
			select {
			case f := <-ch:
				return decode(f, out)
			default:
				return ErrLost
			}
		case <-done:
			if !cancelled() {
				s.forget(id)
				return ctx.Err()
			}
			done = nil
		}
	}
}

func decode(f *Frame, out any) error {
	if f.Error != nil {
		return f.Error
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(f.Body, out); err != nil {
		return fmt.Errorf("decode the monitor's answer: %w", err)
	}
	return nil
}

func (s *session) call(ctx context.Context, method string, body, out any) error {
	id, ch, err := s.send(method, body)
	if err != nil {
		return err
	}
	return s.answer(ctx, id, ch, out, func() bool { return false })
}

// retries is how often a request is tried again on a new connection.
const retries = 3

// Call makes a request that may be done twice without harm: it is tried again if the connection is lost meanwhile.
func (c *Client) Call(ctx context.Context, method string, body, out any) error {
	var err error
	for range retries {
		var s *session
		if s, err = c.connect(ctx); err != nil {
			return err
		}
		if err = s.call(ctx, method, body, out); !errors.Is(err, ErrLost) {
			return err
		}
	}
	return err
}

// Shutdown ends the monitor, if one lives, and waits until it is gone. It is refused while containers run, unless they are
// to be left running.
func (c *Client) Shutdown(ctx context.Context, leave bool) error {
	conn, err := Dial(c.cfg.Dir)
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connect to the monitor: %w", err)
	}
	s := newSession(conn)
	defer conn.Close()
	if err := s.call(ctx, MethodShutdown, ShutdownRequest{Leave: leave}, nil); err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	select {
	case <-s.lost:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Start asks for a container. When ctx ends the start is cancelled, and the answer to that awaited, so that an error means
// that nothing is left. If the monitor is lost meanwhile, the one that follows it clears up before it answers, and the
// start is tried again.
func (c *Client) Start(ctx context.Context, req *StartRequest) (*Status, error) {
	return c.start(ctx, MethodStart, req, func() error {
		clear := DeleteRequest{ID: req.ID, Force: true}
		if err := c.Call(context.WithoutCancel(ctx), MethodDelete, clear, nil); err != nil {
			return fmt.Errorf("clear up a start that was cut off: %w", err)
		}
		return nil
	})
}

// Restart asks for a container's restart. When ctx ends it is cancelled as Start is.
func (c *Client) Restart(ctx context.Context, req *RestartRequest) (*Status, error) {
	return c.start(ctx, MethodRestart, req, func() error { return nil })
}

// start makes a request that can be cancelled, and makes it again if the connection is lost meanwhile, once clear has removed what the
// first one left.
func (c *Client) start(ctx context.Context, method string, req any, clear func() error) (*Status, error) {
	var err error
	for range retries {
		var s *session
		if s, err = c.connect(ctx); err != nil {
			return nil, err
		}
		var status Status
		if err = s.start(ctx, method, req, &status); err == nil {
			return &status, nil
		}
		if !errors.Is(err, ErrLost) {
			return nil, err
		}
		if err := clear(); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, err
}

// start makes a request that can be cancelled.
func (s *session) start(ctx context.Context, method string, req any, status *Status) error {
	id, ch, err := s.send(method, req)
	if err != nil {
		return err
	}
	return s.answer(ctx, id, ch, status, func() bool {
		body, err := json.Marshal(CancelRequest{Frame: id})
		if err != nil {
			return true
		}
		// Should this fail, the connection is lost, which the wait for the answer sees.
		_ = s.conn.Write(&Frame{Method: MethodCancel, Body: body})
		return true
	})
}

// Wait blocks until the container has exited. It outlasts monitors.
func (c *Client) Wait(ctx context.Context, id string) (*Status, error) {
	for {
		s, err := c.connect(ctx)
		if err != nil {
			return nil, err
		}
		status, err := s.wait(ctx, id)
		if !errors.Is(err, ErrLost) {
			return status, err
		}
	}
}

// wait waits for the end of the run that the container is in.
func (s *session) wait(ctx context.Context, id string) (*Status, error) {
	for {
		status, run, err := s.waitOnce(ctx, id)
		if err != nil || status.Restarts >= run {
			return status, err
		}
		// The end of an earlier run was told late.
	}
}

// waitOnce listens before it asks, so that no exit falls between. run is the run that the container was in when asked.
func (s *session) waitOnce(ctx context.Context, id string) (ended *Status, run int, err error) {
	ch := make(chan Status, 1)
	s.mu.Lock()
	s.waiters[id] = append(s.waiters[id], ch)
	s.mu.Unlock()
	defer s.unwait(id, ch)
	var status Status
	if err := s.call(ctx, MethodGet, IDRequest{ID: id}, &status); err != nil {
		return nil, 0, err
	}
	if status.State == StateExited {
		return &status, status.Restarts, nil
	}
	select {
	case ended := <-ch:
		return &ended, status.Restarts, nil
	case <-s.lost:
		return nil, 0, ErrLost
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

func (s *session) unwait(id string, ch chan Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.waiters[id]
	for i, w := range list {
		if w == ch {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(s.waiters, id)
	} else {
		s.waiters[id] = list
	}
}
