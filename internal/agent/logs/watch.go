package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher tells of changes to files.
type watcher interface {
	// add calls changed, which must not block, after each change to the file at path or to its rotated ones, until remove
	// is called.
	add(path string, changed func()) (remove func(), err error)
	// close lets go of what the watcher holds, after the last remove.
	close() error
}

// inotify watches the directories of the files. Its one goroutine runs from the first add until close.
type inotify struct {
	mu      sync.Mutex // guards what follows
	file    *os.File
	done    chan struct{}
	dirs    map[string]*watchedDir
	numbers map[int32]*watchedDir
}

// watchedDir is a directory and who wants to know of which of its files.
type watchedDir struct {
	path   string
	number int32
	files  map[*watchedFile]bool
}

type watchedFile struct {
	name    string
	changed func()
}

func (w *inotify) add(path string, changed func()) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.open(); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	d := w.dirs[dir]
	if d == nil {
		number, err := w.addWatch(dir)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", dir, err)
		}
		d = &watchedDir{path: dir, number: number, files: map[*watchedFile]bool{}}
		w.dirs[dir], w.numbers[number] = d, d
	}
	f := &watchedFile{name: filepath.Base(path), changed: changed}
	d.files[f] = true
	return sync.OnceFunc(func() { w.remove(d, f) }), nil
}

func (w *inotify) open() error {
	if w.file != nil {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	w.file, w.done = os.NewFile(uintptr(fd), "inotify"), make(chan struct{})
	w.dirs, w.numbers = map[string]*watchedDir{}, map[int32]*watchedDir{}
	go w.read(w.file, w.done)
	return nil
}

func (w *inotify) addWatch(dir string) (number int32, err error) {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		var n int
		n, inner = unix.InotifyAddWatch(int(fd), dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
		number = int32(n)
	})
	return number, errors.Join(err, inner)
}

func (w *inotify) remove(d *watchedDir, f *watchedFile) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(d.files, f); len(d.files) > 0 {
		return
	}
	if w.dirs[d.path] == d {
		delete(w.dirs, d.path)
	}
	if w.numbers[d.number] == d {
		delete(w.numbers, d.number)
		w.unwatch(d.number)
	}
}

func (w *inotify) unwatch(number int32) {
	if conn, err := w.file.SyscallConn(); err == nil {
		// It fails if the directory is gone, and its watch with it.
		_ = conn.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(number)) })
	}
}

// close ends the goroutine. Nothing may be watched any more. It takes the kernel some 20 ms, so it is not done each time
// that nothing is.
func (w *inotify) close() error {
	w.mu.Lock()
	file, done := w.file, w.done
	w.file = nil
	w.mu.Unlock()
	if file == nil {
		return nil
	}
	err := file.Close()
	<-done
	return err
}

// read dispatches events until the file is closed.
func (w *inotify) read(file *os.File, done chan struct{}) {
	defer close(done)
	buf := make([]byte, 64<<10)
	for {
		n, err := file.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			number := int32(binary.NativeEndian.Uint32(b))
			mask := binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:end]), "\x00")
			w.dispatch(number, mask, name)
			b = b[end:]
		}
	}
}

func (w *inotify) dispatch(number int32, mask uint32, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if mask&unix.IN_Q_OVERFLOW != 0 {
		for _, d := range w.dirs {
			d.notify("")
		}
		return
	}
	d := w.numbers[number]
	if d == nil {
		return
	}
	if mask&unix.IN_IGNORED != 0 { // the directory was removed
		delete(w.numbers, number)
		if w.dirs[d.path] == d {
			delete(w.dirs, d.path)
		}
	}
	d.notify(name)
}

// notify tells who wants to know of the name; empty is all of them.
func (d *watchedDir) notify(name string) {
	for f := range d.files {
		if name == "" || strings.HasPrefix(name, f.name) {
			f.changed()
		}
	}
}
