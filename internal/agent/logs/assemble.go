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
	origin
	Text string `json:"text"`
}

// fragment is the beginning of something that goes on in the next record.
type fragment struct {
	origin
	Text []byte `json:"text,omitempty"`
}

// origin is when and where an event was written.
type origin struct {
	// Millis is since 1970, and Nanos are what its time is beyond that.
	Millis int64 `json:"millis,omitempty"`
	Nanos  int32 `json:"nanos,omitempty"`
	// Error says that it was written to stderr.
	Error bool `json:"error,omitempty"`
}

func originAt(t time.Time, stream string) origin {
	millis := t.UnixMilli()
	return origin{Millis: millis, Nanos: int32(t.Sub(time.UnixMilli(millis))), Error: stream == "stderr"}
}

func (o *origin) time() time.Time { return time.UnixMilli(o.Millis).Add(time.Duration(o.Nanos)) }

func (o *origin) stream() string {
	if o.Error {
		return "stderr"
	}
	return "stdout"
}

// The severities that output has, of those that syslog, GELF and the journal share (RFC 5424, 6.2.1).
const (
	severityError         = 3
	severityInformational = 6
)

func (o *origin) severity() int {
	if o.Error {
		return severityError
	}
	return severityInformational
}

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
	at := originAt(r.time, r.stream)
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
		p = &fragment{origin: at}
		a.Partial[r.stream] = p
	}
	p.Text = append(p.Text, text...)
	if whole {
		delete(a.Partial, r.stream)
		a.line(p.Text, p.origin)
		return
	}
	for len(p.Text) > a.shape.max { // no end in sight
		a.endEvent()
		p.Text = p.Text[a.piece(p.Text, p.origin):]
	}
}

// line takes one whole line.
func (a *assembler) line(text []byte, at origin) {
	if a.multiline == nil {
		a.send(text, at)
		return
	}
	if a.multiline.Match(text) || len(a.Event.Text)+len(text)+1 > a.shape.max {
		a.endEvent()
	}
	if len(a.Event.Text) == 0 {
		a.Event.origin = at
	}
	// As in Docker, each line keeps its newline, the last one too.
	a.Event.Text = append(append(a.Event.Text, text...), '\n')
}

// endEvent completes the event of several lines.
func (a *assembler) endEvent() {
	if a.holding() {
		a.send(a.Event.Text, a.Event.origin)
	}
	a.Event = fragment{Text: a.Event.Text[:0]}
}

// flush completes everything: nothing follows.
func (a *assembler) flush() {
	for _, stream := range []string{"stdout", "stderr", ""} {
		if p := a.Partial[stream]; p != nil {
			a.line(p.Text, p.origin)
		}
	}
	a.Partial = nil
	a.endEvent()
}

// holding says whether an event of several lines waits for its end.
func (a *assembler) holding() bool { return len(a.Event.Text) > 0 }

// send queues a text, in pieces if it is too long. CloudWatch takes no empty events; Docker drops them as well.
func (a *assembler) send(text []byte, at origin) {
	if len(text) == 0 && a.shape.empty {
		a.Queue = append(a.Queue, event{origin: at})
	}
	for len(text) > 0 {
		text = text[a.piece(text, at):]
	}
}

// piece queues what fits of a text, without cutting a character, and returns its length.
func (a *assembler) piece(text []byte, at origin) int {
	n := len(text)
	if n > a.shape.max {
		n = a.shape.max
		for n > a.shape.max-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
	}
	a.Queue = append(a.Queue, event{at, string(text[:n])})
	return n
}
