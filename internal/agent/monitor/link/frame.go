// Package link is how an agent and the monitor of its containers speak: frames on a unix socket, each a 32-bit big-endian
// length and one JSON object. The client numbers its requests, the monitor answers in any order, and it sends events
// unasked. Either side ignores what it does not know, so that an agent works with a monitor of an older version.
package link

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Version is the protocol's. It grows when a request means something that an older monitor would get wrong.
const Version = 1

// MaxFrame is the longest frame in bytes that is read: a container's configuration with its environment fits many times.
const MaxFrame = 8 << 20

// Frame is one message. A request has an ID and a Method, its answer the same ID and a Body or an Error, an event only a
// Method and a Body.
type Frame struct {
	ID     uint64          `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// Error is a refusal that crosses the socket.
type Error struct {
	Message string `json:"message"`
	// NotFound says that the container is not there.
	NotFound bool `json:"notFound,omitempty"`
	// NotRunning says that it has ended, or does not run yet.
	NotRunning bool `json:"notRunning,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// ErrTooLong is wrapped when a frame is longer than MaxFrame.
var ErrTooLong = errors.New("frame too long")

// Conn reads and writes frames. One goroutine may read; many may write.
type Conn struct {
	c  net.Conn
	r  *bufio.Reader
	mu sync.Mutex // over writes
	// rights keeps the descriptors that came with frames; nil where c is no unix socket.
	rights *rights
}

// NewConn makes a Conn of a connected socket, which it then owns.
func NewConn(c net.Conn) *Conn {
	conn := &Conn{c: c}
	if unix, ok := c.(*net.UnixConn); ok {
		conn.rights = &rights{conn: unix}
		conn.r = bufio.NewReaderSize(conn.rights, 32<<10)
	} else {
		conn.r = bufio.NewReaderSize(c, 32<<10)
	}
	return conn
}

// Close closes the socket; a Read under way ends. Descriptors that came and that nobody took are closed.
func (c *Conn) Close() error {
	err := c.c.Close()
	if c.rights != nil {
		c.rights.close()
	}
	return err
}

// Read reads the next frame; io.EOF when the other side has closed.
func (c *Conn) Read() (*Frame, error) { return readFrame(c.r) }

func readFrame(r io.Reader) (*Frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLong, n)
	}
	// LimitReader and ReadAll, so that a false length cannot make us take memory that the sender does not fill.
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, err
	}
	if len(data) < int(n) {
		return nil, io.ErrUnexpectedEOF
	}
	var f Frame
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	return &f, nil
}

// Write sends a frame.
func (c *Conn) Write(f *Frame) error { return c.WriteFiles(f, nil) }

// WriteFiles sends a frame, and descriptors with it, which the caller still owns.
func (c *Conn) WriteFiles(f *Frame, files []*os.File) error {
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if len(data) > MaxFrame {
		return fmt.Errorf("%w: %d bytes", ErrTooLong, len(data))
	}
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), uint32(len(data)))
	buf = append(buf, data...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(files) > 0 {
		if buf, err = c.sendRights(buf, files); err != nil {
			return err
		}
	}
	_, err = c.c.Write(buf)
	return err
}
