package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// maxEvents is how many events a client may leave unread before it is cut off; it asks again when it comes back.
const maxEvents = 4096

// client is a connection of an agent.
type client struct {
	m      *Monitor
	conn   *link.Conn
	events chan link.Status
	// gone is closed when the connection is over.
	gone chan struct{}

	mu      sync.Mutex
	cancels map[uint64]context.CancelFunc // of the starts and restarts under way
}

// serve accepts clients until ctx ends.
func (m *Monitor) serve(ctx context.Context, listener *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := listener.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		c := &client{m: m, conn: link.NewConn(conn), events: make(chan link.Status, maxEvents), gone: make(chan struct{}), cancels: map[uint64]context.CancelFunc{}}
		clients.Go(func() { c.serve(ctx) })
	}
}

// serve reads requests until the connection or ctx ends. Each is done in a goroutine of its own: one that starts a container
// goes on without the client.
func (c *client) serve(ctx context.Context) {
	c.m.mu.Lock()
	c.m.clients[c] = struct{}{}
	c.m.mu.Unlock()
	defer func() {
		c.m.mu.Lock()
		delete(c.m.clients, c)
		c.m.mu.Unlock()
	}()
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	defer stop()
	defer c.conn.Close()
	defer close(c.gone)
	go c.sendEvents()
	for {
		f, err := c.conn.Read()
		if err != nil {
			return
		}
		if f.Method == link.MethodCancel {
			c.cancel(f)
			continue
		}
		if f.Method == link.MethodExec {
			c.exec(ctx, f)
			return
		}
		reqCtx, cancel := context.WithCancel(ctx)
		if f.Method == link.MethodStart || f.Method == link.MethodRestart {
			c.mu.Lock()
			c.cancels[f.ID] = cancel
			c.mu.Unlock()
		}
		go func() {
			defer cancel()
			c.answer(reqCtx, f)
		}()
	}
}

func (c *client) cancel(f *link.Frame) {
	var req link.CancelRequest
	if err := json.Unmarshal(f.Body, &req); err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.cancels[req.Frame]; cancel != nil {
		cancel()
	}
}

func (c *client) answer(ctx context.Context, f *link.Frame) {
	body, err := c.m.do(ctx, f)
	c.mu.Lock()
	delete(c.cancels, f.ID)
	c.mu.Unlock()
	// A client that has gone asks again when it is back.
	_ = c.conn.Write(replyTo(f, body, err))
}

// replyTo makes the answer to a request.
func replyTo(f *link.Frame, body any, err error) *link.Frame {
	reply := &link.Frame{ID: f.ID}
	if err == nil && body != nil {
		reply.Body, err = json.Marshal(body)
	}
	if err != nil {
		var known *link.Error
		if !errors.As(err, &known) {
			known = &link.Error{}
		}
		reply.Error = &link.Error{Message: err.Error(), NotFound: known.NotFound, NotRunning: known.NotRunning}
	}
	return reply
}

// do does a request and gives the answer's body.
func (m *Monitor) do(ctx context.Context, f *link.Frame) (any, error) {
	switch f.Method {
	case link.MethodHello:
		return link.HelloReply{Version: link.Version, Pid: os.Getpid()}, nil
	case link.MethodStart:
		req, err := body[link.StartRequest](f)
		if err != nil {
			return nil, err
		}
		return m.start(ctx, req)
	case link.MethodRestart:
		req, err := body[link.RestartRequest](f)
		if err != nil {
			return nil, err
		}
		return m.restart(ctx, req)
	case link.MethodKill:
		req, err := body[link.KillRequest](f)
		if err != nil {
			return nil, err
		}
		return nil, m.kill(req.ID, unix.Signal(req.Signal), req.All)
	case link.MethodDelete:
		req, err := body[link.DeleteRequest](f)
		if err != nil {
			return nil, err
		}
		return nil, m.delete(ctx, *req)
	case link.MethodGet:
		req, err := body[link.IDRequest](f)
		if err != nil {
			return nil, err
		}
		return m.get(req.ID)
	case link.MethodList:
		return m.list(), nil
	case link.MethodShutdown:
		req, err := body[link.ShutdownRequest](f)
		if err != nil {
			return nil, err
		}
		return nil, m.shutdown(req.Leave)
	}
	return nil, fmt.Errorf("this monitor does not know %q: it is of an older version", f.Method)
}

func body[T any](f *link.Frame) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(f.Body, v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", f.Method, err)
	}
	return v, nil
}

func (m *Monitor) get(id string) (*link.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if !c.known() {
		return nil, notFound(id)
	}
	status := c.shown()
	return &status, nil
}

func (m *Monitor) list() link.ListReply {
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := link.ListReply{Containers: []link.Status{}}
	for _, c := range m.containers {
		if c.known() {
			reply.Containers = append(reply.Containers, c.shown())
		}
	}
	return reply
}

func (m *Monitor) shutdown(leave bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !leave {
		for _, c := range m.containers {
			if c.phase == starting || c.phase == running {
				return fmt.Errorf("container %s runs", c.ID)
			}
		}
	}
	m.log.Info("the monitor is told to end", "containers", len(m.containers))
	m.stop()
	return nil
}

// broadcast tells every client of an exit; m.mu is held.
func (m *Monitor) broadcast(status link.Status) {
	for c := range m.clients {
		select {
		case c.events <- status:
		default:
			_ = c.conn.Close()
		}
	}
}

func (c *client) sendEvents() {
	for {
		select {
		case status := <-c.events:
			data, err := json.Marshal(status)
			if err != nil {
				c.m.log.Error("an exit cannot be told", "container", status.ID, "error", err)
				continue
			}
			if c.conn.Write(&link.Frame{Method: link.EventExit, Body: data}) != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}
