package etcdkv_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
	"roadstead.dev/roadstead/internal/state/kvtest"
)

// smallDisk mounts a tmpfs of so many bytes.
func smallDisk(t *testing.T, bytes string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("test", dir, "tmpfs", 0, "size="+bytes); err != nil {
		t.Fatalf("mount a tmpfs, which needs root and CAP_SYS_ADMIN: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves about that much of a disk free, in a file of its own.
func fill(t *testing.T, dir string, leave int64) (file string) {
	t.Helper()
	file = filepath.Join(dir, "filling")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		err := unix.Fallocate(int(f.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-leave)
		if err == nil {
			return file
		}
		if !errors.Is(err, unix.ENOSPC) { // Another one has taken some meanwhile.
			t.Fatal(err)
		}
	}
}

func writeTasks(s *state.Store, n, bytes int) error {
	return s.Update(context.Background(), func(tx *state.Tx) error {
		for range n {
			tx.Tasks.Put(&ecs.Task{ID: ecs.NewTaskID(), Cluster: "c", StoppedReason: strings.Repeat("x", bytes)})
		}
		return nil
	})
}

// TestFullDisk lets another program fill the disk, and then this one: writes are refused and say why, reads go on, and once
// there is room writes go on too.
func TestFullDisk(t *testing.T) {
	const minFree = 96 << 20
	dir := smallDisk(t, "600m")
	kv := embedded(t, etcdkv.EmbeddedConfig{Dir: filepath.Join(dir, "data"), MinFree: minFree})
	s, stop := kvtest.Start(t, state.Config{KV: kv})
	defer stop()
	if err := writeTasks(s, 10, 100); err != nil {
		t.Fatal(err)
	}

	file := fill(t, dir, minFree-1<<20)
	err := writeTasks(s, 1, 100)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("on a full disk: %v", err)
	}
	if n := s.View().Tasks.Len(); n != 10 {
		t.Errorf("%d tasks", n)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := writeTasks(s, 10, 100); err != nil {
		t.Fatalf("there is room again: %v", err)
	}

	// Now by itself: it must stop before etcd meets the end.
	written := 20
	for err = nil; err == nil; {
		if err = writeTasks(s, 100, 40_000); err == nil {
			written += 100
		}
		if written > 20_000 {
			t.Fatal("the disk does not become full")
		}
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("having filled the disk: %v", err)
	}
	if n := s.View().Tasks.Len(); n != written {
		t.Errorf("%d tasks, %d were acknowledged", n, written)
	}
	t.Logf("%d tasks fitted", written)
}

// TestFullDiskToTheLastByte takes away the reserve too, while nothing is written: etcd must live, and go on when there is room.
func TestFullDiskToTheLastByte(t *testing.T) {
	dir := smallDisk(t, "400m")
	kv := embedded(t, etcdkv.EmbeddedConfig{Dir: filepath.Join(dir, "data"), MinFree: 96 << 20, Common: etcdkv.Common{LeaseTTL: time.Second}})
	s, stop := kvtest.Start(t, state.Config{KV: kv})
	defer stop()
	if err := writeTasks(s, 10, 100); err != nil {
		t.Fatal(err)
	}
	file := fill(t, dir, 0)
	// The lease is renewed, and etcd's own ticks pass, with nothing free.
	wait, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	if _, err := s.Watch().Next(wait); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := writeTasks(s, 1, 100); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := writeTasks(s, 10, 100); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
}

// TestQuota reaches etcd's own limit: the write is refused, old versions are dropped, and writes go on.
func TestQuota(t *testing.T) {
	kv := embedded(t, etcdkv.EmbeddedConfig{Quota: 16 << 20, Common: etcdkv.Common{CompactBytes: -1}})
	s, _ := kvtest.Start(t, state.Config{KV: kv})
	rewrite := func() error {
		return s.Update(t.Context(), func(tx *state.Tx) error {
			tx.Clusters.Put(&ecs.Cluster{Name: "c", Tags: []ecs.Tag{{Value: strings.Repeat("x", 1<<20)}}})
			return nil
		})
	}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = rewrite()
	}
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "quota") {
		t.Fatalf("at the quota, after %d: %v", n, err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for err != nil {
		if time.Now().After(deadline) {
			t.Fatalf("no room was made: %v", err)
		}
		err = rewrite()
	}
}

// TestFullFromTheStart says so at once.
func TestFullFromTheStart(t *testing.T) {
	dir := smallDisk(t, "64m")
	_, err := etcdkv.Embedded(t.Context(), etcdkv.EmbeddedConfig{Dir: filepath.Join(dir, "data")})
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a start on a disk that is too small: %v", err)
	}
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	embedded(t, etcdkv.EmbeddedConfig{Dir: dir})
	if _, err := etcdkv.Embedded(t.Context(), etcdkv.EmbeddedConfig{Dir: dir}); err == nil {
		t.Fatal("two etcds in one directory")
	}
}
