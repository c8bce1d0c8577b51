package logstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// Group is a log group. Times are in milliseconds since 1970.
type Group struct {
	ID        uint64 `json:"id"`
	Name      string `json:"-"`
	Created   int64  `json:"created"`
	Retention int    `json:"retention,omitempty"` // days; 0 keeps events for ever
	Class     string `json:"class,omitempty"`
	Protected bool   `json:"protected,omitempty"` // may not be deleted
	// Tags is never nil in what the store hands out, and never shared with it.
	Tags map[string]string `json:"tags,omitempty"`
	// Bytes is the size of the events held, counted as PutLogEvents counts them.
	Bytes int64 `json:"-"`
}

func (g *Group) clone() Group {
	c := *g
	c.Tags = maps.Clone(g.Tags)
	if c.Tags == nil {
		c.Tags = map[string]string{}
	}
	return c
}

// Stream is a log stream. First, Last and Ingested are 0 until it has had an event.
type Stream struct {
	ID       uint64
	Name     string
	Created  int64
	First    int64 // time of its earliest event
	Last     int64 // time of its latest event
	Ingested int64 // when it was last written to
	Bytes    int64 // size of the events held
	Count    uint64
}

// errDamaged says that a stored record does not read.
var errDamaged = errors.New("damaged record")

const streamVersion = 1

func encodeStream(s *Stream) []byte {
	b := make([]byte, 0, 64)
	b = append(b, streamVersion)
	b = binary.AppendUvarint(b, s.ID)
	for _, v := range []int64{s.Created, s.First, s.Last, s.Ingested, s.Bytes} {
		b = binary.AppendVarint(b, v)
	}
	return binary.AppendUvarint(b, s.Count)
}

func decodeStream(name string, b []byte) (Stream, error) {
	s := Stream{Name: name}
	if len(b) == 0 || b[0] != streamVersion {
		return s, fmt.Errorf("stream %q: %w", name, errDamaged)
	}
	r := reader{b: b[1:]}
	s.ID = r.uvarint()
	for _, p := range []*int64{&s.Created, &s.First, &s.Last, &s.Ingested, &s.Bytes} {
		*p = r.varint()
	}
	s.Count = r.uvarint()
	if r.bad {
		return s, fmt.Errorf("stream %q: %w", name, errDamaged)
	}
	return s, nil
}

func decodeGroup(name string, b []byte) (*Group, error) {
	g := &Group{Name: name}
	if err := json.Unmarshal(b, g); err != nil {
		return nil, fmt.Errorf("group %q: %w: %w", name, errDamaged, err)
	}
	return g, nil
}

// appendEvent encodes an event's value: its stream, when it came in (as the distance from its time) and its message.
func appendEvent(b []byte, stream uint64, ingestedAfter int64, message string) []byte {
	b = binary.AppendUvarint(b, stream)
	b = binary.AppendVarint(b, ingestedAfter)
	return append(b, message...)
}

// decodeEvent is the inverse of appendEvent; message points into b.
func decodeEvent(b []byte) (stream uint64, ingestedAfter int64, message []byte, err error) {
	r := reader{b: b}
	stream, ingestedAfter = r.uvarint(), r.varint()
	if r.bad {
		return 0, 0, nil, fmt.Errorf("event: %w", errDamaged)
	}
	return stream, ingestedAfter, r.b, nil
}

// reader takes varints off a slice and remembers whether one was missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
