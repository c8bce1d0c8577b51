package images

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

// transient tells whether asking again may help: not if the registry said no, the disk is full or the image is wrong.
func transient(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return status.StatusCode >= 500 || noRanges(err) || status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout
	}
	var dns *net.DNSError
	var stalled *stalledError
	var op net.Error
	switch {
	case diskFull(err), errors.Is(err, syscall.EROFS), errors.Is(err, docker.ErrInvalidAuthorization):
		return false
	case errors.As(err, &dns):
		return dns.IsTimeout || dns.IsTemporary
	case errors.As(err, &stalled), errors.As(err, &op):
		return true
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED):
		return true
	}
	// A blob whose bytes are not what its digest says may have been cut off or garbled on its way.
	return errdefs.IsFailedPrecondition(err) || errdefs.IsUnavailable(err)
}

// noRanges tells that a registry cannot go on with a download where it was cut off.
func noRanges(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	return errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable
}

// query matches what stands behind the path in an address: a registry's redirect may carry a signature there.
var query = regexp.MustCompile(`(https?://[^\s"'?]+)\?[^\s"']*`)

// pullError is what a person is shown of a pull that failed.
type pullError struct {
	text  string
	cause error
}

func (e *pullError) Error() string { return e.text }
func (e *pullError) Unwrap() error { return e.cause }

// explain puts an error in words that can be shown.
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(err, cause)
	}
	text := query.ReplaceAllString(err.Error(), "$1")
	if diskFull(err) {
		text += " (the disk of the image store is full: free some room, for instance by removing images)"
	}
	return &pullError{text, err}
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
