package link

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxFiles is how many descriptors may come with one frame.
const maxFiles = 3

// rights reads a unix socket and keeps the descriptors that come along. See unix(7), SCM_RIGHTS.
type rights struct {
	conn *net.UnixConn
	oob  [64]byte // unix.CmsgSpace(4*maxFiles) fits

	mu     sync.Mutex
	files  []*os.File
	closed bool
}

// Read implements io.Reader.
func (r *rights) Read(p []byte) (int, error) {
	n, oobn, _, _, err := r.conn.ReadMsgUnix(p, r.oob[:])
	n = max(n, 0) // it is -1 with an error
	if err == nil && oobn > 0 {
		if err := r.take(r.oob[:oobn]); err != nil {
			return n, err
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.EOF // bare, as readers expect it
	}
	return n, err
}

func (r *rights) take(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if errors.Is(err, unix.EINVAL) {
			continue // of another kind
		}
		if err != nil {
			return err
		}
		for _, fd := range fds {
			if r.closed || len(r.files) == maxFiles {
				unix.Close(fd)
				continue
			}
			r.files = append(r.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return nil
}

func (r *rights) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, f := range r.files {
		// It was only held; nothing is lost.
		_ = f.Close()
	}
	r.files = nil
}

// TakeFiles gives the descriptors that came with the frames read so far, which are the caller's from then on.
func (c *Conn) TakeFiles() []*os.File {
	if c.rights == nil {
		return nil
	}
	c.rights.mu.Lock()
	defer c.rights.mu.Unlock()
	files := c.rights.files
	c.rights.files = nil
	return files
}

// sendRights sends the head of a frame with descriptors, and gives what is left to send. c.mu is held.
func (c *Conn) sendRights(frame []byte, files []*os.File) ([]byte, error) {
	if c.rights == nil {
		return nil, errors.New("this connection takes no descriptors")
	}
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		// Fd would make it blocking.
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return nil, err
		}
	}
	const head = 4 // so short that it is never sent in part
	if _, _, err := c.rights.conn.WriteMsgUnix(frame[:head], unix.UnixRights(fds...), nil); err != nil {
		return nil, err
	}
	return frame[head:], nil
}

// CloseWrite tells the other side that no more requests come. Answers still do.
func (c *Conn) CloseWrite() error {
	if c.rights == nil {
		return c.c.Close()
	}
	return c.rights.conn.CloseWrite()
}
