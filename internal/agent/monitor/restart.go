package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// restart starts a container that has exited once more, with its writable layer. Its exit.json stays until the next exit: with
// the number of the run in it, it tells a monitor that comes after this one whether the record's run was begun. On an error
// the container is as it was.
func (m *Monitor) restart(ctx context.Context, req *link.RestartRequest) (*link.Status, error) {
	for {
		m.mu.Lock()
		c := m.containers[req.ID]
		if c == nil {
			m.mu.Unlock()
			return nil, notFound(req.ID)
		}
		status, over := c.status, c.phase == running || c.phase == exited
		switch {
		case c.past != nil: // somebody asked before, and may have gone since
			begun := c.begun
			m.mu.Unlock()
			if err := await(ctx, begun); err != nil {
				return nil, err
			}
		case over && c.Restarts == req.N:
			m.mu.Unlock()
			return &status, nil
		case c.phase != exited || c.Restarts != req.N-1:
			m.mu.Unlock()
			return nil, fmt.Errorf("restart container: %s has not exited in the run before its restart %d", req.ID, req.N)
		default:
			again := m.another(c)
			m.mu.Unlock()
			return m.runAgain(ctx, again, req.NetNS)
		}
	}
}

// another puts a container's next run in the place of the one that has ended. m.mu is held.
func (m *Monitor) another(past *container) *container {
	r := past.record
	r.Restarts++
	c := m.newContainer(r)
	c.past, c.begun = past, make(chan struct{})
	m.containers[c.ID] = c
	m.starts++
	return c
}

// runAgain makes a restart.
func (m *Monitor) runAgain(ctx context.Context, c *container, netNS string) (*link.Status, error) {
	err := m.relaunch(ctx, c, netNS)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts--
	if err != nil {
		m.containers[c.ID] = c.past
	}
	c.past = nil
	close(c.begun)
	if err != nil {
		return nil, fmt.Errorf("restart container: %w", err)
	}
	status := c.status
	return &status, nil
}

func (m *Monitor) relaunch(ctx context.Context, c *container, netNS string) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	if boot != c.BootID {
		// What it wrote was never meant to outlast that, see mountOverlay.
		return errors.New("the machine went down since it ran")
	}
	req := &link.StartRequest{}
	if err := readJSON(c.inBundle(requestFile), req); err != nil {
		return fmt.Errorf("what it was started with is not known: %w", err)
	}
	rt, err := m.runtimes.find(c.Runtime)
	if err != nil {
		return err
	}
	l := &launch{m: m, c: c, req: req, runtime: rt, begun: time.Now()}
	if netNS != "" {
		l.edits = append(l.edits, namespacePath("network", netNS))
	}
	if err := l.run(ctx); err != nil {
		return errors.Join(err, m.revert(c))
	}
	return nil
}

// revert removes what a failed restart made, and lets the record be of the run before.
func (m *Monitor) revert(c *container) error {
	m.mu.Lock()
	out := c.output
	m.mu.Unlock()
	if out != nil {
		defer out.abandon()
	}
	err := m.clearRun(c)
	if err == nil {
		err = c.clearBundle()
	}
	if err == nil {
		r := c.record
		r.Restarts--
		err = writeJSON(c.onDisk(recordFile), r)
	}
	if err != nil {
		return fmt.Errorf("clear up: %w", err)
	}
	return nil
}

// abortRestart clears up a restart that the earlier monitor's end cut off. The run before ended with status.
func (m *Monitor) abortRestart(ctx context.Context, c *container, status link.Status) error {
	if err := awaitRuntime(ctx, c); err != nil {
		return err
	}
	m.log.Warn("a restart that was cut off is cleared up", "container", c.ID)
	if err := m.revert(c); err != nil {
		return err
	}
	c.Restarts = status.Restarts
	m.exitedBefore(c, status)
	return nil
}

// reuseFiles is makeFiles for a restart: what the container has written stays. The overlay's work directory is made anew: one
// that was mounted volatile is refused, lest what it covers was not all written, which is a matter of the machine's going down.
func (l *launch) reuseFiles() error {
	c := l.c
	if err := l.m.clearRun(c.past); err != nil {
		return err
	}
	if err := c.clearBundle(); err != nil {
		return err
	}
	if err := os.RemoveAll(c.onDisk(workDir)); err != nil {
		return err
	}
	// From here on the run is begun, and what is not known of it is cleared up.
	if err := writeJSON(c.onDisk(recordFile), c.record); err != nil {
		return err
	}
	if err := l.lock(); err != nil {
		return err
	}
	for _, path := range []string{c.inBundle(rootfsDir), c.onDisk(workDir)} {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
	}
	return l.openOutput()
}

// clearBundle removes all of the bundle but the request.
func (c *container) clearBundle() error {
	entries, err := os.ReadDir(c.bundle)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == requestFile {
			continue
		}
		if err := os.RemoveAll(c.inBundle(e.Name())); err != nil {
			return err
		}
	}
	return nil
}
