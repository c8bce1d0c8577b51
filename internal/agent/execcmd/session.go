package execcmd

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ssmsession"
)

// Bounds of what a session keeps, in messages and in bytes.
const (
	// maxOut is how much may wait to be sent before nothing more is read.
	maxOut = 256
	// maxInput is what the process has not read yet. A client repeats what is not taken.
	maxInput = 64 << 10
)

// Reasons of a session's end.
const (
	reasonExited     = "The command ended."
	reasonTerminated = "The session was terminated."
	reasonIdle       = "Your session timed out due to inactivity."
	reasonAbsent     = "The client did not come back in time."
	reasonNeverCame  = "No client came in time."
	reasonProtocol   = "The client did not keep to the protocol."
	reasonStopping   = "The agent of the container instance is stopping."
)

// phase is how far a session has come.
type phase int

const (
	phaseWaiting   phase = iota // for its first client
	phaseHandshake              // for the client's answer
	phaseRunning                // the process runs, or is about to
	phaseDraining               // it has ended, and the client has not all of its output yet
)

// session is one session. But for terminate, all is done by run's goroutine.
type session struct {
	cfg  *Config
	spec acs.ExecSession
	log  *slog.Logger
	// ending is closed when the session is to end.
	ending chan struct{}
	once   sync.Once

	phase    phase
	sender   *ssmsession.Sender
	receiver ssmsession.Receiver

	// link is the connection, nil for none; out is what it has not taken yet. client is the number of the client at its other end, 0 for none.
	link   *link
	out    []message
	client int64
	// active is when there was input or output last, absent since when there is no client.
	active, absent time.Time
	shook          time.Time // when the handshake began

	// process is the command once it runs, size its terminal's, input what it has not read yet.
	process    runtime.Process
	size       *ssmsession.Size
	input      [][]byte
	inputBytes int
	// pending is output that is in no frame yet.
	pending []byte

	outputs chan []byte
	feed    chan []byte
	started chan startResult
	exited  chan struct{}
}

// startResult is what came of starting the command: a process, or what the user is told instead.
type startResult struct {
	process runtime.Process
	failure string
}

func newSession(cfg *Config, spec acs.ExecSession) *session {
	return &session{
		cfg: cfg, spec: spec, log: cfg.Log.With("session", spec.ID), ending: make(chan struct{}), sender: ssmsession.NewSender(),
		outputs: make(chan []byte), feed: make(chan []byte), started: make(chan startResult, 1), exited: make(chan struct{}),
	}
}

// terminate ends the session.
func (s *session) terminate() { s.once.Do(func() { close(s.ending) }) }

// end is how a session ends: message is what the client's user is told, "" for an end of the session's own.
type end struct{ reason, message string }

// run holds the session until it ends, and gives the reason.
func (s *session) run(ctx context.Context) string {
	ctx, cancel := context.WithCancel(ctx)
	var carry sync.WaitGroup
	links, refused := make(chan *link), make(chan error, 1)
	carry.Go(func() { refused <- s.connect(ctx, links) })
	s.active, s.absent = time.Now(), time.Now()
	over := s.loop(ctx, &carry, links, refused)
	if s.link != nil {
		last := []message{noteOf(acs.ExecOver, 0)}
		if s.client != 0 {
			last = append(s.out, message{data: ssmsession.NewClosed(s.spec.ID, over.message, time.Now())}, last[0])
		}
		s.link.finish(last)
	}
	cancel()
	carry.Wait()
	select {
	case r := <-s.started: // nobody has followed it
		if r.process != nil {
			_, _ = r.process.Wait(ctx)
		}
	default:
	}
	return over.reason
}

// loop is the session's life.
func (s *session) loop(ctx context.Context, carry *sync.WaitGroup, links <-chan *link, refused <-chan error) *end {
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(s.deadline()))
		var in <-chan message
		var lost <-chan struct{}
		if s.link != nil {
			lost = s.link.lost
			if len(s.out) < maxOut {
				in = s.link.in
			}
		}
		out, first := s.nextOut()
		feed, input := s.nextInput()
		var over *end
		select {
		case l := <-links:
			s.unlink()
			s.link = l
		case <-lost:
			s.unlink()
		case m := <-in:
			over = s.receive(ctx, carry, m)
		case out <- first:
			s.out = s.out[1:]
		case feed <- input:
			s.input, s.inputBytes = s.input[1:], s.inputBytes-len(input)
		case chunk := <-s.wanted():
			s.active = time.Now()
			s.pending = append(s.pending, chunk...)
			s.frame(false)
		case r := <-s.started:
			over = s.begun(ctx, carry, r)
		case <-s.exited:
			s.phase, s.exited = phaseDraining, nil
			s.frame(true)
		case <-timer.C:
			over = s.late()
		case err := <-refused:
			if err != nil {
				over = &end{reason: err.Error()}
			}
			refused = nil
		case <-s.ending:
			over = &end{reason: reasonTerminated}
		case <-ctx.Done():
			over = &end{reasonStopping, reasonStopping}
		}
		if over == nil && s.phase == phaseDraining && s.drained() {
			over = &end{reason: reasonExited}
		}
		if over != nil {
			return over
		}
	}
}

// nextOut is where to put the next message for the connection; nil where there is none.
func (s *session) nextOut() (chan<- message, message) {
	if s.link == nil || len(s.out) == 0 {
		return nil, message{}
	}
	return s.link.out, s.out[0]
}

func (s *session) nextInput() (chan<- []byte, []byte) {
	if len(s.input) == 0 {
		return nil, nil
	}
	return s.feed, s.input[0]
}

// wanted is where output comes from while there is room for it.
func (s *session) wanted() <-chan []byte {
	if s.sender.Full() || len(s.pending) >= ssmsession.MaxPayload {
		return nil
	}
	return s.outputs
}

func (s *session) send(data []byte) { s.out = append(s.out, message{data: data}) }

// say sends a frame of data, at once if there is a client.
func (s *session) say(t ssmsession.PayloadType, payload []byte) {
	if frame := s.sender.Add(time.Now(), t, payload); s.client != 0 {
		s.send(frame)
	}
}

// frame makes frames of output as far as they may be; last says that no more will come.
func (s *session) frame(last bool) {
	for len(s.pending) > 0 && !s.sender.Full() {
		n := cut(s.pending, ssmsession.MaxPayload)
		if n == 0 {
			if !last {
				return
			}
			n = len(s.pending)
		}
		s.say(ssmsession.PayloadOutput, s.pending[:n])
		s.pending = s.pending[n:]
	}
}

// drained tells whether the client has all the output there was.
func (s *session) drained() bool {
	s.frame(true)
	return len(s.pending) == 0 && s.sender.Unacknowledged() == 0
}

// deadline is when something is to be done if nothing happens.
func (s *session) deadline() time.Time {
	at := s.active.Add(s.cfg.Idle)
	if s.client == 0 {
		if gone := s.absent.Add(s.cfg.Absence); gone.Before(at) {
			return gone
		}
		return at
	}
	// What waits to be sent need not be sent again.
	if due := s.sender.Due(); !due.IsZero() && len(s.out) == 0 && due.Before(at) {
		return due
	}
	return at
}

// late does what is due.
func (s *session) late() *end {
	now := time.Now()
	switch {
	case now.Sub(s.active) >= s.cfg.Idle:
		return &end{reasonIdle, reasonIdle}
	case s.client == 0 && now.Sub(s.absent) >= s.cfg.Absence && s.phase == phaseWaiting:
		return &end{reason: reasonNeverCame}
	case s.client == 0 && now.Sub(s.absent) >= s.cfg.Absence:
		return &end{reason: reasonAbsent}
	case s.client != 0 && len(s.out) == 0:
		for _, frame := range s.sender.Resend(now) {
			s.send(frame)
		}
	}
	return nil
}

// unlink lets go of the connection, if there is one, and of its client.
func (s *session) unlink() {
	if s.link != nil {
		s.link.end()
	}
	s.link, s.out = nil, nil
	s.left()
}

// left takes note that there is no client.
func (s *session) left() {
	if s.client != 0 {
		s.client, s.absent = 0, time.Now()
	}
}

// receive takes what comes over the connection.
func (s *session) receive(ctx context.Context, carry *sync.WaitGroup, m message) *end {
	if !m.text {
		return s.fromClient(ctx, carry, m.data)
	}
	var note acs.ExecNote
	if err := json.Unmarshal(m.data, &note); err != nil {
		s.log.Warn("a note of the server cannot be read", "err", err)
		return nil
	}
	switch note.Event {
	case acs.ExecClientCame:
		s.came(note.Client)
	case acs.ExecClientGone:
		if note.Client == s.client {
			s.left()
			s.out = nil
		}
	}
	return nil
}

// came begins anew for a client.
func (s *session) came(client int64) {
	now := time.Now()
	s.client, s.out = client, []message{noteOf(acs.ExecBegun, client)}
	for _, frame := range s.sender.Reconnect(now) {
		s.send(frame)
	}
	if s.phase == phaseWaiting {
		s.phase, s.shook, s.active = phaseHandshake, now, now
		s.say(ssmsession.PayloadHandshakeRequest, ssmsession.NewHandshakeRequest())
	}
}

// fromClient takes a frame of the client.
func (s *session) fromClient(ctx context.Context, carry *sync.WaitGroup, data []byte) *end {
	if s.client == 0 {
		return nil
	}
	f, err := ssmsession.Decode(data)
	if err != nil {
		s.log.Warn("a client sends what is no frame", "err", err)
		return &end{reasonProtocol, reasonProtocol}
	}
	switch f.Type {
	case ssmsession.TypeAck:
		a, err := ssmsession.ReadAck(f.Payload)
		if err != nil {
			return &end{reasonProtocol, reasonProtocol}
		}
		s.sender.Acknowledge(time.Now(), a.Sequence)
		s.frame(s.phase == phaseDraining)
	case ssmsession.TypeInput:
		return s.take(ctx, carry, f)
	}
	return nil
}

// take takes a frame of data.
func (s *session) take(ctx context.Context, carry *sync.WaitGroup, f *ssmsession.Frame) *end {
	if s.inputBytes >= maxInput && f.Sequence >= s.receiver.Next() {
		return nil // it comes again
	}
	frames, ack := s.receiver.Take(f)
	if ack {
		s.send(ssmsession.NewAck(f, time.Now()))
	}
	for _, f := range frames {
		if over := s.use(ctx, carry, f); over != nil {
			return over
		}
	}
	return nil
}

// use does what a frame says, in its turn.
func (s *session) use(ctx context.Context, carry *sync.WaitGroup, f *ssmsession.Frame) *end {
	switch f.PayloadType {
	case ssmsession.PayloadHandshakeResponse:
		if s.phase != phaseHandshake {
			return nil
		}
		if _, err := ssmsession.ReadHandshakeResponse(f.Payload); err != nil {
			return &end{err.Error(), "The client cannot hold such a session: " + err.Error()}
		}
		s.phase = phaseRunning
		s.say(ssmsession.PayloadHandshakeComplete, ssmsession.NewHandshakeComplete(time.Since(s.shook)))
		carry.Go(func() { s.started <- s.start(ctx) })
	case ssmsession.PayloadOutput:
		s.sender.Usable()
		s.active = time.Now()
		if len(f.Payload) > 0 && s.phase != phaseDraining {
			s.input, s.inputBytes = append(s.input, f.Payload), s.inputBytes+len(f.Payload)
		}
	case ssmsession.PayloadSize:
		s.sender.Usable()
		var size ssmsession.Size
		if json.Unmarshal(f.Payload, &size) == nil {
			s.size = &size
			s.resize()
		}
	case ssmsession.PayloadFlag:
		if f.Flag() == ssmsession.FlagTerminate {
			return &end{reason: reasonTerminated}
		}
	}
	return nil
}

// begun takes note that the command runs, or does not.
func (s *session) begun(ctx context.Context, carry *sync.WaitGroup, r startResult) *end {
	if r.process == nil {
		return &end{reason: r.failure, message: r.failure}
	}
	s.process = r.process
	s.resize()
	exited := s.exited
	carry.Go(func() {
		code, err := r.process.Wait(ctx)
		s.log.Debug("a session's command has ended", "code", code, "err", err)
		close(exited)
	})
	return nil
}

// resize tells the process its terminal's size.
func (s *session) resize() {
	if s.process == nil || s.size == nil {
		return
	}
	limit := func(n uint32) uint16 { return uint16(min(n, math.MaxUint16)) }
	if err := s.process.Resize(limit(s.size.Columns), limit(s.size.Rows)); err != nil {
		s.log.Debug("the terminal keeps its size", "err", err) // its process may have ended
	}
}
