package execcmd

import (
	"context"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/google/shlex"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// What programs find in their environment, as with Amazon's agent, and the user that they run as, whatever the container's is.
const (
	termVariable = "TERM=xterm-256color"
	user         = "0"
)

// defaultCommand is what runs where the command is of spaces.
const defaultCommand = "sh"

// failed is how Amazon's agent tells a user that nothing runs.
const failed = "----------ERROR-------\n"

// logGrace is how long the end of a session waits for its log to be kept.
const logGrace = 30 * time.Second

// start runs the command. It ends with ctx.
func (s *session) start(ctx context.Context) startResult {
	// As Amazon's agent takes it apart. There is no shell: a pipe is a word as any other.
	args, err := shlex.Split(s.spec.Command)
	if err != nil {
		return startResult{failure: failed + "Unable to start command: Failed to parse commands input: " + err.Error()}
	}
	if len(args) == 0 {
		args = []string{defaultCommand}
	}
	screen := &screen{ctx: ctx, outputs: s.outputs}
	if s.spec.Log != nil {
		if screen.log, err = s.cfg.OpenLog(ctx, s.spec.ID, s.spec.Log); err != nil {
			return startResult{failure: failed + "The session's log cannot be written: " + err.Error()}
		}
	}
	p, err := s.cfg.Runtime.Exec(ctx, s.spec.RuntimeID, &runtime.ExecSpec{
		Args: args, Env: []string{termVariable}, User: user, Terminal: true, Stdin: &keyboard{ctx: ctx, feed: s.feed}, Stdout: screen,
	})
	if err == nil {
		return startResult{process: &logged{p, screen.log, s}}
	}
	s.closeLog(ctx, screen.log)
	if errors.Is(err, runtime.ErrNotFound) || errors.Is(err, runtime.ErrNotRunning) {
		return startResult{failure: failed + "Unable to start command: the container is not running"}
	}
	return startResult{failure: failed + "Unable to start command: Failed to start pty: " + err.Error()}
}

// logged is a process whose end waits for its log.
type logged struct {
	runtime.Process
	log     Sink
	session *session
}

func (l *logged) Wait(ctx context.Context) (int, error) {
	code, err := l.Process.Wait(ctx)
	l.session.closeLog(ctx, l.log)
	return code, err
}

func (s *session) closeLog(ctx context.Context, log Sink) {
	if log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logGrace)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		s.log.Error("a part of a session's log is lost", "err", err)
	}
}

// screen takes what a process shows: it is logged, and then the session's to send, who takes it when there is room.
type screen struct {
	ctx     context.Context
	log     Sink
	outputs chan<- []byte
}

// Write implements io.Writer. An error says that the session is over.
func (c *screen) Write(p []byte) (int, error) {
	if c.log != nil {
		if n, err := c.log.Write(p); err != nil {
			return n, err
		}
	}
	select {
	case c.outputs <- append([]byte(nil), p...):
		return len(p), nil
	case <-c.ctx.Done():
		return 0, c.ctx.Err()
	}
}

// keyboard gives a process what its client types.
type keyboard struct {
	ctx  context.Context
	feed <-chan []byte
	rest []byte
}

// Read implements io.Reader; the input ends with the session.
func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		select {
		case k.rest = <-k.feed:
		case <-k.ctx.Done():
			return 0, io.EOF
		}
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}

// cut is how much of b, at most most bytes, can be sent without cutting a character: clients print each frame for itself. It is 0 where
// b is the beginning of a character alone.
func cut(b []byte, most int) int {
	n := min(len(b), most)
	for i := 1; i < utf8.UTFMax && i <= n; i++ {
		if !utf8.RuneStart(b[n-i]) {
			continue
		}
		if !utf8.FullRune(b[n-i : n]) {
			return n - i
		}
		break
	}
	return n
}
