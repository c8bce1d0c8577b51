// Package monitor is the process beside an agent that its containers hang on: it starts them with an OCI runtime, takes in
// their output, collects their exits and writes both to disk. It outlives the agent, and a new monitor takes over what one
// that was killed left. docs/design/runtime.md describes it; package link has what is spoken with it.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/cgroup"
	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// DefaultIdleExit is how long a monitor stays without containers and clients.
const DefaultIdleExit = 5 * time.Minute

// Config is a monitor's settings.
type Config struct {
	// Dir is the monitor's own: socket, lock and containers. One monitor at a time serves it.
	Dir string
	// Parallel is how many OCI runtimes run at once; 0 is two more than there are cores.
	Parallel int
	// IdleExit is how long it stays without containers and clients; 0 is DefaultIdleExit.
	IdleExit time.Duration
	Log      *slog.Logger
}

// ErrTaken is wrapped when another monitor serves the directory.
var ErrTaken = errors.New("another monitor serves this directory")

// Monitor is the process's state.
type Monitor struct {
	cfg    Config
	log    *slog.Logger
	groups *cgroup.Hierarchies
	// runDir has what need not outlast the machine's going down.
	runDir   string
	reaper   *reaper
	runtimes runtimes
	filters  *filters
	// slots bounds the OCI runtimes at work, deletions the deletions.
	slots, deletions chan struct{}
	stop             context.CancelFunc

	mu         sync.Mutex
	containers map[string]*container
	clients    map[*client]struct{}
	// parents counts the containers in each cgroup above a container's own, so that one in use is not removed.
	parents map[string]int
	// starts counts the starts under way, which deletions let go first.
	starts int
	// idleSince is when the last container or client went.
	idleSince time.Time
}

// Run serves cfg.Dir until ctx ends or a client shuts it down. Containers run on. The process must be in a mount namespace
// of its own, and becomes the reaper of all its descendants.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Parallel <= 0 {
		cfg.Parallel = runtime.NumCPU() + 2
	}
	if cfg.IdleExit <= 0 {
		cfg.IdleExit = DefaultIdleExit
	}
	// Every file here names its mode; the umask is for what OCI runtimes make.
	unix.Umask(0o022)
	if err := os.MkdirAll(filepath.Join(cfg.Dir, containersDir), 0o700); err != nil {
		return err
	}
	lock, err := takeLock(ctx, filepath.Join(cfg.Dir, link.LockName))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := isolate(); err != nil {
		return err
	}
	groups, err := cgroup.Find()
	if err != nil {
		return err
	}
	runDir, err := openRunDir(cfg.Dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := &Monitor{
		cfg: cfg, log: cfg.Log, groups: groups, runDir: runDir, reaper: newReaper(), filters: newFilters(filepath.Join(cfg.Dir, "seccomp")),
		slots: make(chan struct{}, cfg.Parallel), deletions: make(chan struct{}, 2), stop: stop,
		containers: map[string]*container{}, clients: map[*client]struct{}{}, parents: map[string]int{}, idleSince: time.Now(),
	}
	return m.run(ctx)
}

func (m *Monitor) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.reaper.run(ctx) })
	if err := m.recover(ctx); err != nil {
		m.stop()
		return errors.Join(fmt.Errorf("recover: %w", err), group.Wait())
	}
	listener, err := m.listen()
	if err != nil {
		m.stop()
		return errors.Join(err, group.Wait())
	}
	group.Go(func() error { return m.serve(ctx, listener) })
	group.Go(func() error { return m.exitWhenIdle(ctx) })
	m.log.Info("the monitor is ready", "pid", os.Getpid(), "dir", m.cfg.Dir, "containers", len(m.containers))
	if err := tellReady(); err != nil {
		m.log.Warn("whoever started the monitor cannot be told that it is ready", "error", err)
	}
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, m.closeRunDir())
}

// takeLock locks the directory. The lock of a monitor that was just killed is waited for.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Second); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		case ctx.Err() != nil || time.Now().After(deadline):
			return nil, errors.Join(fmt.Errorf("%w: %s", ErrTaken, filepath.Dir(path)), f.Close())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// isolate makes this process the reaper of its descendants and its mount namespace one whose mounts nobody else sees.
func isolate() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	// A parent that is in the same namespace is one of whom we would change the mounts.
	if parent, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", os.Getppid())); err == nil && parent == own {
		return errors.New("the monitor needs a mount namespace of its own: start it through an agent, or with unshare --mount")
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	// crun before 1.9 refuses a machine with a v2 tree beside the v1 trees, though it uses only those.
	if path := cgroup.HybridMount(); path != "" {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	return nil
}

func (m *Monitor) listen() (*net.UnixListener, error) {
	var listener *net.UnixListener
	err := link.WithSocketPath(m.cfg.Dir, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		var err error
		if listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			return err
		}
		// Its name goes through a descriptor that is about to be closed.
		listener.SetUnlinkOnClose(false)
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// tellReady tells the client that started this process, if one did.
func tellReady() error {
	if os.Getenv(link.ReadyEnv) == "" {
		return nil
	}
	f := os.NewFile(link.ReadyFD, "ready")
	_, err := f.WriteString(link.Ready)
	return errors.Join(err, f.Close())
}

// exitWhenIdle ends the monitor when it has had nobody to serve for a while.
func (m *Monitor) exitWhenIdle(ctx context.Context) error {
	ticker := time.NewTicker(max(m.cfg.IdleExit/10, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		m.mu.Lock()
		busy := len(m.containers) > 0 || len(m.clients) > 0
		if busy {
			m.idleSince = time.Now()
		}
		idle := time.Since(m.idleSince)
		m.mu.Unlock()
		if idle > m.cfg.IdleExit {
			m.log.Info("the monitor has nothing to do and ends")
			m.stop()
			return nil
		}
	}
}

// validID says whether an id can be a directory's and a cgroup's name.
func validID(id string) bool {
	if id == "" || len(id) > 128 || id[0] == '.' || id[0] == '-' {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
}
