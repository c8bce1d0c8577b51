package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
)

// Exec is a process in a container, and the connection that is its own. It lives no longer than that.
type Exec struct {
	// Terminal is the master of its terminal if it has one; whoever uses it closes it.
	Terminal *os.File

	conn *Conn
	// done is closed when the process has ended, or the connection was lost; then code and err are set.
	done chan struct{}
	code int
	err  error
}

// Exec starts a process in a running container. files are its input, output and errors, and may be closed when this
// returns; none with a terminal. When ctx ends the process is killed, whether it runs already or not.
func (c *Client) Exec(ctx context.Context, req *ExecRequest, files []*os.File) (*Exec, error) {
	var err error
	for range retries {
		// The common connection sees to it that a monitor lives.
		if _, err = c.connect(ctx); err != nil {
			return nil, err
		}
		var conn net.Conn
		if conn, err = Dial(c.cfg.Dir); err == nil {
			return startExec(ctx, NewConn(conn), req, files)
		}
		if !absent(err) {
			break
		}
	}
	return nil, fmt.Errorf("connect to the monitor: %w", err)
}

func startExec(ctx context.Context, conn *Conn, req *ExecRequest, files []*os.File) (*Exec, error) {
	// The monitor takes the end of what we send for an order to kill, and answers all the same.
	stop := context.AfterFunc(ctx, func() { _ = conn.CloseWrite() })
	e, err := askExec(conn, req, files)
	if err != nil {
		stop()
		err = errors.Join(err, conn.Close())
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, err
	}
	go func() {
		defer stop()
		e.follow()
	}()
	return e, nil
}

func askExec(conn *Conn, req *ExecRequest, files []*os.File) (*Exec, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", MethodExec, err)
	}
	if err := conn.WriteFiles(&Frame{ID: 1, Method: MethodExec, Body: body}, files); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	for {
		f, err := conn.Read()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLost, err)
		}
		if f.ID != 1 {
			continue // an event that was on its way
		}
		if err := decode(f, new(ExecReply)); err != nil {
			return nil, err
		}
		e := &Exec{conn: conn, done: make(chan struct{})}
		if received := conn.TakeFiles(); req.Terminal && len(received) == 1 {
			e.Terminal = received[0]
		} else if len(received) > 0 || req.Terminal {
			for _, f := range received {
				err = errors.Join(err, f.Close())
			}
			return nil, errors.Join(fmt.Errorf("the monitor sent %d descriptors", len(received)), err)
		}
		return e, nil
	}
}

// follow waits for the process's end.
func (e *Exec) follow() {
	defer close(e.done)
	defer e.conn.Close()
	for {
		f, err := e.conn.Read()
		if err != nil {
			e.code, e.err = -1, fmt.Errorf("%w: %w", ErrLost, err)
			return
		}
		if f.Method != EventEnded {
			continue
		}
		var ended Ended
		if err := json.Unmarshal(f.Body, &ended); err != nil {
			e.code, e.err = -1, fmt.Errorf("decode the monitor's event: %w", err)
			return
		}
		e.code = ended.ExitCode
		return
	}
}

// Done is closed when the process has ended.
func (e *Exec) Done() <-chan struct{} { return e.done }

// Result is the exit code, once Done is closed. An error is ErrLost: the monitor is gone, and the next one kills the process.
func (e *Exec) Result() (int, error) { return e.code, e.err }

// Signal sends a signal to the process. It is no error if that has ended.
func (e *Exec) Signal(signal int) error {
	body, err := json.Marshal(SignalRequest{Signal: signal})
	if err != nil {
		return fmt.Errorf("encode %s: %w", MethodSignal, err)
	}
	if err := e.conn.Write(&Frame{Method: MethodSignal, Body: body}); err != nil {
		select {
		case <-e.done:
			return nil
		default:
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
	return nil
}
