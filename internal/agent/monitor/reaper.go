package monitor

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reaper collects every child of the process: those it starts, and the containers' first processes, which become its
// children when the OCI runtime that made them ends. It is the only one to wait for children.
type reaper struct {
	mu sync.Mutex
	// waiting has who wants to know of a process's end.
	waiting map[int]chan exit
	// unclaimed has ends that nobody asked for yet: of a container that ended before its pid was known. Only a few moments
	// matter, those between a start's fork and its claim; older ones are forgotten.
	unclaimed map[int]exit
}

// exit is a process's end.
type exit struct {
	// code is the exit status, 128 plus the signal's number, or -1 if it could not be had.
	code int
	at   time.Time
}

// keepUnclaimed is longer than a start can take from its process's end to its claim.
const keepUnclaimed = time.Minute

func newReaper() *reaper {
	return &reaper{waiting: map[int]chan exit{}, unclaimed: map[int]exit{}}
}

// run collects until ctx ends.
func (r *reaper) run(ctx context.Context) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	defer signal.Stop(signals)
	for {
		r.collect()
		select {
		case <-signals:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *reaper) collect() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		if status.Exited() || status.Signaled() {
			r.deliver(pid, exit{code: exitCode(status), at: time.Now()})
		}
	}
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func (r *reaper) deliver(pid int, e exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ch, ok := r.waiting[pid]; ok {
		delete(r.waiting, pid)
		ch <- e
		return
	}
	for old, past := range r.unclaimed {
		if e.at.Sub(past.at) > keepUnclaimed {
			delete(r.unclaimed, old)
		}
	}
	r.unclaimed[pid] = e
}

// start starts a process; its end comes on the channel.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (int, <-chan exit, error) {
	// With the lock held its end cannot be delivered before it is registered.
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, &os.PathError{Op: "fork/exec", Path: path, Err: err}
	}
	return pid, r.claimLocked(pid, time.Time{}), nil
}

// claim gives the end of a process that became a child after since.
func (r *reaper) claim(pid int, since time.Time) <-chan exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claimLocked(pid, since)
}

func (r *reaper) claimLocked(pid int, since time.Time) <-chan exit {
	ch := make(chan exit, 1)
	if e, ok := r.unclaimed[pid]; ok {
		delete(r.unclaimed, pid)
		if !since.IsZero() && !e.at.Before(since) {
			ch <- e
			return ch
		}
	}
	r.waiting[pid] = ch
	return ch
}
