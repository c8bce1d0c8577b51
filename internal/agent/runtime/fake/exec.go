package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

var _ runtime.Process = (*process)(nil)

// process is a process in a container that fares as a Behaviour says.
type process struct {
	behaviour Behaviour
	terminal  bool
	// over is closed when it has ended, with code, and done when its output is written too.
	over, done chan struct{}
	once       sync.Once
	code       int
}

// Exec runs a process as its command asks, or as BehaveExec says.
func (r *Runtime) Exec(ctx context.Context, id string, spec *runtime.ExecSpec) (runtime.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("exec in container: %w", err)
	}
	c, err := r.find(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	status := c.status
	r.mu.Unlock()
	switch {
	case status.State != runtime.Running:
		return nil, fmt.Errorf("exec in container %s: it is %w", id, runtime.ErrNotRunning)
	case len(spec.Args) == 0:
		return nil, errors.New("exec in container: no command specified")
	}
	behave := r.BehaveExec
	if behave == nil {
		behave = func(_ *runtime.Status, spec *runtime.ExecSpec) Behaviour {
			return FromSpec(&runtime.Spec{Args: spec.Args})
		}
	}
	b := behave(&status, spec)
	if b.StartError != "" {
		return nil, fmt.Errorf("exec in container: %s", b.StartError)
	}
	p := &process{behaviour: b, terminal: spec.Terminal, over: make(chan struct{}), done: make(chan struct{})}
	go p.run(ctx, c, spec)
	return p, nil
}

func (p *process) run(ctx context.Context, c *container, spec *runtime.ExecSpec) {
	defer close(p.done)
	stop := context.AfterFunc(ctx, func() { p.end(128 + int(syscall.SIGKILL)) })
	defer stop()
	if p.behaviour.Echo {
		p.echo(spec)
	}
	begun := time.Now()
	for _, l := range p.lines() {
		if !p.sleep(max(time.Until(begun.Add(l.At)), 0), c) {
			return
		}
		if spec.Stdout != nil {
			// Who does not take the output does not stop the process.
			_, _ = io.WriteString(spec.Stdout, l.Text+"\n")
		}
	}
	if p.behaviour.After < 0 {
		p.sleep(-1, c)
		return
	}
	if p.sleep(max(time.Until(begun.Add(p.behaviour.After)), 0), c) {
		p.end(p.behaviour.ExitCode)
	}
}

func (p *process) lines() []Line {
	lines := p.behaviour.Lines
	if p.behaviour.Log != "" {
		lines = append([]Line{{Text: p.behaviour.Log}}, lines...)
	}
	return lines
}

func (p *process) echo(spec *runtime.ExecSpec) {
	if spec.Stdin != nil && spec.Stdout != nil {
		_, _ = io.Copy(spec.Stdout, spec.Stdin)
	}
}

// sleep passes the time; false says that the process ended meanwhile, on a signal or with its container. Negative is for ever.
func (p *process) sleep(d time.Duration, c *container) bool {
	var after <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
		return true
	case <-p.over:
	case <-c.done:
		p.end(128 + int(syscall.SIGKILL))
	}
	return false
}

func (p *process) end(code int) {
	p.once.Do(func() {
		p.code = code
		close(p.over)
	})
}

// Resize implements runtime.Process.
func (p *process) Resize(uint16, uint16) error {
	if !p.terminal {
		return fmt.Errorf("resize the terminal: %w", runtime.ErrNoTerminal)
	}
	return nil
}

// Signal implements runtime.Process.
func (p *process) Signal(signal int) error {
	if signal == int(syscall.SIGKILL) || !p.behaviour.IgnoreTerm && signal != 0 {
		p.end(128 + signal)
	}
	return nil
}

// Wait implements runtime.Process.
func (p *process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.code, nil
	case <-ctx.Done():
		return -1, fmt.Errorf("wait for a process: %w", ctx.Err())
	}
}
