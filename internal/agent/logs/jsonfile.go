package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// record is one line of a file in Docker's json-file form. A program's line that is longer than the runtime's buffer
// is in several records; all but the last have no newline at the end.
// https://docs.docker.com/engine/logging/drivers/json-file/
type record struct {
	// text is only good until the next record is decoded.
	text   []byte
	stream string
	time   time.Time
}

var errRecord = errors.New("not a line of a json-file log")

// decoder reads records. It keeps a buffer between them.
type decoder struct{ buf []byte }

// decode reads one line. The form in which Docker and our runtime write is read directly; any other JSON of the same
// meaning by encoding/json.
func (d *decoder) decode(line []byte) (record, error) {
	if r, ok := d.fast(line); ok {
		return r, nil
	}
	var v struct {
		Log    *string   `json:"log"`
		Stream string    `json:"stream"`
		Time   time.Time `json:"time"`
	}
	if err := json.Unmarshal(line, &v); err != nil || v.Log == nil {
		return record{}, errRecord
	}
	d.buf = append(d.buf[:0], *v.Log...)
	return record{text: d.buf, stream: streamName(v.Stream), time: v.Time}, nil
}

// fast reads {"log":"...","stream":"...","time":"..."} with the escapes that are common.
func (d *decoder) fast(line []byte) (record, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return record{}, false
	}
	if rest, ok = d.unescape(rest); !ok {
		return record{}, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"stream":"`)); !ok {
		return record{}, false
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || !plain(rest[:end]) {
		return record{}, false
	}
	stream := streamName(string(rest[:end]))
	if rest, ok = bytes.CutPrefix(rest[end:], []byte(`","time":"`)); !ok {
		return record{}, false
	}
	stamp, ok := bytes.CutSuffix(rest, []byte(`"}`))
	if !ok {
		return record{}, false
	}
	// RFC 3339 as time.Time itself reads it from JSON.
	var t time.Time
	if err := t.UnmarshalText(stamp); err != nil {
		return record{}, false
	}
	return record{text: d.buf, stream: stream, time: t}, true
}

// unescape reads a JSON string up to its end into the buffer and returns what follows. It gives up on anything rare.
func (d *decoder) unescape(s []byte) (rest []byte, ok bool) {
	d.buf = d.buf[:0]
	for {
		i := 0
		for i < len(s) && s[i] >= ' ' && s[i] < 0x80 && s[i] != '"' && s[i] != '\\' {
			i++
		}
		d.buf = append(d.buf, s[:i]...)
		s = s[i:]
		if len(s) == 0 {
			return nil, false
		}
		switch {
		case s[0] == '"':
			return s[1:], true
		case s[0] == '\\' && len(s) > 1:
			if s, ok = d.escape(s); !ok {
				return nil, false
			}
		default: // control characters, and UTF-8, which may be invalid
			n := validPrefix(s)
			if n == 0 {
				return nil, false
			}
			d.buf = append(d.buf, s[:n]...)
			s = s[n:]
		}
	}
}

// escape reads one escape sequence.
func (d *decoder) escape(s []byte) ([]byte, bool) {
	switch s[1] {
	case 'n':
		d.buf = append(d.buf, '\n')
	case 't':
		d.buf = append(d.buf, '\t')
	case 'r':
		d.buf = append(d.buf, '\r')
	case '"', '\\', '/':
		d.buf = append(d.buf, s[1])
	case 'u':
		r := rune(0)
		for _, c := range s[2:min(len(s), 6)] {
			digit := hexDigit(c)
			if digit < 0 {
				return nil, false
			}
			r = r<<4 | rune(digit)
		}
		if len(s) < 6 || utf16.IsSurrogate(r) {
			return nil, false
		}
		d.buf = utf8.AppendRune(d.buf, r)
		return s[6:], true
	default:
		return nil, false
	}
	return s[2:], true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// plain says whether a string needs no decoding.
func plain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c >= 0x80 || c == '\\' {
			return false
		}
	}
	return true
}

// streamName makes the two usual names without an allocation for each line.
func streamName(s string) string {
	switch s {
	case "stdout":
		return "stdout"
	case "stderr":
		return "stderr"
	}
	return s
}

// validPrefix is how long the valid UTF-8 beyond ASCII at the start of s is.
func validPrefix(s []byte) int {
	n := 0
	for n < len(s) && s[n] >= 0x80 {
		r, size := utf8.DecodeRune(s[n:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		n += size
	}
	return n
}
