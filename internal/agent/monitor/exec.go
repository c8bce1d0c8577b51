package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// Each process that was asked for in a container has a directory execPrefix* in the container's bundle for as long as it
// lives, so that a monitor that comes after this one can kill it: its client is gone.
const (
	execPrefix = "exec-"
	execLock   = "lock" // locked by the OCI runtime for as long as it runs
)

// process of the OCI runtime configuration, beside those of its members that are passed through.
const (
	memberEnv      = "env"
	memberTerminal = "terminal"
)

// execution is a process in a container beside its first.
type execution struct {
	m *Monitor
	c *container
	// dir is its own in the container's bundle.
	dir string
	// pid is the process's. What it starts is killed with it, unless that left its session; 0 if it ended before that was known.
	pid, session int
	done         <-chan exit

	mu    sync.Mutex
	pidfd int // -1 once it has ended
}

// exec serves a connection that asks for a process, until that has ended. A client that goes has it killed.
func (c *client) exec(ctx context.Context, f *link.Frame) {
	// It hears of no exits any more.
	c.m.mu.Lock()
	delete(c.m.clients, c)
	c.m.mu.Unlock()
	files := c.conn.TakeFiles()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := body[link.ExecRequest](f)
	if err != nil {
		// Whoever sent it hears no more by the connection's end than by an answer that cannot be sent.
		_ = errors.Join(c.conn.Write(replyTo(f, nil, err)), closeAll(files))
		return
	}
	signals := make(chan int, 16)
	go func() {
		defer cancel()
		c.readSignals(ctx, signals)
	}()
	e, terminal, err := c.m.exec(ctx, req, files)
	// Ours would keep the process's input and output from ever ending.
	if closeErr := closeAll(files); closeErr != nil {
		c.m.log.Warn("a process's descriptors cannot be closed", "container", req.ID, "error", closeErr)
	}
	if err != nil {
		_ = c.conn.Write(replyTo(f, nil, err))
		return
	}
	var received []*os.File
	if terminal != nil {
		received = []*os.File{terminal}
	}
	if c.conn.WriteFiles(replyTo(f, link.ExecReply{Pid: e.pid}, nil), received) != nil {
		cancel()
	}
	if err := closeAll(received); err != nil {
		c.m.log.Warn("a terminal cannot be closed", "container", req.ID, "error", err)
	}
	ended := e.await(ctx, signals)
	if data, err := json.Marshal(link.Ended{ExitCode: ended.code}); err == nil {
		_ = c.conn.Write(&link.Frame{Method: link.EventEnded, Body: data})
	}
}

// readSignals passes signals on until the client goes.
func (c *client) readSignals(ctx context.Context, signals chan<- int) {
	for {
		f, err := c.conn.Read()
		if err != nil {
			return
		}
		var req link.SignalRequest
		if f.Method != link.MethodSignal || json.Unmarshal(f.Body, &req) != nil {
			continue
		}
		select {
		case signals <- req.Signal:
		case <-ctx.Done():
			return
		}
	}
}

// await waits for the process's end, and brings it about when ctx ends.
func (e *execution) await(ctx context.Context, signals <-chan int) exit {
	defer e.close()
	for {
		select {
		case ended := <-e.done:
			return ended
		case s := <-signals:
			e.signal(unix.Signal(s))
		case <-ctx.Done():
			e.kill()
			return <-e.done
		}
	}
}

func (e *execution) signal(s unix.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pidfd < 0 {
		return
	}
	if err := unix.PidfdSendSignal(e.pidfd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		e.m.log.Warn("a process cannot be signalled", "container", e.c.ID, "signal", int(s), "error", err)
	}
}

func (e *execution) close() {
	e.mu.Lock()
	if e.pidfd >= 0 {
		unix.Close(e.pidfd)
		e.pidfd = -1
	}
	e.mu.Unlock()
	e.removeDir()
}

func (e *execution) removeDir() {
	if err := os.RemoveAll(e.dir); err != nil {
		e.m.log.Warn("a process's directory cannot be removed", "container", e.c.ID, "error", err)
	}
}

// exec starts a process in a running container: in its namespaces and its cgroup, with its capabilities and its seccomp
// filter, as a child of the monitor. On an error nothing of it is left.
func (m *Monitor) exec(ctx context.Context, req *link.ExecRequest, files []*os.File) (*execution, *os.File, error) {
	if want := 3; len(req.Args) == 0 || (!req.Terminal && len(files) != want) || (req.Terminal && len(files) != 0) {
		return nil, nil, fmt.Errorf("exec in container: %d arguments and %d descriptors", len(req.Args), len(files))
	}
	c, pid, err := m.runningContainer(req.ID)
	if err != nil {
		return nil, nil, err
	}
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	defer func() { <-m.slots }()
	e := &execution{m: m, c: c, pidfd: -1}
	if e.dir, err = os.MkdirTemp(c.bundle, execPrefix); err != nil {
		return nil, nil, fmt.Errorf("exec in container: %w", err)
	}
	terminal, err := e.start(ctx, req, pid, files)
	if err == nil {
		return e, terminal, nil
	}
	err = fmt.Errorf("exec in container: %w", err)
	e.close()
	if m.endsSoon(c) {
		err = errors.Join(notRunning(req.ID), err)
	}
	return nil, nil, err
}

// runningContainer finds a container that runs, and its first process.
func (m *Monitor) runningContainer(id string) (*container, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if !c.known() {
		return nil, 0, notFound(id)
	}
	if c.phase != running {
		return nil, 0, notRunning(id)
	}
	return c, c.status.Pid, nil
}

func notRunning(id string) error {
	return &link.Error{Message: fmt.Sprintf("container %s is not running", id), NotRunning: true}
}

// endsSoon says whether a container's first process has ended or is about to.
func (m *Monitor) endsSoon(c *container) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.phase != running || c.pidfd < 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err == nil && n > 0 {
		return true
	}
	fields, err := readStat(c.status.Pid)
	if err != nil {
		return errors.Is(err, errGone)
	}
	flags, err := strconv.ParseUint(fields[statFlags], 10, 64)
	return err == nil && flags&exiting != 0
}

// exiting is PF_EXITING of a process's flags: nobody can join its namespaces any more.
const exiting = 0x4

// start runs the OCI runtime, which starts the process and ends.
func (e *execution) start(ctx context.Context, req *link.ExecRequest, first int, files []*os.File) (*os.File, error) {
	rt, err := e.m.runtimes.find(e.c.Runtime)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(e.dir, execLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock the process's directory: %w", err)
	}
	spec, err := e.processFile(req, first)
	if err != nil {
		return nil, err
	}
	defer spec.Close()
	var con *console
	if req.Terminal {
		if con, err = listenConsole(e.dir); err != nil {
			return nil, err
		}
		defer con.close()
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		files = []*os.File{null, null, null}
	}
	begun := time.Now()
	if err := e.run(ctx, rt, append(slices.Clone(files), lock, spec), con); err != nil {
		return nil, err
	}
	return e.started(begun, con)
}

// run runs the OCI runtime to its end. Its descriptors from 3 are the lock and the process's description.
func (e *execution) run(ctx context.Context, rt ociRuntime, files []*os.File, con *console) error {
	messages := filepath.Join(e.dir, messageFile)
	argv := []string{rt.path, "--root", e.m.runtimeRoot(e.c.Runtime), "--log", messages, "--log-format", "json",
		"exec", "--detach", "--process", "/proc/self/fd/4", "--pid-file", filepath.Join(e.dir, pidFile)}
	if con != nil {
		argv = append(argv, "--console-socket", con.path())
	}
	argv = append(argv, e.c.ID)
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
		// Programs do not expect it otherwise of their input and output.
		if err := unix.SetNonblock(int(fds[i]), false); err != nil {
			return err
		}
	}
	attr := &syscall.ProcAttr{Dir: e.c.bundle, Env: os.Environ(), Files: fds, Sys: &syscall.SysProcAttr{Setsid: true}}
	pid, done, err := e.m.reaper.start(rt.path, argv, attr)
	if err != nil {
		e.m.runtimes.forget()
		return err
	}
	var ended exit
	select {
	case ended = <-done:
	case <-ctx.Done():
		timer := time.AfterFunc(cancelGrace, func() { killTree(pid) })
		ended = <-done
		timer.Stop()
	}
	if ended.code != 0 {
		return fmt.Errorf("%s: %w", e.c.Runtime, runtimeError(messages, ended.code))
	}
	return nil
}

// started takes the process over from the OCI runtime.
func (e *execution) started(begun time.Time, con *console) (*os.File, error) {
	pid, err := readPid(filepath.Join(e.dir, pidFile))
	if err != nil {
		return nil, err
	}
	e.pid = pid
	// It may have ended already; then its end waits for the claim.
	ticks, err := startTicks(pid)
	if err != nil && !errors.Is(err, errGone) {
		return nil, err
	}
	if err == nil {
		if e.pidfd, err = openProcess(pid, ticks); err == nil {
			e.session, err = sessionOf(pid)
		}
		if err != nil && !errors.Is(err, errGone) {
			return nil, err
		}
	}
	e.done = e.m.reaper.claim(pid, begun)
	if con == nil {
		return nil, nil
	}
	terminal, err := con.accept()
	if err != nil {
		e.kill()
		<-e.done
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	return terminal, nil
}

func readPid(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s has the pid %q", path, data)
	}
	return pid, nil
}

// processFile describes the process, as the container's own with what was asked for instead. It is in memory only: it has
// the container's environment.
func (e *execution) processFile(req *link.ExecRequest, first int) (*os.File, error) {
	var config struct{ Process object }
	if err := readJSON(e.c.inBundle(configFile), &config); err != nil {
		return nil, err
	}
	p := config.Process
	if p == nil {
		return nil, errors.New("the container's configuration has no process")
	}
	for name, v := range map[string]any{"args": req.Args, memberTerminal: req.Terminal} {
		if err := p.set(name, v); err != nil {
			return nil, err
		}
	}
	if req.Cwd != "" {
		if !filepath.IsAbs(req.Cwd) {
			return nil, fmt.Errorf("the working directory %q is not an absolute path", req.Cwd)
		}
		if err := p.set("cwd", filepath.Clean(req.Cwd)); err != nil {
			return nil, err
		}
	}
	if err := e.setAccount(p, req, first); err != nil {
		return nil, err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("process", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "process")
	if _, err := f.WriteAt(data, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// setAccount sets the environment, and the user if another than the container's is asked for.
func (e *execution) setAccount(p object, req *link.ExecRequest, first int) error {
	var env []string
	if err := p.get(memberEnv, &env); err != nil {
		return err
	}
	if req.User != "" {
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") })
	}
	env = mergeEnv(env, req.Env)
	if req.Terminal {
		// Without a LANG, programs take what is typed for ASCII.
		env = mergeEnv([]string{"TERM=xterm", "LANG=C.UTF-8"}, env)
	}
	if err := p.set(memberEnv, env); err != nil || req.User == "" {
		return err
	}
	// The container's first process holds its root; the container is as it is now, not as its image was.
	root, err := openRootfs(fmt.Sprintf("/proc/%d/root", first))
	if err != nil {
		return err
	}
	defer root.close()
	if _, _, err := e.m.runningContainer(e.c.ID); err != nil {
		return err // the pid may be another's
	}
	u, err := root.user(req.User)
	if err != nil {
		return err
	}
	return completeProcess(p, u)
}

// mergeEnv adds variables to an environment, in the place of those of the same name. A bare name is none.
func mergeEnv(env, more []string) []string {
	out := slices.Clone(env)
	for _, kv := range more {
		name, _, ok := strings.Cut(kv, "=")
		if !ok {
			continue
		}
		i := slices.IndexFunc(out, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if i < 0 {
			out = append(out, kv)
		} else {
			out[i] = kv
		}
	}
	return out
}
