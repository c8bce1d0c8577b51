package nodelink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// link is an agent's session as the loop of Server sees it. None of its methods blocks.
type link interface {
	base() *line
	// sync is told the whole truth when the session begins, and the others what changes from then on.
	sync(view *state.View)
	run(view *state.View, t *ecs.Task)
	stop(t *ecs.Task)
	// attached: the task's network interface is there.
	attached(t *ecs.Task)
	// ended: the task is STOPPED.
	ended(id ecs.TaskID)
}

// line is an agent's websocket, of whichever kind its session is.
type line struct {
	srv      *Server
	instance ecs.InstanceID
	conn     *websocket.Conn
	// key is the id of the access key that it was opened with.
	key string
	// seenAt is the revision of the view in which the instance was found.
	seenAt int64
	wake   chan struct{}
	// over is closed by end; why says the reason, set before.
	over chan struct{}
	once sync.Once
	why  string

	// allowed bounds what is read; the reader's own.
	allowed *rate.Limiter

	// mu guards seen, and what the session has beside it.
	mu   sync.Mutex
	seen time.Time
}

func newLine(srv *Server, id ecs.InstanceID, key string, seenAt int64, conn *websocket.Conn) *line {
	return &line{
		srv: srv, instance: id, key: key, conn: conn, seenAt: seenAt, wake: make(chan struct{}, 1), over: make(chan struct{}), seen: time.Now(),
		allowed: rate.NewLimiter(messageRate, messageBurst),
	}
}

func (l *line) base() *line { return l }

// end closes the session; why goes to the agent in the close frame, with a code on which agents back off before they come
// again. It does not block.
func (l *line) end(why string) {
	l.once.Do(func() {
		l.why = why
		close(l.over)
	})
}

func (l *line) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// serve carries the session until the connection, end or ctx ends it. Its goroutines have ended when it returns.
func (l *line) serve(ctx context.Context, read, write func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var carry sync.WaitGroup
	errs := make(chan error, 2)
	carry.Go(func() { errs <- read(ctx) })
	carry.Go(func() { errs <- write(ctx) })
	var err error
	select {
	case err = <-errs:
	case <-l.over:
	case <-ctx.Done():
	}
	select {
	case <-l.over:
		// The handshake is bounded by the library (5 s), and makes read and write fail.
		l.conn.Close(websocket.StatusPolicyViolation, closeReason(l.why))
	default:
		l.conn.CloseNow()
	}
	cancel()
	carry.Wait()
	return err
}

func (l *line) heartbeat(ctx context.Context) error {
	l.mu.Lock()
	silent := time.Since(l.seen)
	l.mu.Unlock()
	if silent > 3*l.srv.cfg.Heartbeat {
		l.end("no sign of life")
		return fmt.Errorf("no sign of life for %v", silent.Round(time.Second))
	}
	return l.send(ctx, acs.TypeHeartbeat, acs.Heartbeat{MessageID: l.srv.messageID(), Healthy: true})
}

func (l *line) send(ctx context.Context, name string, message any) error {
	b, err := acs.Encode(name, message)
	if err != nil {
		return err
	}
	return l.sendFrame(ctx, b)
}

func (l *line) sendFrame(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 3*l.srv.cfg.Heartbeat)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageText, b)
}

// read gives receive each message until it or the connection fails.
func (l *line) read(ctx context.Context, receive func(ctx context.Context, name string, body json.RawMessage) error) error {
	for {
		b, err := l.next(ctx)
		if err != nil {
			return err
		}
		name, body, err := acs.Decode(b)
		if err != nil {
			return l.refuse(err)
		}
		if err := receive(ctx, name, body); err != nil {
			return err
		}
	}
}

// next reads a frame, unless the agent sends more than it may.
func (l *line) next(ctx context.Context) ([]byte, error) {
	_, b, err := l.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	l.mu.Lock()
	l.seen = now
	l.mu.Unlock()
	if !l.allowed.AllowN(now, 1) {
		l.srv.cfg.Log.Warn("an agent sends too much", "instance", l.instance)
		return nil, l.refuse(errFlood)
	}
	return b, nil
}

var errFlood = errors.New("too many messages")

// refuse ends a session whose agent does not keep to the protocol: what it says cannot be relied on any further.
func (l *line) refuse(err error) error {
	l.end("protocol error: " + err.Error())
	return err
}

// maxCloseReason is what a close frame has room for, in bytes (RFC 6455, section 5.5).
const maxCloseReason = 123

// closeReason cuts a reason between characters: one that is too long would not be sent at all.
func closeReason(why string) string {
	if len(why) <= maxCloseReason {
		return why
	}
	return strings.ToValidUTF8(why[:maxCloseReason], "")
}
