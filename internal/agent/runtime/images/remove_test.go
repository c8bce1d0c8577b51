package images

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func mustImport(t *testing.T, s *Store, images map[string]v1.Image) []*runtime.Image {
	t.Helper()
	list, err := s.Import(t.Context(), archiveOf(t, images))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRemove(t *testing.T) {
	s := newStore(t, "")
	shared := layer(t, file{"base", "b"})
	mustImport(t, s, map[string]v1.Image{"one": testImage(t, "", shared, layer(t, file{"v", "1"}))})
	two := mustImport(t, s, map[string]v1.Image{"two": testImage(t, "", shared, layer(t, file{"v", "2"}))})[0]
	if _, dirs := s.blobsAndSnapshots(t); dirs != 5 {
		t.Errorf("%d snapshots of 3 layers and 2 views", dirs)
	}
	if err := s.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if blobs, dirs := s.blobsAndSnapshots(t); dirs != 3 || blobs != 2 {
		t.Errorf("%d snapshots, %d blobs", dirs, blobs)
	}
	contents(t, two.Layers, "base")
	if err := s.Remove(t.Context(), "one"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := s.Remove(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	nothingIn(t, s)
}

func TestHold(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	img := mustImport(t, s, map[string]v1.Image{"app": testImage(t, "", layer(t, file{"v", "1"}))})[0]
	s.Hold(img, "task/1 c")
	s.Hold(img, "task/1 c")
	s.Hold(img, "task2")
	refused := func() {
		t.Helper()
		if err := s.Remove(t.Context(), "app"); !errors.Is(err, ErrInUse) {
			t.Errorf("removed although it is held: %v", err)
		}
	}
	refused()
	s.Release("task2")
	s.Release("task2")
	refused()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Another process sees that containers of an earlier one use it.
	s = newStore(t, dir)
	refused()
	img, err := s.Pull(t.Context(), "app", runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Hold(img, "task3")
	live := s.holds.of(img.Digest)[0]
	s.Settle(func(holder string) bool { return holder == live })
	if held := s.holds.of(img.Digest); len(held) != 2 {
		t.Errorf("held by %q", held)
	}
	s.Settle(func(string) bool { return false })
	if held := s.holds.of(img.Digest); len(held) != 1 || held[0] != "task3" {
		t.Errorf("held by %q", held)
	}
	refused()
	s.Release("task3")
	if err := s.Remove(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.holds.dir); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}

// TestReplaced: an image whose name goes to a newer one stays while containers use it.
func TestReplaced(t *testing.T) {
	reg := newRegistry(t)
	s := newStore(t, "", func(c *Config) { c.Grace = time.Nanosecond })
	ref := reg.push(t, "app", testImage(t, "", layer(t, file{"v", "1"})))
	old, err := s.Pull(t.Context(), ref, runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Hold(old, "c1")
	reg.push(t, "app", testImage(t, "", layer(t, file{"v", "2"})))
	recent, err := s.Pull(t.Context(), ref, runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.busy.settle()
	if contents(t, old.Layers, "v") != "1" || contents(t, recent.Layers, "v") != "2" {
		t.Error("mixed up")
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 2 || !strings.HasPrefix(list[1].Name, dangling) {
		t.Fatalf("%v %v", list, err)
	}
	if err := s.Remove(t.Context(), list[1].Name); !errors.Is(err, ErrInUse) {
		t.Errorf("removed although it is held: %v", err)
	}
	s.Release("c1")
	s.busy.settle()
	if _, err := os.Stat(old.Layers[0]); err == nil {
		t.Error("the replaced image's layer is still there")
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	contents(t, recent.Layers, "v")
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	want := mustImport(t, s, map[string]v1.Image{"app": testImage(t, "", layer(t, file{"v", "1"}))})[0]
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(nil)); err == nil {
		t.Error("import into a closed store")
	}
	s = newStore(t, dir)
	got, err := s.Pull(t.Context(), "app", runtime.PullOptions{})
	if err != nil || got.Digest != want.Digest || got.Layers[0] != want.Layers[0] {
		t.Errorf("%+v %v", got, err)
	}
	// A layer that is gone makes the image one that is not here.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(want.Layers[0]); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, dir)
	if list, err := s.List(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

func TestDirWithAColon(t *testing.T) {
	if _, err := Open(t.Context(), Config{Dir: t.TempDir() + "/a:b"}); err == nil || !strings.Contains(err.Error(), "colon") {
		t.Error(err)
	}
}
