package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/cgroup"
	"roadstead.dev/roadstead/internal/agent/monitor/jsonlog"
	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// start makes and starts a container. On an error nothing of it is left.
func (m *Monitor) start(ctx context.Context, req *link.StartRequest) (*link.Status, error) {
	rt, err := m.runtimes.find(req.Runtime)
	if err != nil {
		return nil, err
	}
	c, err := m.reserve(req, rt)
	if err != nil {
		return nil, err
	}
	l := &launch{m: m, c: c, req: req, runtime: rt, begun: time.Now()}
	err = l.run(ctx)
	m.mu.Lock()
	m.starts--
	m.mu.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start container: %w", err), m.discard(c))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	status := c.status
	return &status, nil
}

// reserve takes a request's id.
func (m *Monitor) reserve(req *link.StartRequest, rt ociRuntime) (*container, error) {
	switch {
	case !validID(req.ID):
		return nil, fmt.Errorf("start container: %q cannot be an id", req.ID)
	case !filepath.IsAbs(req.Cgroup) || filepath.Clean(req.Cgroup) != req.Cgroup || !strings.HasPrefix(req.Cgroup, req.CgroupRoot+"/"):
		return nil, fmt.Errorf("start container: %q is not below the cgroup %q", req.Cgroup, req.CgroupRoot)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	c := m.newContainer(record{
		ID: req.ID, Labels: req.Labels, Runtime: rt.name, Cgroup: req.Cgroup, CgroupRoot: req.CgroupRoot,
		Log: req.Log, Terminal: req.Terminal, BootID: boot, SharedPID: req.SharedPID,
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.containers[req.ID] != nil {
		return nil, fmt.Errorf("start container: %s is taken", req.ID)
	}
	m.containers[req.ID] = c
	m.hold(c)
	m.starts++
	return c, nil
}

// discard removes what a failed start made.
func (m *Monitor) discard(c *container) error {
	m.mu.Lock()
	if c.output != nil {
		defer c.output.abandon()
	}
	m.mu.Unlock()
	if err := m.erase(c, false); err != nil {
		return fmt.Errorf("clear up: %w", err)
	}
	return nil
}

// launch is one start under way.
type launch struct {
	m       *Monitor
	c       *container
	req     *link.StartRequest
	runtime ociRuntime
	begun   time.Time

	record  *os.File   // locked by the OCI runtime for as long as it runs
	stdio   []*os.File // the container's ends of its output
	console *console
	joined  []*os.File              // namespaces of other containers
	mounts  []string                // of the bundle, beside the rootfs
	edits   []edit                  // of the configuration
	learned func(path string) error // tells the filters what was compiled
}

// run takes the start's steps.
func (l *launch) run(ctx context.Context) error {
	mounted := false
	defer func() {
		if !mounted {
			close(l.c.unmounted)
		}
	}()
	select {
	case l.m.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.m.slots }()
	defer l.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	files := l.makeFiles
	if l.c.past != nil {
		files = l.reuseFiles
	}
	if err := files(); err != nil {
		return err
	}
	rootfs := l.c.inBundle(rootfsDir)
	if err := mountOverlay(l.req.Layers, l.c.onDisk(upperDir), l.c.onDisk(workDir), rootfs); err != nil {
		return err
	}
	// The container has its own mount from the moment it starts. With ours gone the next container's mount namespace
	// has less to copy, and nothing is left to unmount when it ends.
	mounted = true
	defer func() {
		go func() {
			defer close(l.c.unmounted)
			for _, path := range append(l.mounts, rootfs) {
				if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
					l.m.log.Error("a container's files cannot be unmounted", "container", l.c.ID, "path", path, "error", err)
				}
			}
		}()
	}()
	if err := l.share(); err != nil {
		return err
	}
	if err := l.writeConfig(rootfs); err != nil {
		return err
	}
	if err := l.limitParent(); err != nil {
		return err
	}
	if err := l.exec(ctx); err != nil {
		return err
	}
	return l.started(ctx)
}

// limitParent bounds the cgroup that the container's is in. It is held since reserve, and so is not removed meanwhile.
func (l *launch) limitParent() error {
	limits := cgroup.Limits{Cores: l.req.ParentCPUQuota, Memory: l.req.ParentMemoryLimit}
	parent := path.Dir(l.req.Cgroup)
	if limits == (cgroup.Limits{}) || parent == l.req.CgroupRoot {
		return nil
	}
	if err := l.m.groups.Limit(parent, limits); err != nil {
		return fmt.Errorf("control group %s: %w", parent, err)
	}
	return nil
}

// close closes what only the start needs.
func (l *launch) close() {
	if l.learned != nil {
		if err := l.learned(""); err != nil {
			l.m.log.Warn("a seccomp filter cannot be kept", "error", err)
		}
	}
	files := append(l.stdio, l.joined...)
	if l.record != nil {
		files = append(files, l.record)
	}
	if l.console != nil {
		l.console.close()
	}
	if err := closeAll(files); err != nil {
		l.m.log.Error("a start's files cannot be closed", "container", l.c.ID, "error", err)
	}
}

// makeFiles makes the container's directory, with a record of what will have to be cleared up.
func (l *launch) makeFiles() error {
	c := l.c
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(c.record)
	if err != nil {
		return err
	}
	// Written in place: until it is whole nothing has been done that would need it.
	if err := os.WriteFile(c.onDisk(recordFile), data, 0o600); err != nil {
		return err
	}
	if err := l.lock(); err != nil {
		return err
	}
	if err := os.Mkdir(c.bundle, 0o700); err != nil {
		return err
	}
	for _, path := range []string{c.inBundle(rootfsDir), c.onDisk(upperDir), c.onDisk(workDir)} {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
	}
	if len(l.req.Layers) > 0 {
		if err := copyOwner(l.req.Layers[0], c.onDisk(upperDir)); err != nil {
			return err
		}
	}
	if l.req.Restartable {
		if err := writeJSON(c.inBundle(requestFile), l.req); err != nil {
			return err
		}
	}
	return l.openOutput()
}

// lock opens the record and locks it, for the OCI runtime to hold the lock.
func (l *launch) lock() (err error) {
	if l.record, err = os.Open(l.c.onDisk(recordFile)); err != nil {
		return err
	}
	if err := unix.Flock(int(l.record.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock the container's record: %w", err)
	}
	return nil
}

// openOutput makes what takes in the container's output.
func (l *launch) openOutput() error {
	spec := l.req.Log
	if spec.Path == "" && !l.req.Terminal {
		return nil
	}
	if !filepath.IsAbs(spec.Path) && spec.Path != "" {
		return fmt.Errorf("the log's path %q is not absolute", spec.Path)
	}
	log, err := l.m.openLog(spec)
	if err != nil {
		return err
	}
	o := &output{log: log}
	l.m.mu.Lock()
	l.c.output = o
	l.m.mu.Unlock()
	if l.req.Terminal {
		l.console, err = listenConsole(l.c.bundle)
		return err
	}
	if l.stdio, err = makeFIFOs(l.c.bundle); err != nil {
		return err
	}
	return o.attach(l.c.bundle)
}

func (m *Monitor) openLog(spec link.Log) (*jsonlog.File, error) {
	return jsonlog.Open(jsonlog.Config{Path: spec.Path, MaxBytes: spec.MaxBytes, MaxFiles: spec.MaxFiles, Log: m.log})
}

// writeConfig completes the configuration by what the mounted image tells, and writes it.
func (l *launch) writeConfig(rootfs string) error {
	root, err := openRootfs(rootfs)
	if err != nil {
		return err
	}
	defer root.close()
	u, err := root.user(l.req.User)
	if err != nil {
		return err
	}
	var filter string
	if len(l.req.Seccomp) > 0 && l.runtime.takesFilter() {
		filter, l.learned = l.m.filters.get(l.runtime, l.req.Seccomp).use()
	}
	config, cwd, err := completeConfig(l.req, u, filter, l.edits...)
	if err != nil {
		return err
	}
	if err := root.mkdirAll(cwd); err != nil {
		return err
	}
	return os.WriteFile(l.c.inBundle(configFile), config, 0o600)
}

// cancelGrace is how long an OCI runtime at work may go on when its start is given up.
const cancelGrace = 5 * time.Second

// exec runs the OCI runtime, which starts the container and ends.
func (l *launch) exec(ctx context.Context) error {
	c := l.c
	root := l.m.runtimeRoot(c.Runtime)
	argv := []string{l.runtime.path, "--root", root, "--log", c.inBundle(messageFile), "--log-format", "json",
		"run", "--detach", "--bundle", c.bundle, "--pid-file", c.inBundle(pidFile)}
	if l.console != nil {
		argv = append(argv, "--console-socket", l.console.path())
	}
	argv = append(argv, c.ID)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd(), l.record.Fd()}
	for i, f := range l.stdio {
		files[1+i] = f.Fd()
	}
	attr := &syscall.ProcAttr{Dir: c.bundle, Env: os.Environ(), Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	pid, done, err := l.m.reaper.start(l.runtime.path, argv, attr)
	if err != nil {
		l.m.runtimes.forget()
		return err
	}
	var e exit
	select {
	case e = <-done:
	case <-ctx.Done():
		timer := time.AfterFunc(cancelGrace, func() { _ = unix.Kill(pid, unix.SIGKILL) })
		e = <-done
		timer.Stop()
	}
	if e.code != 0 {
		return fmt.Errorf("%s: %w", c.Runtime, runtimeError(c.inBundle(messageFile), e.code))
	}
	return nil
}

// runtimeError reads why an OCI runtime failed from the end of its log.
func runtimeError(path string, code int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("it ended with status %d and no message: %w", code, err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(lines[i]), &entry) == nil && entry.Level == "error" && entry.Msg != "" {
			return errors.New(entry.Msg)
		}
	}
	return fmt.Errorf("it ended with status %d", code)
}

// started takes the container over from the OCI runtime.
func (l *launch) started(ctx context.Context) error {
	c, m := l.c, l.m
	var pid int
	data, err := os.ReadFile(c.inBundle(pidFile))
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(string(data), &pid); err != nil || pid <= 1 {
		return fmt.Errorf("%s wrote the pid %q", c.Runtime, data)
	}
	p := process{Pid: pid, StartedAt: time.Now().UTC()}
	// It may have ended already; then its end waits for the claim.
	if p.StartTicks, err = startTicks(pid); err != nil && !errors.Is(err, errGone) {
		return err
	}
	awaitProgram(pid)
	fd, err := openProcess(pid, p.StartTicks)
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	end := m.reaper.claim(pid, l.begun)
	if err := l.settle(ctx, p); err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return err
	}
	m.mu.Lock()
	c.phase, c.pidfd = running, fd
	c.status.State, c.status.Pid, c.status.StartedAt = link.StateRunning, pid, p.StartedAt
	m.mu.Unlock()
	go func() { m.ended(c, <-end) }()
	return nil
}

// awaitProgram waits until the container's first process runs its program. runc says that it does a moment before, while a
// signal would still end runc's own code in the container.
func awaitProgram(pid int) {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || !strings.HasPrefix(string(comm), "runc:[") {
			return
		}
	}
}

// settle does what a start can still fail of.
func (l *launch) settle(ctx context.Context, p process) error {
	if l.console != nil {
		f, err := l.console.accept()
		if err != nil {
			return fmt.Errorf("take the terminal: %w", err)
		}
		l.c.output.read(f, l.c.output.log.Stream("stdout"))
	}
	if l.learned != nil {
		learned := l.learned
		l.learned = nil
		if err := learned(filepath.Join(l.m.stateDir(l.c), "seccomp.bpf")); err != nil {
			l.m.log.Warn("a seccomp filter cannot be kept", "error", err)
		}
	}
	if err := writeJSON(l.c.inBundle(runningFile), p); err != nil {
		return err
	}
	return ctx.Err()
}
