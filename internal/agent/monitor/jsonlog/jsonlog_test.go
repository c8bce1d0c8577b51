package jsonlog

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func open(t testing.TB, cfg Config) *File {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

type entry struct{ Log, Stream, Time string }

func entries(t rapid.TB, path string) []entry {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	for line := range bytes.Lines(data) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// TestWhole writes anything in any pieces: what is read is what was written, an entry is a line or a piece of a long one.
func TestWhole(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(dir, "log")
		if err := Remove(path, 3); err != nil {
			rt.Fatal(err)
		}
		l, err := Open(Config{Path: path, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		var want strings.Builder
		s := l.Stream("stdout")
		for _, piece := range rapid.SliceOfN(rapid.SliceOf(rapid.SampledFrom([]string{"a", "\n", "ü", "€", "😀", "\x00", "\"", "\\", "<", "\x7f", "\u2028", strings.Repeat("x", 5000), strings.Repeat("é", 9000)})), 0, 20).Draw(rt, "pieces") {
			text := strings.Join(piece, "")
			want.WriteString(text)
			// In two writes, which may part a character.
			cut := rapid.IntRange(0, len(text)).Draw(rt, "cut")
			s.Write([]byte(text[:cut]))
			s.Write([]byte(text[cut:]))
		}
		s.Flush()
		var got strings.Builder
		for _, e := range entries(rt, path) {
			got.WriteString(e.Log)
			if n := strings.Count(e.Log, "\n"); n > 1 || n == 1 && !strings.HasSuffix(e.Log, "\n") || len(e.Log) > MaxLine || e.Log == "" {
				rt.Fatalf("entry %q", e.Log)
			}
		}
		if got.String() != want.String() {
			rt.Fatalf("got %q, want %q", got.String(), want.String())
		}
	})
}

func FuzzAppendEntry(f *testing.F) {
	for _, seed := range []string{"", "a\n", "\xff\xfe", "\u2029<&>\"\\\x01", "\xe2\x82"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var e entry
		out := appendEntry(nil, line, "stderr", "now")
		if err := json.Unmarshal(out, &e); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		// Every byte that is not UTF-8 is one U+FFFD.
		if want := string(bytes.Runes(line)); e.Log != want || !utf8.Valid(out) || e.Stream != "stderr" {
			t.Errorf("%q gives %q, want %q", line, e.Log, want)
		}
	})
}

func TestRotateFiles(t *testing.T) {
	for _, files := range []int{1, 2, 5} {
		path := filepath.Join(t.TempDir(), "deep", "log")
		l := open(t, Config{Path: path, MaxBytes: 1000, MaxFiles: files})
		s := l.Stream("stdout")
		for range 200 {
			s.Write([]byte("twenty-six letters or so..\n"))
		}
		names, err := filepath.Glob(path + "*")
		if err != nil || len(names) != files {
			t.Errorf("%d files: %v, %v", files, names, err)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err != nil || info.Size() > 1000 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
			entries(t, name)
		}
		if err := Remove(path, files); err != nil {
			t.Error(err)
		}
		if names, _ := filepath.Glob(path + "*"); len(names) != 0 {
			t.Errorf("left: %v", names)
		}
	}
}

// TestFullDisk fills a file system of 64 KiB: entries are lost and counted, none is cut, and it goes on when there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting a tmpfs needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "log")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{Path: path})
	s := l.Stream("stdout")
	const lines = 200
	for range lines {
		s.Write([]byte(strings.Repeat("x", 300) + "\n"))
	}
	lost := l.Dropped()
	if got := int64(len(entries(t, path))); lost == 0 || got+lost != lines {
		t.Errorf("%d written, %d lost, of %d", got, lost, lines)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("again\n"))
	if list := entries(t, path); list[len(list)-1].Log != "again\n" || l.Dropped() != lost {
		t.Errorf("it does not go on: %+v", list[len(list)-1])
	}
	l.Close()
}
