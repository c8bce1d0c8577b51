package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// recover takes over what an earlier monitor of this directory left.
func (m *Monitor) recover(ctx context.Context) error {
	dir := filepath.Join(m.cfg.Dir, containersDir)
	if err := m.removeStrayBundles(); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), deletedPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
			continue
		}
		// One container that cannot be taken over is no reason to lose the others.
		if err := m.recoverContainer(ctx, filepath.Join(dir, e.Name()), boot); err != nil {
			m.log.Error("a container cannot be taken over", "container", e.Name(), "error", err)
		}
	}
	return nil
}

// removeStrayBundles removes what is left in the run directory of containers that are gone from the disk.
func (m *Monitor) removeStrayBundles() error {
	dir := filepath.Join(m.runDir, bundlesDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(m.cfg.Dir, containersDir, e.Name())); errors.Is(err, os.ErrNotExist) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Monitor) recoverContainer(ctx context.Context, dir, boot string) error {
	var r record
	if err := readJSON(filepath.Join(dir, recordFile), &r); err != nil {
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errDecode) {
			return err
		}
		m.log.Warn("a container that was never started is cleared up", "container", filepath.Base(dir), "error", err)
		return os.RemoveAll(dir) // nothing is done before the record is whole
	}
	if r.ID != filepath.Base(dir) {
		return fmt.Errorf("its record is of %q", r.ID)
	}
	c := m.newContainer(r)
	close(c.unmounted) // with the mount namespace of the earlier monitor
	m.mu.Lock()
	m.containers[c.ID] = c
	m.hold(c)
	m.mu.Unlock()
	var status link.Status
	known := readJSON(c.onDisk(exitFile), &status) == nil
	if known && status.Restarts == r.Restarts {
		m.exitedBefore(c, status)
		return nil
	}
	if r.BootID != boot { // the machine went down, and everything that ran with it
		c.phase, c.status.State = running, link.StateRunning
		m.ended(c, exit{code: -1, at: time.Now()})
		return nil
	}
	var p process
	switch err := readJSON(c.inBundle(runningFile), &p); {
	case err == nil:
		return m.adopt(ctx, c, p)
	case errors.Is(err, os.ErrNotExist) && known:
		return m.abortRestart(ctx, c, status)
	case errors.Is(err, os.ErrNotExist):
		return m.abort(ctx, c)
	default:
		return err
	}
}

// exitedBefore takes note of a container's exit that an earlier monitor wrote down.
func (m *Monitor) exitedBefore(c *container, status link.Status) {
	m.mu.Lock()
	c.phase, c.status = exited, status
	m.mu.Unlock()
	close(c.done)
}

// abortTimeout bounds the wait for an OCI runtime that outlived its monitor.
const abortTimeout = 10 * time.Second

// abort clears up a start that the earlier monitor's end cut off.
func (m *Monitor) abort(ctx context.Context, c *container) error {
	if err := awaitRuntime(ctx, c); err != nil {
		return err
	}
	m.log.Warn("a start that was cut off is cleared up", "container", c.ID)
	return m.erase(c, false)
}

// awaitRuntime waits for the end of an OCI runtime that starts a container: it would make things after we removed them.
func awaitRuntime(ctx context.Context, c *container) error {
	f, err := os.Open(c.onDisk(recordFile))
	if err != nil {
		return err
	}
	defer f.Close()
	return awaitLock(ctx, f)
}

// awaitLock waits for an OCI runtime to end, which holds the lock of a file while it runs.
func awaitLock(ctx context.Context, f *os.File) error {
	for deadline := time.Now().Add(abortTimeout); unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil; {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return errors.New("an OCI runtime of an earlier monitor does not end")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// adopt takes over a container that was running.
func (m *Monitor) adopt(ctx context.Context, c *container, p process) error {
	c.status.State, c.status.StartedAt, c.status.Pid = link.StateRunning, p.StartedAt, p.Pid
	c.phase = running
	if p.StartTicks == 0 {
		m.ended(c, exit{code: -1, at: time.Now()})
		return nil
	}
	fd, err := openProcess(p.Pid, p.StartTicks)
	if errors.Is(err, errGone) {
		m.ended(c, exit{code: -1, at: time.Now()})
		return nil
	}
	if err != nil {
		return err
	}
	c.pidfd = fd
	if err := m.endExecs(ctx, c); err != nil {
		m.log.Error("what clients of an earlier monitor ran in a container cannot be ended", "container", c.ID, "error", err)
	}
	if err := m.takeOutput(c); err != nil {
		m.log.Error("a container's output cannot be taken over", "container", c.ID, "error", err)
	}
	// The watch has a descriptor of its own: the container's is closed when its end is recorded.
	watched, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	go func() {
		code, err := awaitExit(watched, p)
		if err != nil {
			m.log.Warn("the exit code of a container cannot be had", "container", c.ID, "error", err)
		}
		m.ended(c, exit{code: code, at: time.Now()})
	}()
	return nil
}

// takeOutput goes on with a container's log. A terminal went with the earlier monitor.
func (m *Monitor) takeOutput(c *container) error {
	if c.Log.Path == "" || c.Terminal {
		return nil
	}
	log, err := m.openLog(c.Log)
	if err != nil {
		return err
	}
	c.output = &output{log: log}
	return c.output.attach(c.bundle)
}

// awaitExit waits for the end of a process that is not our child and closes its descriptor. The exit code is read from the
// zombie, while there is one, or else asked of the descriptor, which Linux 6.15 and later answer. Before that it is -1.
func awaitExit(pidfd int, p process) (int, error) {
	f := os.NewFile(uintptr(pidfd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n > 0
	})
	if err != nil {
		return -1, err
	}
	for wait := time.Millisecond; wait < 100*time.Millisecond; wait *= 2 {
		if code, ok := zombieCode(p); ok {
			return code, nil
		}
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		err := unix.IoctlPidfdInfo(pidfd, &info)
		if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
			return exitCode(unix.WaitStatus(info.Exit_code)), nil
		}
		time.Sleep(wait) // it may be between the two
	}
	return -1, nil
}
