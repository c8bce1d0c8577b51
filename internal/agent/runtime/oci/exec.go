package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
	"roadstead.dev/roadstead/internal/agent/runtime"
)

// drainTimeout bounds the wait for the end of a process's output when it has ended: one that it left behind may hold it open.
const drainTimeout = time.Second

var _ runtime.Process = (*process)(nil)

// process is a runtime.Process. Its output comes directly from it, through pipes or its terminal.
type process struct {
	exec *link.Exec
	// ours are our ends of its pipes, and its terminal; others the ends that are its own.
	ours, others []*os.File
	copies       sync.WaitGroup
	// done is closed when it has ended and its output is written.
	done chan struct{}

	mu       sync.Mutex
	terminal *os.File // nil if there is none, or no more
}

// Exec implements runtime.Runtime.
func (r *Runtime) Exec(ctx context.Context, id string, spec *runtime.ExecSpec) (runtime.Process, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("exec in container: no command specified")
	}
	p := &process{done: make(chan struct{})}
	begin, err := p.open(spec)
	if err == nil {
		req := &link.ExecRequest{ID: id, Args: spec.Args, Env: spec.Env, Cwd: spec.Cwd, User: spec.User, Terminal: spec.Terminal}
		p.exec, err = r.client.Exec(ctx, req, p.others)
	}
	err = errors.Join(known(err), closeAll(p.others))
	if err != nil {
		return nil, errors.Join(err, closeAll(p.ours))
	}
	if spec.Terminal {
		p.openTerminal(spec)
	}
	for _, copying := range begin {
		p.copies.Go(copying)
	}
	go p.finish()
	return p, nil
}

// open makes the process's pipes, and gives what copies its output.
func (p *process) open(spec *runtime.ExecSpec) (begin []func(), err error) {
	if spec.Terminal {
		return nil, nil
	}
	if err := p.openInput(spec.Stdin); err != nil {
		return nil, err
	}
	for i, w := range []io.Writer{spec.Stdout, spec.Stderr} {
		switch {
		case i == 1 && w != nil && same(w, spec.Stdout):
			p.others = append(p.others, p.others[1])
			continue
		case w == nil:
			if err := p.openNull(os.O_WRONLY); err != nil {
				return nil, err
			}
			continue
		}
		out, in, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		p.ours, p.others = append(p.ours, out), append(p.others, in)
		begin = append(begin, func() { copyTo(w, out) })
	}
	return begin, nil
}

// same tells whether two writers are one; those that cannot be compared are not.
func same(a, b io.Writer) (equal bool) {
	defer func() {
		if recover() != nil {
			equal = false
		}
	}()
	return a == b
}

func (p *process) openNull(flag int) error {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err == nil {
		p.others = append(p.others, f)
	}
	return err
}

func (p *process) openInput(r io.Reader) error {
	if r == nil {
		return p.openNull(os.O_RDONLY)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	p.ours, p.others = append(p.ours, in), append(p.others, out)
	// Nobody waits for this one: a reader may have nothing to give for ever.
	go func() {
		_, _ = io.Copy(in, r) // a process that takes no more input is no error
		_ = in.Close()
	}()
	return nil
}

// openTerminal copies to and from the process's terminal.
func (p *process) openTerminal(spec *runtime.ExecSpec) {
	// The monitor has made it non-blocking, so that a read can be ended.
	terminal := p.exec.Terminal
	p.terminal = terminal
	p.ours = append(p.ours, terminal)
	if spec.Stdin != nil {
		go func() { _, _ = io.Copy(terminal, spec.Stdin) }()
	}
	w := spec.Stdout
	if w == nil {
		w = io.Discard
	}
	p.copies.Go(func() { copyTo(w, terminal) })
}

// copyTo copies output until its end. One that nobody takes any more is read on: the process is not to be stopped by it.
func copyTo(w io.Writer, r *os.File) {
	_, err := io.Copy(w, r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		copyRest(w, r)
	} else if err != nil {
		_, _ = io.Copy(io.Discard, r) // at a terminal's end it is EIO, and so is this
	}
}

// What a pipe or a terminal holds at most, in bytes, and how long it is waited for what is there already.
const (
	pipeBuffer = 64 << 10
	restWait   = 50 * time.Millisecond
)

// copyRest copies what the process has written and nobody has read, once it has ended and drainTimeout is over: a writer may have been
// busy with what came before for all that time.
func copyRest(w io.Writer, r *os.File) {
	buffer := make([]byte, pipeBuffer)
	for left := len(buffer); left > 0; {
		if r.SetReadDeadline(time.Now().Add(restWait)) != nil {
			return
		}
		n, err := r.Read(buffer[:left])
		if n == 0 || err != nil {
			return
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return
		}
		left -= n
	}
}

// finish waits for the process's end and for its output.
func (p *process) finish() {
	defer close(p.done)
	<-p.exec.Done()
	interrupt := time.AfterFunc(drainTimeout, func() {
		for _, f := range p.ours {
			_ = f.SetReadDeadline(time.Unix(1, 0)) // that of the input has none
		}
	})
	p.copies.Wait()
	interrupt.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.terminal = nil
	_ = closeAll(p.ours) // all that was in them has been read
}

// Resize implements runtime.Process.
func (p *process) Resize(columns, rows uint16) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal == nil {
		return fmt.Errorf("resize the terminal: %w", runtime.ErrNoTerminal)
	}
	raw, err := p.terminal.SyscallConn()
	if err != nil {
		return err
	}
	var sizeErr error
	err = raw.Control(func(fd uintptr) {
		sizeErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	})
	return errors.Join(err, sizeErr)
}

// Signal implements runtime.Process.
func (p *process) Signal(signal int) error { return p.exec.Signal(signal) }

// Wait implements runtime.Process.
func (p *process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.exec.Result()
	case <-ctx.Done():
		return -1, ctx.Err()
	}
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) { // the same may be there twice
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
