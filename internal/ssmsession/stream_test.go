package ssmsession

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plugin receives as session-manager-plugin 1.3.0 does (HandleOutputMessage of its datachannel/streaming.go).
type plugin struct {
	// ready says that its session has begun; before that it acknowledges nothing that it could not use.
	ready    bool
	expected int64
	held     map[int64]*Frame
	got      []string
}

func (p *plugin) use(f *Frame) {
	p.expected++
	if len(f.Payload) > 0 {
		p.got = append(p.got, string(f.Payload))
	}
}

// take tells whether the frame is acknowledged.
func (p *plugin) take(f *Frame) bool {
	switch {
	case f.Sequence < p.expected:
		return false
	case f.Sequence > p.expected:
		p.held[f.Sequence] = f
		return true
	case !p.ready:
		return false
	}
	p.use(f)
	for p.held[p.expected] != nil {
		next := p.held[p.expected]
		delete(p.held, p.expected)
		p.use(next)
	}
	return true
}

// wire is a sender and a plugin on connections that break. down and up are what is on its way.
type wire struct {
	t    *rapid.T
	s    *Sender
	p    *plugin
	now  time.Time
	down [][]byte
	up   []int64
}

// deliver lets the plugin have a frame, and step the sender an acknowledgement.
func (w *wire) deliver() {
	if len(w.down) == 0 {
		return
	}
	f, err := Decode(w.down[0])
	if err != nil {
		w.t.Fatal(err)
	}
	w.down = w.down[1:]
	if w.p.take(f) {
		w.up = append(w.up, f.Sequence)
	}
}

func (w *wire) acknowledge() {
	if len(w.up) == 0 {
		return
	}
	// That the client can use what comes is said on the same connection, after the acknowledgements before it.
	if w.up[0] < 0 {
		w.s.Usable()
	} else {
		w.s.Acknowledge(w.now, w.up[0])
	}
	w.up = w.up[1:]
}

func (w *wire) wait(d time.Duration) {
	w.now = w.now.Add(d)
	w.down = append(w.down, w.s.Resend(w.now)...)
}

// TestEverythingArrivesOnce: whatever the connection does, the client has all of it, once and in order, and the sender knows so in the end.
func TestEverythingArrivesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &wire{t: t, s: NewSender(), p: &plugin{held: map[int64]*Frame{}}, now: time.Unix(1000, 0)}
		var want []string
		t.Repeat(map[string]func(*rapid.T){
			"say": func(t *rapid.T) {
				if w.s.Full() {
					t.Skip()
				}
				text := fmt.Sprint(len(want))
				want = append(want, text)
				w.down = append(w.down, w.s.Add(w.now, PayloadOutput, []byte(text)))
			},
			"deliver":     func(*rapid.T) { w.deliver() },
			"acknowledge": func(*rapid.T) { w.acknowledge() },
			"wait": func(t *rapid.T) {
				w.wait(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond)
			},
			"ready": func(t *rapid.T) {
				if w.p.ready {
					t.Skip()
				}
				w.p.ready = true
				w.up = append(w.up, -1)
			},
			"break": func(t *rapid.T) {
				// What is on its way is lost, from some moment on in either direction.
				for range rapid.IntRange(0, len(w.down)).Draw(t, "delivered") {
					w.deliver()
				}
				if w.p.ready && slices.Contains(w.up, -1) {
					t.Skip() // it is said again: the client repeats what is not acknowledged
				}
				w.up = w.up[:rapid.IntRange(0, len(w.up)).Draw(t, "acknowledged")]
				for len(w.up) > 0 {
					w.acknowledge()
				}
				w.down = w.s.Reconnect(w.now)
			},
			"": func(t *rapid.T) {
				if w.s.Unacknowledged() > Window+1 {
					t.Errorf("%d frames in the window", w.s.Unacknowledged())
				}
				if len(w.p.got) > len(want) || !slices.Equal(w.p.got, want[:len(w.p.got)]) {
					t.Fatalf("the client has %q", w.p.got)
				}
			},
		})
		if !w.p.ready {
			w.p.ready = true
			w.up = append(w.up, -1)
		}
		for range 10 * (len(want) + 10) {
			for len(w.down) > 0 {
				w.deliver()
			}
			for len(w.up) > 0 {
				w.acknowledge()
			}
			w.wait(maxTimeout)
		}
		if !slices.Equal(w.p.got, want) {
			t.Errorf("the client has %q, not %q", w.p.got, want)
		}
		if n := w.s.Unacknowledged(); n != 0 {
			t.Errorf("%d frames stay unacknowledged", n)
		}
	})
}

// TestOneLostAcknowledgement: a client says nothing to a frame that it had; a frame after it frees the window all the same.
func TestOneLostAcknowledgement(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSender()
	s.Usable()
	s.Add(now, PayloadOutput, []byte("a"))
	s.Add(now, PayloadOutput, []byte("b"))
	if frames := s.Reconnect(now); len(frames) != 2 {
		t.Fatalf("%d frames are sent again", len(frames))
	}
	var last [][]byte
	for range 10 {
		if now = s.Due(); len(last) < 2 {
			last = s.Resend(now)
		} else if frames := s.Resend(now); len(frames) != 1 {
			t.Fatalf("%d frames while a probe is on its way", len(frames))
		}
	}
	probe, err := Decode(last[1])
	if err != nil || probe.Sequence != 2 || len(probe.Payload) != 0 {
		t.Fatalf("the probe is %+v, %v", probe, err)
	}
	s.Acknowledge(now, 2)
	if n := s.Unacknowledged(); n != 0 {
		t.Errorf("%d are unacknowledged", n)
	}
}

// TestResends: only the oldest is sent again, ever more slowly.
func TestResends(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSender()
	if !s.Due().IsZero() || s.Resend(now) != nil {
		t.Error("nothing is due")
	}
	for range 3 {
		s.Add(now, PayloadOutput, []byte("a"))
	}
	times, end := 0, now.Add(10*time.Second)
	for !s.Due().After(end) {
		now = s.Due()
		frames := s.Resend(now)
		if len(frames) != 1 {
			t.Fatalf("%d frames are sent to a client that cannot use them", len(frames))
		}
		f, err := Decode(frames[0])
		if err != nil || f.Sequence != 0 {
			t.Fatalf("%+v, %v", f, err)
		}
		times++
	}
	if times < 8 || times > 14 {
		t.Errorf("sent again %d times in 10 s", times)
	}
}

func TestReceiver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Receiver
		n := rapid.IntRange(1, 50).Draw(t, "frames")
		var got []int64
		for step := 0; int(r.Next()) < n; step++ {
			seq := int64(rapid.IntRange(-1, n-1).Draw(t, "number"))
			if step > 20*n {
				seq = r.Next()
			}
			before := r.Next()
			frames, ack := r.Take(&Frame{Sequence: seq, Payload: []byte{byte(seq)}})
			if ack != (seq >= 0) || (seq == before) != (len(frames) > 0) {
				t.Fatalf("frame %d where %d is next: %v, %d delivered", seq, before, ack, len(frames))
			}
			for _, f := range frames {
				got = append(got, f.Sequence)
			}
		}
		for i, seq := range got {
			if seq != int64(i) {
				t.Fatalf("delivered %v", got)
			}
		}
		if r.bytes != 0 || len(r.held) != 0 {
			t.Errorf("%d bytes, %d frames are held", r.bytes, len(r.held))
		}
	})
}

// TestReceiverIsBounded: what is far ahead, or too much, is left to come again.
func TestReceiverIsBounded(t *testing.T) {
	var r Receiver
	if _, ack := r.Take(&Frame{Sequence: maxAhead + 1}); ack {
		t.Error("a frame far ahead is taken")
	}
	if _, ack := r.Take(&Frame{Sequence: 1<<63 - 1}); ack {
		t.Error("the last number is taken")
	}
	taken := 0
	for i := range int64(maxAhead) {
		if _, ack := r.Take(&Frame{Sequence: i + 1, Payload: make([]byte, MaxPayload)}); ack {
			taken++
		}
	}
	if taken != maxHeldBytes/MaxPayload {
		t.Errorf("%d frames are held", taken)
	}
	if frames, ack := r.Take(&Frame{}); !ack || len(frames) != taken+1 {
		t.Errorf("%d frames are delivered, %v", len(frames), ack)
	}
}
