package execcmd

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
)

// Times of a connection.
const (
	redialFirst = 100 * time.Millisecond
	redialMost  = 10 * time.Second
	// flushTimeout is how long the last messages of a session may take.
	flushTimeout = 5 * time.Second
)

// message is one of a websocket.
type message struct {
	text bool
	data []byte
}

func noteOf(event acs.ExecEvent, client int64) message {
	return message{text: true, data: acs.ExecNote{Event: event, Client: client}.Encode()}
}

// link is a connection with the goroutines that carry it. What is put into out is sent in order; out is closed by who puts.
type link struct {
	conn    Conn
	in, out chan message
	// lost is closed when nothing can be read or written any more, and idle when all goroutines have ended.
	lost, idle chan struct{}
	cancel     context.CancelFunc
}

func newLink(ctx context.Context, conn Conn) *link {
	ctx, cancel := context.WithCancel(ctx)
	l := &link{conn: conn, in: make(chan message), out: make(chan message, 64), lost: make(chan struct{}), idle: make(chan struct{}), cancel: cancel}
	var once sync.Once
	lose := func() { once.Do(func() { close(l.lost) }) }
	var both sync.WaitGroup
	both.Go(func() {
		defer lose()
		l.read(ctx)
	})
	both.Go(func() {
		if !l.write(ctx) {
			lose()
		}
	})
	go func() {
		defer close(l.idle)
		both.Wait()
	}()
	return l
}

func (l *link) read(ctx context.Context) {
	for {
		text, data, err := l.conn.Read(ctx)
		if err != nil {
			return
		}
		select {
		case l.in <- message{text, data}:
		case <-ctx.Done():
			return
		}
	}
}

// write sends until out is closed, which is true, or the connection fails.
func (l *link) write(ctx context.Context) bool {
	for {
		select {
		case m, ok := <-l.out:
			if !ok {
				return true
			}
			if l.conn.Write(ctx, m.text, m.data) != nil {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// end cuts the connection off.
func (l *link) end() {
	l.cancel()
	_ = l.conn.Close() // it may be over already
	<-l.idle
}

// finish sends the last messages, and waits for the server to end the connection.
func (l *link) finish(last []message) {
	timer := time.NewTimer(flushTimeout)
	defer timer.Stop()
	defer l.end()
	out := l.out
	for {
		var next message
		if len(last) > 0 {
			next = last[0]
		} else if out != nil {
			close(out)
			out = nil
		}
		select {
		case out <- next:
			last = last[1:]
		case <-l.in: // nothing that comes now is of interest
		case <-l.idle:
			return
		case <-timer.C:
			return
		}
	}
}

// connect keeps the session connected until ctx ends, or the server refuses it: that is its error.
func (s *session) connect(ctx context.Context, links chan<- *link) error {
	for wait := redialFirst; ; {
		conn, err := s.cfg.Dial(ctx, s.spec.ID)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, ErrRefused):
			return err
		case err == nil:
			l := newLink(ctx, conn)
			select {
			case links <- l:
				<-l.lost
			case <-ctx.Done():
				l.end()
				return nil
			}
			wait = redialFirst
		default:
			s.log.Warn("a session's connection cannot be opened", "err", err, "retry", wait)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, redialMost)
	}
}
