package logs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// linkTimeout bounds one attempt to connect, to write or to be acknowledged.
const linkTimeout = 10 * time.Second

// link is a connection to a log target that is made again when it fails.
type link struct {
	network, address string
	tls              *tls.Config
	timeout          time.Duration

	conn net.Conn
}

// with calls f, which may be nil, with the connection: a new one if there is none or the other side has closed it. The end of ctx ends
// what waits on it. After an error the connection is given up, since nobody knows what is in it.
func (l *link) with(ctx context.Context, f func() error) error {
	err := l.connect(ctx)
	if err == nil && f != nil {
		conn := l.conn
		release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		err = f()
		release()
	}
	if err != nil {
		l.close()
	}
	return err
}

func (l *link) connect(ctx context.Context) error {
	if l.conn != nil {
		if eof, err := peek(l.conn); eof || err != nil {
			l.close()
		}
	}
	if l.conn == nil {
		conn, err := l.dial(ctx)
		if err != nil {
			return err
		}
		l.conn = conn
	}
	return l.conn.SetDeadline(time.Now().Add(l.timeout))
}

// write writes to a stream, and waits until the other side has it.
func (l *link) write(ctx context.Context, b []byte) error {
	if _, err := l.conn.Write(b); err != nil {
		return err
	}
	return l.settled(ctx)
}

func (l *link) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	dialer := &net.Dialer{}
	if l.tls != nil {
		return (&tls.Dialer{NetDialer: dialer, Config: l.tls}).DialContext(ctx, l.network, l.address)
	}
	conn, err := dialer.DialContext(ctx, l.network, l.address)
	if l.network == "unix" && errors.Is(err, unix.EPROTOTYPE) { // such as /dev/log
		return dialer.DialContext(ctx, "unixgram", l.address)
	}
	return conn, err
}

func (l *link) close() {
	if l.conn != nil {
		l.conn.Close() // what was not acknowledged is sent again
		l.conn = nil
	}
}

// datagrams says that each write is a message of its own.
func (l *link) datagrams() bool {
	return strings.HasPrefix(l.conn.RemoteAddr().Network(), "udp") || l.conn.RemoteAddr().Network() == "unixgram"
}

// raw is the socket beneath a connection, nil if there is none.
func raw(conn net.Conn) syscall.RawConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	r, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return r
}

// peek looks at the connection without waiting: eof says that the other side has closed it.
func peek(conn net.Conn) (eof bool, err error) {
	r := raw(conn)
	if r == nil {
		return false, nil
	}
	var failed error
	err = r.Read(func(fd uintptr) bool {
		var b [1]byte
		var n int
		n, _, failed = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		eof = failed == nil && n == 0
		return true
	})
	if errors.Is(failed, unix.EAGAIN) {
		failed = nil
	}
	return eof, errors.Join(err, failed)
}

// settled waits until the other side's kernel, or on a unix socket its program, has all that was written. Without it, what was
// written to a target that died is lost with the connection, and nobody knows.
func (l *link) settled(ctx context.Context) error {
	r := raw(l.conn)
	if r == nil || l.datagrams() {
		return nil
	}
	limit := time.Now().Add(l.timeout)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		waits := 0
		var failed error
		if err := r.Control(func(fd uintptr) {
			if waits, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); failed == nil && waits > 0 {
				var code int
				if code, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); failed == nil && code != 0 {
					failed = syscall.Errno(code)
				}
			}
		}); err != nil {
			return err
		}
		switch {
		case failed != nil:
			return failed
		case waits == 0:
			return l.alive()
		case time.Now().After(limit):
			return fmt.Errorf("%d bytes were not taken in %v", waits, l.timeout)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// alive tells of a connection that was reset, which empties the queue too. A connection that was closed is well: a program that
// does so before it has read all of it resets it.
func (l *link) alive() error {
	_, err := peek(l.conn)
	return err
}
