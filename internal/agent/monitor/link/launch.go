package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Ready is what a monitor writes on the file descriptor ReadyFD once it listens.
const Ready = "ready\n"

// ReadyFD is inherited by a monitor that a client starts, which says so in its environment by ReadyEnv.
const (
	ReadyFD  = 3
	ReadyEnv = "ROADSTEAD_MONITOR_READY"
)

// Dial connects to the monitor of a directory. The directory is gone through by a descriptor, as a socket's address may
// not be longer than 107 bytes.
func Dial(dir string) (net.Conn, error) {
	var conn net.Conn
	err := WithSocketPath(dir, func(path string) error {
		var err error
		conn, err = net.Dial("unix", path)
		return err
	})
	return conn, err
}

// WithSocketPath calls f with a short path of the directory's socket.
func WithSocketPath(dir string, f func(path string) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", fd, socketName))
}

// dialOrLaunch connects to a living monitor or starts one.
func (c *Client) dialOrLaunch(ctx context.Context) (net.Conn, error) {
	conn, err := Dial(c.cfg.Dir)
	if err == nil {
		return conn, nil
	}
	if !absent(err) {
		return nil, fmt.Errorf("connect to the monitor: %w", err)
	}
	if err := os.MkdirAll(c.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the monitor's directory: %w", err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for range retries {
		err = c.launch()
		// Also after an error: another client's monitor may have been the faster.
		conn, dialErr := Dial(c.cfg.Dir)
		if dialErr == nil {
			return conn, nil
		}
		err = errors.Join(err, dialErr)
	}
	return nil, fmt.Errorf("start the monitor: %w", err)
}

// absent says that no monitor listens.
func absent(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// maxLog is the size of a monitor's log in bytes from which the next monitor begins a new one.
const maxLog = 4 << 20

// launchTimeout bounds a monitor's recovery of what an earlier one left.
const launchTimeout = time.Minute

// launch starts a monitor in a session and a mount namespace of its own, and waits until it listens: also when the request
// that it is for is given up meanwhile, as others will need it.
func (c *Client) launch() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	path := filepath.Join(c.cfg.Dir, logName)
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.cfg.Command[0], c.cfg.Command[1:]...)
	// The monitor outlives the agent and needs nothing of its environment, which may hold secrets.
	cmd.Env = []string{"PATH=" + searchPath(), ReadyEnv + "=1"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		return err
	}
	// It is our child for as long as we live, and must not stay a zombie.
	go func() {
		err := cmd.Wait()
		c.cfg.Log.Info("the monitor has ended", "pid", cmd.Process.Pid, "result", fmt.Sprint(err))
	}()
	w.Close()
	if err := awaitReady(r); err != nil {
		// It may have ended, and killing it is no harm then.
		_ = cmd.Process.Kill()
		return fmt.Errorf("%w (its log is %s)", err, path)
	}
	c.cfg.Log.Info("started the monitor", "pid", cmd.Process.Pid)
	return nil
}

func awaitReady(r *os.File) error {
	if err := r.SetReadDeadline(time.Now().Add(launchTimeout)); err != nil {
		return err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	switch {
	case line == Ready:
		return nil
	case err != nil:
		return fmt.Errorf("it ended or did not answer: %w", err)
	}
	return fmt.Errorf("it says %q", line)
}

// searchPath is PATH, with the directories of system programs that a user's PATH may lack.
func searchPath() string {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += ":" + dir
		}
	}
	return strings.TrimPrefix(path, ":")
}
