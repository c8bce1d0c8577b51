package runtime

import (
	"context"
	"errors"
	"io"
)

// ErrNotRunning is wrapped when a process is asked for in a container that has ended.
var ErrNotRunning = errors.New("not running")

// ErrNoTerminal is wrapped when a process without a terminal is to be resized.
var ErrNoTerminal = errors.New("it has no terminal")

// ExecSpec is a process in a running container.
type ExecSpec struct {
	Args []string
	// Env adds to the container's environment and overrides it.
	Env []string
	// Cwd and User are the container's where they are empty. User is as in Spec.
	Cwd, User string
	// Terminal gives the process one; then all its output goes to Stdout.
	Terminal bool
	// Stdin is read until it ends or the process does; a Read under way then is not waited for. Nil is no input. Stdout and Stderr are each
	// written from one goroutine, the same if they are the same; nil discards.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Process is a process in a container beside its first. All methods may be called at once from many goroutines.
type Process interface {
	// Resize tells the terminal its size in characters.
	Resize(columns, rows uint16) error
	// Signal sends a signal. It is no error if the process has ended.
	Signal(signal int) error
	// Wait blocks until the process has ended and its output is written. The exit code is 128 plus the signal's number for
	// one that a signal ended, as when its container ended. An error is ctx's, or says that nothing is known of it any more.
	Wait(ctx context.Context) (exitCode int, err error)
}
