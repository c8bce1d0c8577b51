package state

import (
	"context"
	"errors"
	"fmt"
)

// KV is the durable store beneath a [Store]. Implementations are etcdkv and memkv; kvtest has the suite they share.
type KV interface {
	// Lead waits until this process is the only one that may write, and begins its term. From then on no commit of an
	// earlier term can take effect. Revision is that of the beginning of the term.
	Lead(ctx context.Context) (term Term, revision int64, err error)
	// Limits are those of one Commit.
	Limits() Limits
}

// Limits bound one atomic commit.
type Limits struct {
	// Ops is the most operations.
	Ops int
	// Bytes is the most bytes of keys and values together.
	Bytes int
}

// Term is one time of leadership. Its methods are called by one goroutine at a time, but for Lost.
type Term interface {
	// Page reads the entries whose keys follow after, in the order of keys, about limit of them. None means the end.
	// Nothing but this term's own commits changes what is read.
	Page(ctx context.Context, after string, limit int) ([]Entry, error)
	// Commit applies ops as one, or not at all, if the term still holds and the term's commits so far are exactly those
	// numbered 1 to n-1. It returns the revision, which grows with each commit of any term.
	//
	// A *RefusedError says that the commit didn't and won't take effect, and that the term goes on; ErrLost that the term is
	// over, so that this call changed nothing, though an earlier one of the same number may have. After any other error the
	// outcome is unknown: the caller asks again with the same arguments until there is an answer, which then is that of both.
	Commit(ctx context.Context, n uint64, ops []Op) (revision int64, err error)
	// Lost is closed when the term is known to be over.
	Lost() <-chan struct{}
	// Resign ends the term: no commit of it can take effect any more once Resign has returned nil.
	Resign(ctx context.Context) error
}

// Op writes a key, or deletes it where Value is nil.
type Op struct {
	Key   string
	Value []byte
}

// Entry is a stored key and its value.
type Entry struct {
	Key   string
	Value []byte
}

// ErrLost is in the chain of errors of a term that is over.
var ErrLost = errors.New("leadership lost")

// RefusedError says that a commit did not take effect and never will. Reason is for the caller of Update: what is wrong
// and what to do about it.
type RefusedError struct{ Reason error }

func (e *RefusedError) Error() string { return fmt.Sprintf("commit refused: %v", e.Reason) }

// Unwrap gives the reason.
func (e *RefusedError) Unwrap() error { return e.Reason }
