package wire

import (
	"errors"
	"fmt"
)

// decodeError says what of a request couldn't be read; it is meant for the caller.
type decodeError struct {
	path string
	msg  string
}

func (e *decodeError) Error() string {
	if e.path == "" {
		return e.msg
	}
	return e.msg + " (at " + e.path + ")"
}

// under puts a name in front of the path of a decodeError; other errors pass.
func under(err error, name string) error {
	var d *decodeError
	if errors.As(err, &d) {
		switch {
		case d.path == "":
			d.path = name
		case d.path[0] == '[':
			d.path = name + d.path
		default:
			d.path = name + "." + d.path
		}
	}
	return err
}

func wrongType(format string, args ...any) error {
	return &decodeError{msg: fmt.Sprintf(format, args...)}
}

// errTooBig says that a request within the body's limit becomes too much in memory.
var errTooBig = &decodeError{msg: "the request has too many elements"}

// clone gives each request its own error, since under() writes to it.
func (e *decodeError) clone() error { c := *e; return &c }

// clipped keeps what a caller sent from filling an error message.
func clipped(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
