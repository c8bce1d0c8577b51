package logstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"roadstead.dev/roadstead/internal/fault"
)

// tinyDisk mounts a file system of so many bytes.
func tinyDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mounting a tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// putUntilRefused fills the store and gives the number of events that were taken.
func putUntilRefused(t *testing.T, s *Store) int {
	t.Helper()
	for n := 0; ; n++ {
		_, err := s.Put(context.Background(), "g", "s", []Input{{s.now(), fmt.Sprintf("%08d %s", n, noise)}})
		if fault.Is(err, fault.Unavailable) && strings.Contains(err.Error(), "disk is full") {
			return n
		}
		ok(t, err)
		if n > 10_000 {
			t.Fatal("the disk never filled")
		}
	}
}

// noise is 16 KiB that do not compress.
var noise = func() string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 12<<10)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}()

// eventually repeats what a full disk may refuse until it is done.
func eventually(t *testing.T, do func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for err := do(); err != nil; err = do() {
		if time.Now().After(deadline) {
			t.Fatalf("no room came back: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	ctx := context.Background()
	dir := tinyDisk(t, 48<<20)
	s, stop := open(t, Config{Dir: filepath.Join(dir, "logs"), ReserveBytes: 12 << 20, MemTableBytes: 2 << 20, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	n := putUntilRefused(t, s)
	if got := countEvents(t, s); got != n {
		t.Errorf("%d events are there, %d were taken", got, n)
	}
	// Deleting makes room. A compaction may hold what is left of it for a moment.
	eventually(t, func() error { return s.DeleteGroup(ctx, "g") })
	eventually(t, func() error { return s.db.Compact(ctx, []byte{0}, []byte{255}, false) })
	eventually(t, func() error { return s.CreateGroup(ctx, Group{Name: "g"}) })
	ok(t, s.CreateStream(ctx, "g", "s"))
	_, err := s.Put(ctx, "g", "s", []Input{{s.now(), "after"}})
	ok(t, err)
	stop()
}

// fullFS has no room for any write while it is full, but says that it has: another program may take the last byte after
// the store has asked.
type fullFS struct {
	vfs.FS
	full    atomic.Bool
	refused atomic.Int64
}

func (f *fullFS) check() error {
	if f.full.Load() {
		f.refused.Add(1)
		return &os.PathError{Op: "write", Err: syscall.ENOSPC}
	}
	return nil
}

func (f *fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 40}, nil
}

func (f *fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, c)
	return &fullFile{file, f}, err
}

func (f *fullFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := f.FS.ReuseForWrite(old, name, c)
	return &fullFile{file, f}, err
}

type fullFile struct {
	vfs.File
	fs *fullFS
}

// Write takes half of what it is given before it finds the disk full.
func (f *fullFile) Write(p []byte) (int, error) {
	if err := f.fs.check(); err != nil {
		n, werr := f.File.Write(p[:len(p)/2])
		return n, errors.Join(werr, err)
	}
	return f.File.Write(p)
}

func TestDiskFilledByOthers(t *testing.T) {
	ctx := context.Background()
	disk := &fullFS{FS: vfs.NewMem()}
	s, stop := open(t, Config{Dir: "logs", fs: disk, MemTableBytes: 1 << 20})
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	for round := range 2 {
		disk.full.Store(true)
		results := make(chan error, 250)
		for n := range cap(results) { // 4 MiB: journal, memtables and tables all meet the full disk
			go func() {
				_, err := s.Put(ctx, "g", "s", []Input{{s.now(), fmt.Sprintf("%d %d %s", round, n, noise)}})
				results <- err
			}()
		}
		for disk.refused.Load() < int64(20*(round+1)) {
			if _, err := s.Stream("g", "s"); err != nil {
				t.Fatalf("reading while the disk is full: %v", err)
			}
			time.Sleep(roomPoll / 10)
		}
		disk.full.Store(false)
		for range cap(results) {
			ok(t, <-results)
		}
	}
	if got := countEvents(t, s); got != 500 {
		t.Errorf("%d events of 500 are there", got)
	}
	stop()
	s, _ = open(t, Config{Dir: "logs", fs: disk})
	if got := countEvents(t, s); got != 500 {
		t.Errorf("%d events of 500 are there after opening again", got)
	}
}

// TestBrokenDisk has the journal fail for good: the store refuses everything and the process goes on.
func TestBrokenDisk(t *testing.T) {
	ctx := context.Background()
	disk := &brokenFS{FS: vfs.NewMem()}
	s, err := Open(Config{Dir: "logs", fs: disk})
	ok(t, err)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	disk.broken.Store(true)
	for range 3 {
		if _, err := s.Put(ctx, "g", "s", []Input{{s.now(), "lost"}}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("putting on a broken disk: %v", err)
		}
	}
	if _, err := s.Read(ctx, ReadQuery{Group: "g", Stream: "s", Range: Always}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("reading from a broken store: %v", err)
	}
	if err := <-ran; err == nil {
		t.Error("Run ended without an error")
	}
	ok(t, s.Close())
}

type brokenFS struct {
	vfs.FS
	broken atomic.Bool
}

func (f *brokenFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &brokenFile{file, f}, err
}

type brokenFile struct {
	vfs.File
	fs *brokenFS
}

func (f *brokenFile) Write(p []byte) (int, error) {
	if f.fs.broken.Load() {
		return 0, syscall.EIO
	}
	return f.File.Write(p)
}

func countEvents(t *testing.T, s *Store) int {
	t.Helper()
	n := 0
	ok(t, s.scan([]byte{tagEvent}, func(_, _ []byte) error { n++; return nil }))
	return n
}
