// Package jsonlog writes a container's output as Docker's json-file driver does: one {"log","stream","time"} object a line,
// in files that are rotated by size. https://docs.docker.com/engine/logging/drivers/json-file/
package jsonlog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"
)

// The defaults of Config.
const (
	DefaultMaxBytes = 16 << 20
	DefaultMaxFiles = 3
)

// MaxLine is how many bytes of a line are one entry; a longer line is several, of which only the last ends in a newline.
const MaxLine = 16 << 10

// Config is a log's settings. Path is the file; rotated ones are Path.1 (the newest) upwards. Without a Path what is written
// is discarded.
type Config struct {
	Path     string
	MaxBytes int64
	MaxFiles int
	Log      *slog.Logger
}

// File is a log. All methods may be called at once.
type File struct {
	cfg Config

	mu      sync.Mutex
	f       *os.File
	size    int64
	dropped int64
	failing bool
}

// Open opens a log or makes it, with its directory.
func Open(cfg Config) (*File, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxFiles <= 0 {
		cfg.MaxFiles = DefaultMaxFiles
	}
	if cfg.Path == "" {
		return &File{cfg: cfg}, nil
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("make the log's directory: %w", err)
	}
	l := &File{cfg: cfg}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return l, nil
}

func (l *File) open() error {
	f, err := os.OpenFile(l.cfg.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.size = f, info.Size()
	return nil
}

// Dropped is how many entries could not be written.
func (l *File) Dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Close closes the file.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}

// Remove removes a log's files.
func Remove(path string, maxFiles int) error {
	if maxFiles <= 0 {
		maxFiles = DefaultMaxFiles
	}
	err := ignoreGone(os.Remove(path))
	for n := 1; n < maxFiles; n++ {
		err = errors.Join(err, ignoreGone(os.Remove(numbered(path, n))))
	}
	return err
}

func numbered(path string, n int) string { return fmt.Sprintf("%s.%d", path, n) }

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// write writes whole entries, of which there are so many. It never fails: a disk without room costs entries, which are
// counted, and not the container that wrote them.
func (l *File) write(entries []byte, count int64) {
	if l.cfg.Path == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.tryWrite(entries)
	if err != nil {
		l.dropped += count
	}
	if failing := err != nil; failing != l.failing {
		l.failing = failing
		if failing {
			l.cfg.Log.Warn("a container's log cannot be written: its output is dropped", "path", l.cfg.Path, "error", err)
		} else {
			l.cfg.Log.Info("a container's log can be written again", "path", l.cfg.Path, "dropped", l.dropped)
		}
	}
}

func (l *File) tryWrite(entries []byte) error {
	if l.f != nil && l.size > 0 && l.size+int64(len(entries)) > l.cfg.MaxBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if l.f == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.f.Write(entries)
	if err != nil && n > 0 {
		// No half of an entry is left for readers to trip over.
		if cut := l.f.Truncate(l.size); cut != nil {
			l.size += int64(n)
			return errors.Join(err, cut)
		}
		n = 0
	}
	l.size += int64(n)
	return err
}

// rotate moves each file to the next number, the last one away, and leaves none open.
func (l *File) rotate() error {
	err := l.f.Close()
	l.f, l.size = nil, 0
	if l.cfg.MaxFiles == 1 {
		return errors.Join(err, ignoreGone(os.Remove(l.cfg.Path)))
	}
	for n := l.cfg.MaxFiles - 1; n > 1; n-- {
		err = errors.Join(err, ignoreGone(os.Rename(numbered(l.cfg.Path, n-1), numbered(l.cfg.Path, n))))
	}
	return errors.Join(err, ignoreGone(os.Rename(l.cfg.Path, numbered(l.cfg.Path, 1))))
}

// Stream makes entries of one stream's bytes. It is used by one goroutine.
type Stream struct {
	file *File
	name string
	line []byte // the line under way, at most MaxLine bytes
	out  []byte
}

// Stream gives a writer for "stdout" or "stderr".
func (l *File) Stream(name string) *Stream { return &Stream{file: l, name: name} }

// Write takes output as it comes. Entries are on their way to the file when it returns, but for a last line without its
// end, which waits for that or for Flush.
func (s *Stream) Write(p []byte) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	var count int64
	for len(p) > 0 {
		take := min(len(p), MaxLine-len(s.line))
		newline := indexNewline(p[:take])
		if newline >= 0 {
			take = newline + 1
		}
		s.line = append(s.line, p[:take]...)
		p = p[take:]
		if newline >= 0 || len(s.line) >= MaxLine {
			s.entry(now)
			count++
		}
		if len(s.out) >= int(min(256<<10, s.file.cfg.MaxBytes/4)) {
			s.emit(count)
			count = 0
		}
	}
	s.emit(count)
}

// Flush writes a last line that has no end.
func (s *Stream) Flush() {
	if len(s.line) == 0 {
		return
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	var count int64
	for len(s.line) > 0 {
		s.whole(now, len(s.line))
		count++
	}
	s.emit(count)
}

// entry makes one entry of the line. A line that is cut is cut between characters, unless it has none.
func (s *Stream) entry(now string) {
	n := len(s.line)
	if s.line[n-1] != '\n' {
		n = runeBoundary(s.line)
	}
	s.whole(now, n)
}

func (s *Stream) whole(now string, n int) {
	s.out = appendEntry(s.out, s.line[:n], s.name, now)
	s.line = append(s.line[:0], s.line[n:]...)
}

func (s *Stream) emit(count int64) {
	if len(s.out) > 0 {
		s.file.write(s.out, count)
	}
	s.out = s.out[:0]
}

func indexNewline(p []byte) int {
	for i, c := range p {
		if c == '\n' {
			return i
		}
	}
	return -1
}

// runeBoundary is where p can be cut without cutting a character that its end has only begun.
func runeBoundary(p []byte) int {
	for back := 1; back < utf8.UTFMax && back < len(p); back++ {
		c := p[len(p)-back]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-back:]) {
				return len(p) - back
			}
			break
		}
	}
	return len(p)
}

const hex = "0123456789abcdef"

// appendEntry appends one entry and a newline. What is not UTF-8 becomes U+FFFD, as with Docker.
func appendEntry(out, line []byte, stream, now string) []byte {
	out = append(out, `{"log":"`...)
	for i := 0; i < len(line); {
		c := line[i]
		if c < utf8.RuneSelf {
			out = appendASCII(out, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(line[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...)
		case r == '\u2028' || r == '\u2029':
			out = append(out, `\u202`...)
			out = append(out, hex[r&0xf])
		default:
			out = append(out, line[i:i+n]...)
		}
		i += n
	}
	out = append(out, `","stream":"`...)
	out = append(out, stream...)
	out = append(out, `","time":"`...)
	out = append(out, now...)
	return append(out, "\"}\n"...)
}

func appendASCII(out []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(out, '\\', c)
	case c == '\n':
		return append(out, `\n`...)
	case c == '\r':
		return append(out, `\r`...)
	case c == '\t':
		return append(out, `\t`...)
	case c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&':
		return append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
	return append(out, c)
}

// Report logs an error in the taking in of output that is on its way here.
func (l *File) Report(err error) {
	l.cfg.Log.Warn("a container's output is cut off", "path", l.cfg.Path, "error", err)
}
