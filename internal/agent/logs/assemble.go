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
	// Millis is since 1970.
	Millis int64 `json:"millis"`
}

// fragment is the beginning of something that goes on in the next record.
type fragment struct {
	Text   []byte `json:"text,omitempty"`
	Millis int64  `json:"millis,omitempty"`
}

// assembler makes events of records: it joins the parts of long lines and, with a pattern, the lines of an event. What it
// holds is part of the cursor, so that a restart neither loses it nor reads it twice.
type assembler struct {
	multiline *regexp.Regexp
	// Partial are lines without their end yet, by stream.
	Partial map[string]*fragment `json:"partial,omitempty"`
	// Event is an event to which lines may be added.
	Event fragment `json:"event,omitzero"`
	// Queue are complete events.
	Queue []event `json:"queue,omitempty"`
}

// add takes one record.
func (a *assembler) add(r record) {
	millis := r.time.UnixMilli()
	text, whole := bytes.CutSuffix(r.text, []byte("\n"))
	p := a.Partial[r.stream]
	switch {
	case p == nil && whole:
		a.line(text, millis)
		return
	case p == nil:
		if a.Partial == nil {
			a.Partial = map[string]*fragment{}
		}
		p = &fragment{Millis: millis}
		a.Partial[r.stream] = p
	}
	p.Text = append(p.Text, text...)
	if whole {
		delete(a.Partial, r.stream)
		a.line(p.Text, p.Millis)
		return
	}
	for len(p.Text) > eventBytes { // no end in sight
		a.endEvent()
		p.Text = p.Text[a.piece(p.Text, p.Millis):]
	}
}

// line takes one whole line.
func (a *assembler) line(text []byte, millis int64) {
	if a.multiline == nil {
		a.send(text, millis)
		return
	}
	if a.multiline.Match(text) || len(a.Event.Text)+len(text)+1 > eventBytes {
		a.endEvent()
	}
	if len(a.Event.Text) == 0 {
		a.Event.Millis = millis
	}
	// As in Docker, each line keeps its newline, the last one too.
	a.Event.Text = append(append(a.Event.Text, text...), '\n')
}

// endEvent completes the event of several lines.
func (a *assembler) endEvent() {
	a.send(a.Event.Text, a.Event.Millis)
	a.Event = fragment{Text: a.Event.Text[:0]}
}

// flush completes everything: nothing follows.
func (a *assembler) flush() {
	for _, stream := range []string{"stdout", "stderr", ""} {
		if p := a.Partial[stream]; p != nil {
			a.line(p.Text, p.Millis)
		}
	}
	a.Partial = nil
	a.endEvent()
}

// holding says whether an event of several lines waits for its end.
func (a *assembler) holding() bool { return len(a.Event.Text) > 0 }

// send queues a text, in pieces if it is too long. CloudWatch takes no empty events; Docker drops them as well.
func (a *assembler) send(text []byte, millis int64) {
	for len(text) > 0 {
		text = text[a.piece(text, millis):]
	}
}

// piece queues what fits of a text, without cutting a character, and returns its length.
func (a *assembler) piece(text []byte, millis int64) int {
	n := len(text)
	if n > eventBytes {
		n = eventBytes
		for n > eventBytes-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
	}
	a.Queue = append(a.Queue, event{Text: string(text[:n]), Millis: millis})
	return n
}
