// Package fake is a runtime and images that run nothing: containers are entries in a table that start, end and misbehave as
// their command asks. A container costs a few hundred bytes and no goroutine, so that thousands of simulated nodes fit in one process.
//
// The tables stay when the engine using them ends, as real containers outlive the agent: a test restarts an agent by giving
// the same Runtime to a new one.
package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

var (
	_ runtime.Runtime   = (*Runtime)(nil)
	_ runtime.Restarter = (*Runtime)(nil)
)

// Runtime is a runtime.Runtime. The zero value is ready; Behave, if set before use, decides in place of FromSpec, and Output
// is given each of the Lines of a Behaviour. It must not block.
type Runtime struct {
	Behave func(*runtime.Spec) Behaviour
	Output func(id, line string)
	// BehaveExec, if set, says how a process in a container fares, in place of its command as in FromSpec.
	BehaveExec func(*runtime.Status, *runtime.ExecSpec) Behaviour

	mu         sync.Mutex
	containers map[string]*container
	// starting are the ids that are taken by a Start under way.
	starting map[string]bool
}

type container struct {
	behaviour Behaviour
	status    runtime.Status
	log       string
	// restartable is Spec.Restartable.
	restartable bool
	// timer is of the next line, or of the end after the last.
	timer *time.Timer
	said  int
	done  chan struct{}
}

// Start runs a container as it asks to be run.
func (r *Runtime) Start(ctx context.Context, spec *runtime.Spec) (*runtime.Status, error) {
	b := FromSpec(spec)
	if r.Behave != nil {
		b = r.Behave(spec)
	}
	if err := r.reserve(spec); err != nil {
		return nil, err
	}
	defer r.unreserve(spec.ID)
	if b.StartDelay > 0 {
		timer := time.NewTimer(b.StartDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("start container: %w", ctx.Err())
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	if b.StartError != "" {
		return nil, fmt.Errorf("start container: %s", b.StartError)
	}
	if err := writeLog(spec.Log.Path, b.Log); err != nil {
		return nil, err
	}
	return r.begin(spec, b), nil
}

func (r *Runtime) reserve(spec *runtime.Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case spec.ID == "":
		return fmt.Errorf("start container: it has no id")
	case len(spec.Args) == 0 && !spec.Hold:
		return fmt.Errorf("start container: no command specified")
	case r.containers[spec.ID] != nil || r.starting[spec.ID]:
		return fmt.Errorf("start container: %s is taken", spec.ID)
	}
	if r.starting == nil {
		r.starting = map[string]bool{}
	}
	r.starting[spec.ID] = true
	return nil
}

func (r *Runtime) unreserve(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.starting, id)
}

func (r *Runtime) begin(spec *runtime.Spec, b Behaviour) *runtime.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &container{behaviour: b, log: spec.Log.Path, restartable: spec.Restartable, done: make(chan struct{})}
	// Pid is 0: no process is there to be looked at.
	c.status = runtime.Status{ID: spec.ID, Labels: spec.Labels, State: runtime.Running, StartedAt: time.Now()}
	if r.containers == nil {
		r.containers = map[string]*container{}
	}
	r.containers[spec.ID] = c
	status := c.status
	r.play(c)
	return &status
}

// Restart implements runtime.Restarter. The container behaves as before; StartError and StartDelay are not looked at, and RestartError is.
func (r *Runtime) Restart(ctx context.Context, id string, n int, _ string) (*runtime.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	switch {
	case c == nil:
		return nil, fmt.Errorf("restart container %s: %w", id, runtime.ErrNotFound)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("restart container: %w", ctx.Err())
	case c.status.Restarts == n && n > 0:
		status := c.status
		return &status, nil
	case !c.restartable || c.status.State != runtime.Exited || c.status.Restarts != n-1:
		return nil, fmt.Errorf("restart container %s: it cannot be started for the time %d", id, n)
	case c.behaviour.RestartError != "":
		return nil, fmt.Errorf("restart container: %s", c.behaviour.RestartError)
	}
	again := &container{behaviour: c.behaviour, log: c.log, restartable: true, done: make(chan struct{})}
	again.status = runtime.Status{ID: id, Labels: c.status.Labels, State: runtime.Running, StartedAt: time.Now(), Restarts: n}
	r.containers[id] = again
	r.play(again)
	status := again.status
	return &status, nil
}

// play says the lines that are due, and arranges for the next one or the end; r.mu is held.
func (r *Runtime) play(c *container) {
	b, ran := &c.behaviour, time.Since(c.status.StartedAt)
	if c.status.State == runtime.Exited {
		return
	}
	for ; c.said < len(b.Lines); c.said++ {
		l := &b.Lines[c.said]
		if b.After >= 0 && l.At > b.After {
			c.said = len(b.Lines)
			break
		}
		if l.At > ran {
			c.timer = time.AfterFunc(l.At-ran, func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.play(c)
			})
			return
		}
		if r.Output != nil {
			r.Output(c.status.ID, l.Text)
		}
	}
	if b.After < 0 {
		return
	}
	code := b.ExitCode
	if b.OOM {
		code = 128 + int(syscall.SIGKILL)
	}
	c.timer = time.AfterFunc(max(b.After-ran, 0), func() { r.end(c, code, b.OOM) })
}

func writeLog(path, line string) error {
	if path == "" || line == "" {
		return nil
	}
	entry, err := json.Marshal(map[string]string{"log": line + "\n", "stream": "stdout", "time": time.Now().UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if err := os.WriteFile(path, append(entry, '\n'), 0o600); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// end ends a container, once.
func (r *Runtime) end(c *container, code int, oom bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.status.State == runtime.Exited {
		return
	}
	c.status.State, c.status.Pid = runtime.Exited, 0
	c.status.ExitedAt, c.status.ExitCode, c.status.OOMKilled = time.Now(), code, oom
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.done)
}

func (r *Runtime) find(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
}

// Wait blocks until the container has ended.
func (r *Runtime) Wait(ctx context.Context, id string) (*runtime.Status, error) {
	c, err := r.find(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for container: %w", ctx.Err())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := c.status
	return &status, nil
}

// Kill ends the container as its behaviour has it.
func (r *Runtime) Kill(_ context.Context, id string, signal int, _ bool) error {
	c, err := r.find(id)
	if err != nil {
		return err
	}
	b := c.behaviour
	switch {
	case signal == int(syscall.SIGKILL):
		r.end(c, 128+signal, false)
		return nil
	case b.IgnoreTerm || signal == 0:
		return nil
	}
	code := b.TermCode
	if code == 0 {
		code = 128 + signal
	}
	if b.TermDelay == 0 {
		r.end(c, code, false)
		return nil
	}
	time.AfterFunc(b.TermDelay, func() { r.end(c, code, false) })
	return nil
}

// Delete forgets an ended container.
func (r *Runtime) Delete(_ context.Context, id string, keepLogs bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	if c == nil {
		return nil
	}
	if c.status.State != runtime.Exited {
		return fmt.Errorf("delete container %s: it is running", id)
	}
	if c.log != "" && !keepLogs {
		if err := os.Remove(c.log); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("delete container %s: %w", id, err)
		}
	}
	delete(r.containers, id)
	return nil
}

// List gives every container that is there.
func (r *Runtime) List(context.Context) ([]*runtime.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*runtime.Status, 0, len(r.containers))
	for _, c := range r.containers {
		status := c.status
		list = append(list, &status)
	}
	return list, nil
}

// Lose makes the machine go down under the containers: every running one is gone from one moment to the next, with an exit
// code that nobody knows.
func (r *Runtime) Lose() {
	r.mu.Lock()
	all := make([]*container, 0, len(r.containers))
	for _, c := range r.containers {
		all = append(all, c)
	}
	r.mu.Unlock()
	for _, c := range all {
		r.end(c, -1, false)
	}
}

// Vanish makes every container gone without a trace, as after a machine whose runtime keeps nothing over a restart.
func (r *Runtime) Vanish() {
	r.Lose()
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.containers)
}
