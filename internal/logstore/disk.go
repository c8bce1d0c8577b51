package logstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"roadstead.dev/roadstead/internal/fault"
)

// A full disk must not end the process, but Pebble ends it when its journal or its manifest cannot be written. Two things
// stand before that. The writer asks for free space before every batch, and refuses events while less than the reserve is
// free. And should others fill the disk to the last byte, roomFS makes the journal wait for room rather than fail.

// roomPoll is how often a write that found the disk full tries again.
const roomPoll = 100 * time.Millisecond

// tableWait is how long writes of tables wait for room before they fail. Pebble drops a half-written table, which makes
// room, and starts again at once, so the wait is also what keeps it from spinning.
const tableWait = time.Second

// roomFS waits where its file system says that there is no space left.
type roomFS struct {
	vfs.FS
	log  *slog.Logger
	once sync.Once
	gone chan struct{} // closed by release
}

func newRoomFS(fs vfs.FS, log *slog.Logger) *roomFS {
	return &roomFS{FS: fs, log: log, gone: make(chan struct{})}
}

// release lets all waiting writes fail, so that the store can close.
func (f *roomFS) release() { f.once.Do(func() { close(f.gone) }) }

// retry calls op until it finds room, or until limit has passed if there is one.
func (f *roomFS) retry(what string, limit time.Duration, op func() error) error {
	err := op()
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	f.log.Warn("disk full", "waiting", what)
	for waited := time.Duration(0); errors.Is(err, syscall.ENOSPC) && (limit == 0 || waited < limit); waited += roomPoll {
		t := time.NewTimer(roomPoll)
		select {
		case <-f.gone:
			t.Stop()
			return err
		case <-t.C:
		}
		err = op()
	}
	return err
}

// limit is how long a write of this category may wait.
func limit(c vfs.DiskWriteCategory) time.Duration {
	switch c {
	case "pebble-memtable-flush", "pebble-compaction", "pebble-ingestion":
		return tableWait
	}
	return 0
}

func (f *roomFS) Create(name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.retry(name, limit(c), func() error { file, err = f.FS.Create(name, c); return err })
	return f.wrap(file, name, c, err)
}

func (f *roomFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.retry(name, limit(c), func() error { file, err = f.FS.ReuseForWrite(old, name, c); return err })
	return f.wrap(file, name, c, err)
}

func (f *roomFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, opts...)
	return f.wrap(file, name, c, err)
}

func (f *roomFS) Link(old, name string) error {
	return f.retry(name, 0, func() error { return f.FS.Link(old, name) })
}

func (f *roomFS) Rename(old, name string) error {
	return f.retry(name, 0, func() error { return f.FS.Rename(old, name) })
}

func (f *roomFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.retry(dir, 0, func() error { return f.FS.MkdirAll(dir, perm) })
}

func (f *roomFS) Unwrap() vfs.FS { return f.FS }

func (f *roomFS) wrap(file vfs.File, name string, c vfs.DiskWriteCategory, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &roomFile{File: file, fs: f, name: name, limit: limit(c)}, nil
}

type roomFile struct {
	vfs.File
	fs    *roomFS
	name  string
	limit time.Duration
}

// Write goes on where the last try ended: the disk may have taken a part. A failed Sync is not tried again, since the
// kernel may have dropped what it could not write.
func (f *roomFile) Write(p []byte) (n int, err error) {
	err = f.fs.retry(f.name, f.limit, func() error {
		w, err := f.File.Write(p[n:])
		n += w
		return err
	})
	return n, err
}

func (f *roomFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.retry(f.name, f.limit, func() error {
		w, err := f.File.WriteAt(p[n:], off+int64(n))
		n += w
		return err
	})
	return n, err
}

// deleteReserve is what a deletion leaves free: it makes room, so it may use nearly all of the reserve.
const deleteReserve = 1 << 20

// room tells whether the disk has n bytes beyond the reserve.
func (s *Store) room(n int64, deletes bool) error {
	du, err := s.disk.GetDiskUsage(s.cfg.Dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("logstore: free space of %s: %w", s.cfg.Dir, err)
	}
	reserve := s.cfg.ReserveBytes
	if deletes {
		reserve = min(reserve, deleteReserve)
	}
	// What is written once to the journal is written again to a table before the journal is dropped.
	if int64(du.AvailBytes) < reserve+2*n {
		return fault.New(fault.Unavailable,
			"The log store's disk is full: %d bytes are free and %d are kept in reserve. Nothing was stored; try again when there is room.",
			du.AvailBytes, s.cfg.ReserveBytes)
	}
	return nil
}

func (s *Store) backgroundError(err error) {
	s.cfg.Log.Warn("log store: work in the background failed and will be tried again", "error", err)
}

// pebbleLog hands Pebble's words to the log, and keeps its Fatalf from ending the process.
type pebbleLog struct{ s *Store }

func (l pebbleLog) Infof(format string, args ...any) {
	l.s.cfg.Log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.cfg.Log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the calling goroutine, since Pebble counts on it not to return, and breaks the store.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf("pebble: "+format, args...))
	runtime.Goexit()
}
