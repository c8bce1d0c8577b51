package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/jsonlog"
)

// The streams of a container, by the names of their FIFOs and in the log.
var streams = []string{"stdout", "stderr"}

// drainTimeout bounds the wait for the end of output when the container has ended: all its processes have too, unless
// one had passed its output on to a process outside, which need not be waited for.
const drainTimeout = time.Second

// output takes in a container's output and writes its log.
//
// Each stream is a FIFO in the container's directory. The container's end is open for reading too, so that it has always
// a reader: while no monitor lives the container neither gets SIGPIPE nor loses what fits the pipe (64 KiB), and after
// that it waits; a new monitor opens the FIFO and goes on.
type output struct {
	log     *jsonlog.File
	readers sync.WaitGroup
	mu      sync.Mutex
	files   []*os.File
}

// makeFIFOs makes the FIFOs of a container and opens its ends.
func makeFIFOs(dir string) ([]*os.File, error) {
	var files []*os.File
	for _, name := range streams {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return files, &os.PathError{Op: "mkfifo", Path: path, Err: err}
		}
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return files, &os.PathError{Op: "open", Path: path, Err: err}
		}
		files = append(files, os.NewFile(uintptr(fd), path))
	}
	return files, nil
}

// attach reads the FIFOs into the log. The container's ends must be open already, or its processes alive.
func (o *output) attach(dir string) error {
	for _, name := range streams {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		o.read(f, o.log.Stream(name))
	}
	return nil
}

// read takes in one stream until its end.
func (o *output) read(f *os.File, stream *jsonlog.Stream) {
	o.mu.Lock()
	o.files = append(o.files, f)
	o.mu.Unlock()
	o.readers.Go(func() {
		defer f.Close()
		defer stream.Flush()
		if err := copyOutput(f, stream); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			o.log.Report(fmt.Errorf("read a container's output: %w", err))
		}
	})
}

// buffers are lent to a stream only while it has something to say: most say nothing most of the time.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func copyOutput(f *os.File, stream *jsonlog.Stream) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var n int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			buf := buffers.Get().(*[32 << 10]byte)
			defer buffers.Put(buf)
			n, readErr = ignoreEINTR(func() (int, error) { return unix.Read(int(fd), buf[:]) })
			if errors.Is(readErr, unix.EAGAIN) {
				return false
			}
			if n > 0 {
				stream.Write(buf[:n])
			}
			return true
		})
		switch {
		case err != nil:
			return err
		case errors.Is(readErr, unix.EIO): // a terminal whose last user has gone
			return nil
		case readErr != nil:
			return readErr
		case n == 0:
			return nil
		}
	}
}

func ignoreEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// finish waits for the end of output, which comes with the end of the container, and closes the log. It gives the number of
// entries that could not be written.
func (o *output) finish() (dropped int64, err error) {
	timer := time.AfterFunc(drainTimeout, o.interrupt)
	o.readers.Wait()
	timer.Stop()
	return o.log.Dropped(), o.log.Close()
}

// abandon ends the reading at once.
func (o *output) abandon() error {
	o.interrupt()
	o.readers.Wait()
	return o.log.Close()
}

func (o *output) interrupt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.files {
		// One that is closed already needs no deadline.
		_ = f.SetReadDeadline(time.Unix(1, 0))
	}
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
