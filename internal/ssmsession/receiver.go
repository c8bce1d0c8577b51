package ssmsession

// Bounds of receiving: how many frames after the next one are kept that came too early, and how many bytes of them.
const (
	maxAhead     = 1024
	maxHeldBytes = 256 << 10
)

// Receiver puts the frames of data of a client in order, each once. It is for one goroutine; the zero value begins with frame 0.
type Receiver struct {
	next  int64
	held  map[int64]*Frame
	bytes int
}

// Next is the number of the frame that is to come.
func (r *Receiver) Next() int64 { return r.next }

// Take takes a frame. What is delivered is in order and has not been before. ack tells whether the frame is to be acknowledged: also
// if it came before, since the acknowledgement may have been lost. One that is too far ahead is neither: it comes again.
func (r *Receiver) Take(f *Frame) (deliver []*Frame, ack bool) {
	switch {
	case f.Sequence < 0:
		return nil, false
	case f.Sequence < r.next || r.held[f.Sequence] != nil:
		return nil, true
	case f.Sequence > r.next:
		return nil, r.hold(f)
	}
	deliver = append(deliver, f)
	for r.next++; ; r.next++ {
		f := r.held[r.next]
		if f == nil {
			return deliver, true
		}
		delete(r.held, r.next)
		r.bytes -= len(f.Payload)
		deliver = append(deliver, f)
	}
}

func (r *Receiver) hold(f *Frame) bool {
	if f.Sequence-r.next > maxAhead || r.bytes+len(f.Payload) > maxHeldBytes {
		return false
	}
	if r.held == nil {
		r.held = map[int64]*Frame{}
	}
	r.held[f.Sequence] = f
	r.bytes += len(f.Payload)
	return true
}
