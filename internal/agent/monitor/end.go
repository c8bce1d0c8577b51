package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/jsonlog"
	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// ended records a container's end: first all its output, then its exit on disk, and then everybody is told.
func (m *Monitor) ended(c *container, e exit) {
	m.mu.Lock()
	status, out := c.status, c.output
	m.mu.Unlock()
	status.State, status.Pid = link.StateExited, 0
	status.ExitCode, status.ExitedAt = e.code, e.at.UTC()
	if status.ExitedAt.Before(status.StartedAt) { // it was over before the OCI runtime said that it had started
		status.ExitedAt = status.StartedAt
	}
	if kills, err := m.groups.OOMKills(c.Cgroup); err == nil {
		status.OOMKilled = kills > 0
	} else if !errors.Is(err, os.ErrNotExist) {
		m.log.Warn("cannot see whether a container was out of memory", "container", c.ID, "error", err)
	}
	if c.SharedPID {
		if err := m.groups.KillAll(c.Cgroup); err != nil {
			m.log.Error("what a container has left behind cannot be ended", "container", c.ID, "error", err)
		}
	}
	if out != nil {
		var err error
		if status.LogDropped, err = out.finish(); err != nil {
			m.log.Warn("a container's log cannot be closed", "container", c.ID, "error", err)
		}
	}
	if err := writeJSON(c.onDisk(exitFile), status); err != nil {
		// It is told all the same. Only a monitor that comes after this one will not know the code.
		m.log.Error("a container's exit cannot be written down", "container", c.ID, "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.phase, c.status, c.output = exited, status, nil
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
		c.pidfd = -1
	}
	close(c.done)
	m.broadcast(status)
}

// kill sends a signal to a container's first process, or to all.
func (m *Monitor) kill(id string, signal unix.Signal, all bool) error {
	m.mu.Lock()
	c := m.containers[id]
	if !c.known() {
		m.mu.Unlock()
		return notFound(id)
	}
	if c.phase != running || c.pidfd < 0 {
		m.mu.Unlock()
		return nil
	}
	// Under the lock, so that the descriptor is still the process's. A pid namespace of its own ends with its first
	// process, so SIGKILL to that is one to all.
	err := unix.PidfdSendSignal(c.pidfd, signal, nil, 0)
	m.mu.Unlock()
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send signal %d: %w", signal, err)
	}
	if !all || (signal == unix.SIGKILL && !c.SharedPID) {
		return nil
	}
	return m.killOthers(c, signal)
}

func (m *Monitor) killOthers(c *container, signal unix.Signal) error {
	pids, err := m.groups.Processes(c.Cgroup)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid == c.status.Pid {
			continue
		}
		if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("send signal %d to process %d: %w", signal, pid, err)
		}
	}
	return nil
}

// delete forgets a container that has exited, or, if forced, any.
func (m *Monitor) delete(ctx context.Context, req link.DeleteRequest) error {
	for {
		m.mu.Lock()
		c := m.containers[req.ID]
		if c == nil {
			m.mu.Unlock()
			return nil
		}
		switch {
		case c.past != nil:
			begun := c.begun
			m.mu.Unlock()
			if err := await(ctx, begun); err != nil {
				return err
			}
		case c.phase == exited:
			c.phase, c.deleted = deleting, make(chan struct{})
			m.mu.Unlock()
			return m.deleteExited(ctx, c, req.KeepLogs)
		case c.phase == deleting:
			other := c.deleted
			m.mu.Unlock()
			if err := await(ctx, other); err != nil {
				return err
			}
		default:
			m.mu.Unlock()
			if err := m.endForDelete(ctx, c, req.Force); err != nil {
				return err
			}
		}
	}
}

// endForDelete kills a container that is to be deleted though it runs.
func (m *Monitor) endForDelete(ctx context.Context, c *container, force bool) error {
	if !force {
		return fmt.Errorf("delete container: %s is running", c.ID)
	}
	if err := m.kill(c.ID, unix.SIGKILL, true); err != nil {
		return fmt.Errorf("delete container: %w", err)
	}
	return await(ctx, c.done)
}

// await waits until a channel is closed.
func await(ctx context.Context, closed <-chan struct{}) error {
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// yieldToStarts is the longest that a deletion waits for starts to be over.
const yieldToStarts = 500 * time.Millisecond

func (m *Monitor) deleteExited(ctx context.Context, c *container, keepLogs bool) error {
	m.yield(ctx)
	m.deletions <- struct{}{}
	err := m.erase(c, keepLogs)
	<-m.deletions
	m.mu.Lock()
	defer m.mu.Unlock()
	close(c.deleted)
	if err != nil {
		c.phase = exited // to be tried again
		return fmt.Errorf("delete container: %w", err)
	}
	return nil
}

// yield waits while starts are under way: nobody waits for the room that a deletion makes.
func (m *Monitor) yield(ctx context.Context) {
	for deadline := time.Now().Add(yieldToStarts); time.Now().Before(deadline) && ctx.Err() == nil; {
		m.mu.Lock()
		busy := m.starts > 0
		m.mu.Unlock()
		if !busy {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// erase removes everything of a container that does not run, and forgets it. What an OCI runtime's delete command would do
// is done here: it is a few directories, and a process for it would cost more than all the rest.
func (m *Monitor) erase(c *container, keepLogs bool) error {
	if err := m.clearRun(c); err != nil {
		return err
	}
	if c.Log.Path != "" && !keepLogs {
		if err := jsonlog.Remove(c.Log.Path, c.Log.MaxFiles); err != nil {
			return err
		}
	}
	if err := m.removeDir(c); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.containers, c.ID)
	m.release(c)
	return nil
}

// clearRun removes what a container's run has outside its directories.
func (m *Monitor) clearRun(c *container) error {
	if err := m.groups.KillAll(c.Cgroup); err != nil {
		return err
	}
	if err := m.groups.Remove(c.Cgroup); err != nil {
		return err
	}
	<-c.unmounted
	return os.RemoveAll(m.stateDir(c))
}

// removeDir removes a container's directories. That on the disk is renamed before, so that a monitor that finds half of it knows.
func (m *Monitor) removeDir(c *container) error {
	if err := os.RemoveAll(c.bundle); err != nil {
		return err
	}
	aside := filepath.Join(filepath.Dir(c.dir), deletedPrefix+c.ID)
	if err := os.Rename(c.dir, aside); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return os.RemoveAll(aside)
		}
		return err
	}
	return os.RemoveAll(aside)
}

func notFound(id string) error {
	return &link.Error{Message: fmt.Sprintf("container %s: not found", id), NotFound: true}
}
