package monitor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const consoleName = "console.sock"

// consoleTimeout bounds the wait for the terminal of a container whose OCI runtime says that it runs.
const consoleTimeout = 5 * time.Second

// console is the socket on which an OCI runtime hands over the master of a container's terminal.
type console struct {
	listener *net.UnixListener
	// dir is the container's directory: the socket's path goes through it, as it may be longer than a socket's may.
	dir *os.File
}

func listenConsole(dir string) (*console, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	c := &console{dir: d}
	if c.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: c.path(), Net: "unix"}); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	c.listener.SetUnlinkOnClose(false) // the directory goes as a whole
	return c, nil
}

// path is the socket's, for this process and its children.
func (c *console) path() string {
	return filepath.Join(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), c.dir.Fd()), consoleName)
}

func (c *console) close() {
	// Nothing is lost by a failure: the descriptors go with it.
	_ = c.listener.Close()
	_ = c.dir.Close()
}

// accept receives the terminal.
func (c *console) accept() (*os.File, error) {
	if err := c.listener.SetDeadline(time.Now().Add(consoleTimeout)); err != nil {
		return nil, err
	}
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(consoleTimeout)); err != nil {
		return nil, err
	}
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, fmt.Errorf("%d control messages", len(messages))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		return nil, fmt.Errorf("%d descriptors", len(fds))
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(err, unix.Close(fds[0]))
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
