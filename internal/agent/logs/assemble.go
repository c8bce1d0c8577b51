package logs

import (
	"bytes"
	"regexp"
	"time"
	"unicode/utf8"
)

// What CloudWatch Logs takes in one request.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	batchEvents   = 10000
	batchBytes    = 1 << 20
	batchSpan     = 24 * time.Hour
	eventOverhead = 26
	// eventBytes is the longest message that fits a batch; a longer line is sent in pieces.
	eventBytes = batchBytes - eventOverhead
)

// event is one event to be sent.
type event struct {
	Text string `json:"text"`
	// Millis is since 1970, and Nanos are what its time is beyond that.
	Millis int64 `json:"millis"`
	Nanos  int32 `json:"nanos,omitempty"`
	// Error says that it was written to stderr.
	Error bool `json:"error,omitempty"`
}

// eventAt is an event without its text.
func eventAt(t time.Time, stream string) event {
	millis := t.UnixMilli()
	return event{Millis: millis, Nanos: int32(t.Sub(time.UnixMilli(millis))), Error: stream == "stderr"}
}

func (e *event) time() time.Time { return time.UnixMilli(e.Millis).Add(time.Duration(e.Nanos)) }

// source is the stream that it was written to.
func (e *event) source() string {
	if e.Error {
		return "stderr"
	}
	return "stdout"
}

// fragment is the beginning of something that goes on in the next record.
type fragment struct {
	Text   []byte `json:"text,omitempty"`
	Millis int64  `json:"millis,omitempty"`
	Nanos  int32  `json:"nanos,omitempty"`
	Error  bool   `json:"error,omitempty"`
}

// begin takes what is known of an event but its text, and at gives it.
func (f *fragment) begin(e event) { f.Millis, f.Nanos, f.Error = e.Millis, e.Nanos, e.Error }
func (f *fragment) at() event     { return event{Millis: f.Millis, Nanos: f.Nanos, Error: f.Error} }

// assembler makes events of records: it joins the parts of long lines and, with a pattern, the lines of an event. What it
// holds is part of the cursor, so that a restart neither loses it nor reads it twice.
type assembler struct {
	multiline *regexp.Regexp
	shape     shape
	// Partial are lines without their end yet, by stream.
	Partial map[string]*fragment `json:"partial,omitempty"`
	// Event is an event to which lines may be added.
	Event fragment `json:"event,omitzero"`
	// Queue are complete events.
	Queue []event `json:"queue,omitempty"`
}

// add takes one record.
func (a *assembler) add(r record) {
	at := eventAt(r.time, r.stream)
	text, whole := bytes.CutSuffix(r.text, []byte("\n"))
	p := a.Partial[r.stream]
	switch {
	case p == nil && whole:
		a.line(text, at)
		return
	case p == nil:
		if a.Partial == nil {
			a.Partial = map[string]*fragment{}
		}
		p = &fragment{}
		p.begin(at)
		a.Partial[r.stream] = p
	}
	p.Text = append(p.Text, text...)
	if whole {
		delete(a.Partial, r.stream)
		a.line(p.Text, p.at())
		return
	}
	for len(p.Text) > a.shape.max { // no end in sight
		a.endEvent()
		p.Text = p.Text[a.piece(p.Text, p.at()):]
	}
}

// line takes one whole line.
func (a *assembler) line(text []byte, at event) {
	if a.multiline == nil {
		a.send(text, at)
		return
	}
	if a.multiline.Match(text) || len(a.Event.Text)+len(text)+1 > a.shape.max {
		a.endEvent()
	}
	if len(a.Event.Text) == 0 {
		a.Event.begin(at)
	}
	// As in Docker, each line keeps its newline, the last one too.
	a.Event.Text = append(append(a.Event.Text, text...), '\n')
}

// endEvent completes the event of several lines.
func (a *assembler) endEvent() {
	if a.holding() {
		a.send(a.Event.Text, a.Event.at())
	}
	a.Event = fragment{Text: a.Event.Text[:0]}
}

// flush completes everything: nothing follows.
func (a *assembler) flush() {
	for _, stream := range []string{"stdout", "stderr", ""} {
		if p := a.Partial[stream]; p != nil {
			a.line(p.Text, p.at())
		}
	}
	a.Partial = nil
	a.endEvent()
}

// holding says whether an event of several lines waits for its end.
func (a *assembler) holding() bool { return len(a.Event.Text) > 0 }

// send queues a text, in pieces if it is too long. CloudWatch takes no empty events; Docker drops them as well.
func (a *assembler) send(text []byte, at event) {
	if len(text) == 0 && a.shape.empty {
		a.Queue = append(a.Queue, at)
	}
	for len(text) > 0 {
		text = text[a.piece(text, at):]
	}
}

// piece queues what fits of a text, without cutting a character, and returns its length.
func (a *assembler) piece(text []byte, at event) int {
	n := len(text)
	if n > a.shape.max {
		n = a.shape.max
		for n > a.shape.max-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
	}
	at.Text = string(text[:n])
	a.Queue = append(a.Queue, at)
	return n
}
