package ssmsession

import (
	"container/list"
	"time"

	"github.com/google/uuid"
)

// Bounds of sending.
const (
	// MaxPayload is how much is sent in a frame, in bytes, as AWS's agent and plugin have it.
	MaxPayload = 1024
	// Window is how many frames may be unacknowledged. The plugin keeps at most 10,000 that came too early, and drops others.
	Window = 512

	firstTimeout = 200 * time.Millisecond
	minTimeout   = 100 * time.Millisecond
	maxTimeout   = time.Second
	// probeAfter is how many repetitions are without an answer before a client is taken to have had a frame.
	probeAfter = 3
)

// Sender numbers the frames to a client and keeps each until it has come. It is for one goroutine.
//
// A client acknowledges each frame alone, and says nothing at all to one that it has had already, or that came before it could use
// it. So what it had just before a connection broke would stay unacknowledged for ever. But frames on one connection come in order:
// a client that can use what comes, and acknowledges a frame, has had those that were sent before it on that connection too.
type Sender struct {
	next    int64
	unacked *list.List // of *sent, by number
	byOrder int64      // the order of the last sending on this connection
	// usable is the order after which the client could use what came; negative while it is not known to.
	usable int64
	// probe is the number of the frame on its way that was sent for its acknowledgement alone, 0 for none.
	probe int64

	rtt, variation time.Duration
	timeout        time.Duration
}

// sent is a frame that is not acknowledged. first and last are the orders of its first and last sending on this connection, 0 for none.
type sent struct {
	sequence    int64
	frame       []byte
	output      bool
	first, last int64
	at          time.Time
	// repeated is how often it was sent beside the first time.
	repeated int
}

// NewSender makes one that begins with frame 0.
func NewSender() *Sender {
	return &Sender{unacked: list.New(), usable: -1, timeout: firstTimeout}
}

// Full tells whether as much is unacknowledged as may be.
func (s *Sender) Full() bool { return s.unacked.Len() >= Window }

// Unacknowledged is how many frames are.
func (s *Sender) Unacknowledged() int { return s.unacked.Len() }

// Add numbers a frame of data and gives it encoded, to be sent after all that was given before.
func (s *Sender) Add(now time.Time, t PayloadType, payload []byte) []byte {
	f := Frame{Type: TypeOutput, Schema: 1, Created: millis(now), Sequence: s.next, ID: uuid.New(), PayloadType: t, Payload: payload}
	if s.next == 0 {
		f.Flags = 1 // SYN: the first of the stream
	}
	e := &sent{sequence: s.next, output: t == PayloadOutput, frame: f.Append(make([]byte, 0, atPayload+len(payload)))}
	s.next++
	s.unacked.PushBack(e)
	s.send(e, now)
	return e.frame
}

func (s *Sender) send(e *sent, now time.Time) {
	s.byOrder++
	if e.first == 0 {
		e.first = s.byOrder
	}
	e.last, e.at = s.byOrder, now
}

// Usable says that the client can use what comes from now on: it has said something that it says only then.
func (s *Sender) Usable() {
	if s.usable < 0 {
		s.usable = s.byOrder
	}
}

// Acknowledge takes note that a frame has come.
func (s *Sender) Acknowledge(now time.Time, sequence int64) {
	var found *list.Element
	for el := s.unacked.Front(); el != nil; el = el.Next() {
		if e := el.Value.(*sent); e.sequence == sequence {
			found = el
			break
		} else if e.sequence > sequence {
			return
		}
	}
	if found == nil {
		return
	}
	acked := found.Value.(*sent)
	if acked.output && found == s.unacked.Front() {
		s.Usable() // nothing is kept that comes before it, so it was used
	}
	s.unacked.Remove(found)
	if sequence == s.probe {
		s.probe = 0
	}
	if acked.repeated == 0 {
		s.measure(now.Sub(acked.at))
	}
	for el := s.unacked.Front(); s.usable >= 0 && el != nil; {
		e := el.Value.(*sent)
		if e.sequence > sequence {
			break
		}
		after := el.Next()
		if s.cameBefore(e.first, acked) || s.cameBefore(e.last, acked) {
			s.unacked.Remove(el)
			if e.sequence == s.probe {
				s.probe = 0
			}
		}
		el = after
	}
}

// cameBefore tells whether what was sent in an order came to a client that could use it, before a frame that came.
func (s *Sender) cameBefore(order int64, acked *sent) bool {
	return order > s.usable && order < acked.first
}

// measure adapts the time after which a frame is taken for lost, as RFC 6298 does.
func (s *Sender) measure(rtt time.Duration) {
	if s.rtt == 0 {
		s.rtt, s.variation = rtt, rtt/2
	} else {
		s.variation = (3*s.variation + (s.rtt - rtt).Abs()) / 4
		s.rtt = (7*s.rtt + rtt) / 8
	}
	s.timeout = min(max(s.rtt+4*s.variation, minTimeout), maxTimeout)
}

// Due is when Resend will have something; the zero time for never.
func (s *Sender) Due() time.Time {
	el := s.unacked.Front()
	if el == nil {
		return time.Time{}
	}
	return el.Value.(*sent).at.Add(s.timeout)
}

// Resend gives what is to be sent again, if that is due. It is the oldest frame alone: what comes too early is kept by clients. Where
// that does not help, a frame without content follows: its acknowledgement tells of all before it, if the client had had that already.
func (s *Sender) Resend(now time.Time) [][]byte {
	el := s.unacked.Front()
	if el == nil {
		return nil
	}
	e := el.Value.(*sent)
	if now.Sub(e.at) < s.timeout {
		return nil
	}
	// A client that is slow is not to be buried under repetitions.
	s.timeout = min(2*s.timeout, maxTimeout)
	s.send(e, now)
	frames := [][]byte{e.frame}
	if e.repeated++; e.repeated >= probeAfter && s.usable >= 0 && s.probe == 0 {
		s.probe = s.next
		frames = append(frames, s.Add(now, PayloadOutput, nil))
	}
	return frames
}

// Reconnect begins a new connection: it gives all that is unacknowledged, to be sent first.
func (s *Sender) Reconnect(now time.Time) [][]byte {
	s.byOrder, s.timeout, s.probe = 0, firstTimeout, 0
	s.usable = min(s.usable, 0)
	var frames [][]byte
	for el := s.unacked.Front(); el != nil; el = el.Next() {
		e := el.Value.(*sent)
		e.first, e.repeated = 0, max(1, e.repeated)
		s.send(e, now)
		frames = append(frames, e.frame)
	}
	return frames
}
