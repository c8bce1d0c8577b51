package volume_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/volume"
)

func mkdir(t *testing.T, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s has %q, %v, not %q", path, got, err, want)
	}
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

// needRoot skips what mounts.
func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
}

// TestMake: a volume begins with what the image has at its path, the upper layers over the lower, within the image's own root.
func TestMake(t *testing.T) {
	needRoot(t)
	top, bottom, out := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(bottom, "data/a"), "old")
	write(t, filepath.Join(bottom, "data/sub/b"), "b")
	write(t, filepath.Join(top, "data/a"), "new")
	for name, to := range map[string]string{"data/link": "/etc/passwd", "there": "/data", "out": "/etc"} {
		if err := os.Symlink(to, filepath.Join(top, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(filepath.Join(top, "data"), 33, 44), unix.Chmod(filepath.Join(top, "data"), 0o1770)); err != nil {
		t.Fatal(err)
	}
	layers := []string{top, bottom}
	for _, target := range []string{"/data", "/there/"} {
		dir := filepath.Join(out, filepath.Base(target), "v")
		if err := volume.Make(dir, layers, target); err != nil {
			t.Fatal(err)
		}
		read(t, filepath.Join(dir, "a"), "new")
		read(t, filepath.Join(dir, "sub/b"), "b")
		if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "/etc/passwd" {
			t.Errorf("the link leads to %q, %v", to, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil || st.Uid != 33 || st.Gid != 44 || st.Mode&0o7777 != 0o1770 {
			t.Errorf("%s: %+v, %v", target, st, err)
		}
		write(t, filepath.Join(dir, "a"), "mine")
		if err := volume.Make(dir, layers, target); err != nil {
			t.Fatal(err)
		}
		read(t, filepath.Join(dir, "a"), "mine")
	}
	for _, target := range []string{"/none", "/data/a", "/out", ""} {
		dir := filepath.Join(out, "empty"+filepath.Base(target))
		if err := volume.Make(dir, layers, target); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%q: %v, %v", target, entries, err)
		}
	}
	// What an agent left half done is not taken for a volume.
	half := filepath.Join(out, "half")
	write(t, half+".new/rest", "x")
	if err := volume.Make(half, layers, "/data"); err != nil {
		t.Fatal(err)
	}
	gone(t, filepath.Join(half, "rest"))
	gone(t, half+".new")
}

// TestRemoveHostile: links to what is not ours and mounts of it, over directories and files, one over the other.
func TestRemoveHostile(t *testing.T) {
	needRoot(t)
	precious, dir := t.TempDir(), filepath.Join(t.TempDir(), "v")
	write(t, filepath.Join(precious, "keep/me"), "precious")
	mkdir(t, dir, "sub/over")
	mkdir(t, dir, "twice")
	write(t, filepath.Join(dir, "sub/file"), "x")
	write(t, filepath.Join(dir, "plain"), "x")
	if err := errors.Join(os.Symlink(precious, filepath.Join(dir, "link")), os.Symlink(filepath.Join(precious, "keep/me"), filepath.Join(dir, "sub/filelink")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"sub/over", "twice", "twice"} {
		if err := unix.Mount(precious, filepath.Join(dir, at), "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(filepath.Join(precious, "keep/me"), filepath.Join(dir, "sub/file"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := volume.Remove(dir); err != nil {
		t.Error(err)
	}
	gone(t, dir)
	read(t, filepath.Join(precious, "keep/me"), "precious")
	if err := volume.Remove(dir); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
	// The directory itself may be one too.
	mkdir(t, dir)
	if err := unix.Mount(precious, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := volume.Remove(dir); err != nil {
		t.Error(err)
	}
	gone(t, dir)
	if err := os.Symlink(precious, dir); err != nil {
		t.Fatal(err)
	}
	if err := volume.Remove(dir); err != nil {
		t.Error(err)
	}
	gone(t, dir)
	read(t, filepath.Join(precious, "keep/me"), "precious")
}

// TestRemoveRace: while a directory is removed, a process that has it open exchanges its directories for links to what is
// not ours.
func TestRemoveRace(t *testing.T) {
	precious := t.TempDir()
	write(t, filepath.Join(precious, "sub/me"), "precious")
	for range 20 {
		root := t.TempDir()
		dir := filepath.Join(root, "v")
		for _, name := range []string{"a", "b", "c", "d"} {
			write(t, filepath.Join(dir, name, "sub/me"), "x")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				at := filepath.Join(dir, string(rune('a'+n%4)))
				link := filepath.Join(root, "link")
				_ = os.Symlink(precious, link)
				_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, at, unix.RENAME_EXCHANGE)
			}
		})
		err := volume.Remove(dir)
		cancel()
		wg.Wait()
		if err != nil {
			t.Log("given up, to be tried again:", err)
		}
		if err := volume.Remove(dir); err != nil {
			t.Error(err)
		}
		gone(t, dir)
		read(t, filepath.Join(precious, "sub/me"), "precious")
	}
}
