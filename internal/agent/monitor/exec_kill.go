package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killRounds bounds the race with a process that keeps on starting others.
const killRounds = 100

// kill kills the process and what it started in its session.
func (e *execution) kill() {
	e.signal(unix.SIGKILL)
	if err := e.m.killSession(e.c, e.session); err != nil {
		e.m.log.Warn("what a process started cannot be killed", "container", e.c.ID, "error", err)
	}
}

// killSession kills the processes of a container that are in a session, but never its first process's.
func (m *Monitor) killSession(c *container, session int) error {
	m.mu.Lock()
	first := c.status.Pid
	m.mu.Unlock()
	if own, err := sessionOf(first); session == 0 || err != nil || own == session {
		return ignoreGone(err)
	}
	for range killRounds {
		killed, err := m.killSessionOnce(c, session)
		if err != nil || killed == 0 {
			return err
		}
	}
	return fmt.Errorf("session %d does not end", session)
}

func (m *Monitor) killSessionOnce(c *container, session int) (killed int, err error) {
	pids, err := m.groups.Processes(c.Cgroup)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		fields, err := readStat(pid)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return killed, err
		}
		if fields[statState] == "Z" || fields[statSession] != strconv.Itoa(session) {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return killed, fmt.Errorf("kill process %d: %w", pid, err)
		}
		killed++
	}
	return killed, nil
}

// ignoreGone makes nothing of a process's having ended.
func ignoreGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// sessionOf gives the session that a process is in.
func sessionOf(pid int) (int, error) {
	fields, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(fields[statSession])
}

// killTree kills an OCI runtime at work and what it has forked: a process that is on its way into a container.
func killTree(pid int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil {
		for field := range strings.FieldsSeq(string(data)) {
			if child, err := strconv.Atoi(field); err == nil {
				killTree(child)
			}
		}
	}
	_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
}

// killSessionOf kills a process of a container, if it is one still, and its session.
func (m *Monitor) killSessionOf(c *container, pid int) error {
	pids, err := m.groups.Processes(c.Cgroup)
	if err != nil || !slices.Contains(pids, pid) {
		return err
	}
	session, err := sessionOf(pid)
	if err != nil {
		return ignoreGone(err)
	}
	return m.killSession(c, session)
}

// endExecs kills the processes that clients of an earlier monitor asked for in a container.
func (m *Monitor) endExecs(ctx context.Context, c *container) error {
	dirs, err := filepath.Glob(c.inBundle(execPrefix + "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		lock, err := os.Open(filepath.Join(dir, execLock))
		if err == nil {
			err = errors.Join(awaitLock(ctx, lock), lock.Close())
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		pid, err := readPid(filepath.Join(dir, pidFile))
		if err == nil {
			err = m.killSessionOf(c, pid)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
