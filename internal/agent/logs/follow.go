package logs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	readMin = 4 << 10
	readMax = 256 << 10
	// lineMax bounds a line of the file: well above what 16 KiB of output need as JSON. A longer one is skipped.
	lineMax = 4 << 20
	// markMax is how much of a file's beginning tells it from another that got its inode.
	markMax = 512
)

// position is a place in the output: a byte of one of the files. Files are known by inode, since they are renamed as the
// runtime rotates them, and by their beginning, since the kernel uses inodes again.
type position struct {
	Inode  uint64 `json:"inode,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Mark   uint32 `json:"mark,omitempty"`
}

// gap is output that was, or may have been, rotated away before it was read.
type gap struct {
	found bool
	// files and bytes are what is known to be lost.
	files int
	bytes int64
}

// follower reads the lines of a file across its rotation: Path is renamed to Path.1, that to Path.2 and so on. It holds
// the file that it reads open, so that this one is read to its end whatever becomes of its name.
type follower struct {
	path string
	file *os.File
	id   fileID
	// buf[begin:] was read from the file and is not consumed; it starts at offset.
	buf    []byte
	begin  int
	offset int64
	// ended says that the file is rotated: nothing is added to it any more.
	ended bool
	// skipping says that we are in a line that is too long.
	skipping bool
	// mark is the checksum of the file's beginning when the position was marked.
	marked int64
	mark   uint32
	// sizes are the newer files that were seen waiting. chained says that, when ours was last seen, there were some: the
	// next file is one of them, so that it is known whether anything is missing.
	sizes   map[fileID]int64
	chained bool
	lost    gap
}

// newFollower goes on at a position. If that is gone, or there was none, it begins at the oldest file.
func newFollower(path string, at position) (*follower, error) {
	f := &follower{path: path, sizes: map[fileID]int64{}}
	if at.Inode == 0 {
		return f, nil
	}
	resumed := false
	err := f.walk(func(i int, info fileInfo) (bool, error) {
		if info.inode != at.Inode {
			return true, nil
		}
		file, err := os.Open(f.name(i))
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("open log: %w", err)
		}
		if resumed = f.resume(file, at); !resumed {
			file.Close()
		}
		return !resumed, nil
	})
	f.lost.found = !resumed
	return f, err
}

// walk calls each for the files that there are, the newest first, until that says to stop. While the runtime rotates them
// one name may be missing; the files only move in the direction of the walk, so none is passed by.
func (f *follower) walk(each func(i int, at fileInfo) (more bool, err error)) error {
	for i, missing := 0, 0; missing < 2; i++ {
		info, err := statFile(f.name(i))
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			return err
		}
		missing = 0
		if more, err := each(i, info); !more || err != nil {
			return err
		}
	}
	return nil
}

// resume takes a file if the position is in it.
func (f *follower) resume(file *os.File, at position) bool {
	info, err := statOpen(file)
	if err != nil || info.inode != at.Inode || info.size < at.Offset {
		return false
	}
	if mark, err := markOf(file, at.Offset); err != nil || mark != at.Mark {
		return false
	}
	f.file, f.id, f.offset, f.marked, f.mark = file, info.fileID, at.Offset, at.Offset, at.Mark
	return true
}

// name is the path of the i-th file, the newest being 0.
func (f *follower) name(i int) string {
	if i == 0 {
		return f.path
	}
	return f.path + "." + strconv.Itoa(i)
}

// position is where the next line begins.
func (f *follower) position() (position, error) {
	if f.file == nil {
		return position{}, nil
	}
	mark, err := markOf(f.file, f.offset)
	if err != nil {
		return position{}, fmt.Errorf("read log: %w", err)
	}
	f.marked, f.mark = f.offset, mark
	return position{Inode: f.id.inode, Offset: f.offset, Mark: mark}, nil
}

// markOf is a checksum of the file's beginning, as far as it was consumed: that part never changes.
func markOf(file *os.File, offset int64) (uint32, error) {
	b := make([]byte, min(offset, markMax))
	if _, err := file.ReadAt(b, 0); err != nil {
		return 0, err
	}
	return crc32.ChecksumIEEE(b), nil
}

// next returns the next line without its newline, good until the next call, or io.EOF if there is none yet.
func (f *follower) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(f.buf[f.begin:], '\n'); i >= 0 {
			line := f.buf[f.begin : f.begin+i]
			f.consume(i + 1)
			if f.skipping {
				f.skipping = false
				return nil, errRecord
			}
			return line, nil
		}
		if len(f.buf)-f.begin > lineMax {
			f.consume(len(f.buf) - f.begin)
			f.skipping = true
		}
		n, err := f.fill()
		if err != nil {
			return nil, err
		}
		if n > 0 {
			continue
		}
		if f.ended && len(f.buf) > f.begin { // the writer was cut off in a line
			line := f.buf[f.begin:]
			f.consume(len(line))
			return line, nil
		}
		if moved, err := f.advance(); err != nil {
			return nil, err
		} else if !moved {
			return nil, io.EOF
		}
	}
}

func (f *follower) consume(n int) {
	f.begin += n
	f.offset += int64(n)
}

// fill reads more of the file behind what is there.
func (f *follower) fill() (int, error) {
	if f.file == nil {
		return 0, nil
	}
	if f.begin > 0 {
		f.buf = f.buf[:copy(f.buf, f.buf[f.begin:])]
		f.begin = 0
	}
	if len(f.buf) == cap(f.buf) {
		bigger := make([]byte, len(f.buf), max(readMin, 2*cap(f.buf)))
		copy(bigger, f.buf)
		f.buf = bigger
	}
	room := f.buf[len(f.buf):min(cap(f.buf), len(f.buf)+readMax)]
	n, err := f.file.ReadAt(room, f.offset+int64(len(f.buf)))
	f.buf = f.buf[:len(f.buf)+n]
	if n == len(room) && cap(f.buf) < readMax { // more is waiting: read in larger pieces
		bigger := make([]byte, len(f.buf), min(readMax, 4*cap(f.buf)))
		copy(bigger, f.buf)
		f.buf = bigger
	}
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("read log: %w", err)
	}
	return n, nil
}

// idle gives the buffer back while nothing is to be read. The beginning of an entry is read again: its writer may take
// it back.
func (f *follower) idle() { f.buf, f.begin = nil, 0 }

// advance is called at the end of the file: it goes to the next one if that file is rotated, and says whether there may
// be more to read.
func (f *follower) advance() (bool, error) {
	if f.file == nil {
		return f.openOldest()
	}
	at, err := f.find()
	if err != nil {
		return false, err
	}
	if at == 0 {
		return f.truncated()
	}
	if !f.ended { // what was written before the rotation, but after our last look, is to be read first
		f.ended = true
		return true, nil
	}
	if at < 0 {
		return f.skipLost()
	}
	next, err := os.Open(f.name(at - 1))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // between the steps of a rotation
	}
	if err != nil {
		return false, fmt.Errorf("open log: %w", err)
	}
	// If ours has the same name still, the other was the next when it was opened.
	if still, err := statFile(f.name(at)); err != nil || still.fileID != f.id {
		next.Close()
		return true, nil
	}
	return true, f.take(next)
}

// find looks for our file among the names: its number, or -1 if it has none any more. On the way it notes the sizes of
// those that are newer, and counts those as lost that were noted earlier and are gone.
func (f *follower) find() (int, error) {
	at := -1
	seen := map[fileID]bool{}
	err := f.walk(func(i int, info fileInfo) (bool, error) {
		if info.fileID == f.id {
			at = i
			return false, nil
		}
		f.sizes[info.fileID] = info.size
		seen[info.fileID] = true
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	for id, size := range f.sizes {
		if !seen[id] {
			f.lost.files++
			f.lost.bytes += size
			delete(f.sizes, id)
		}
	}
	if at >= 0 {
		f.chained = at > 0
	}
	return at, nil
}

// truncated handles a file that its writer emptied in place, which is what keeping only one file comes to.
func (f *follower) truncated() (bool, error) {
	info, err := statOpen(f.file)
	if err != nil {
		return false, err
	}
	if info.size >= f.offset {
		// The writer takes half an entry back that a full disk cut off.
		if info.size < f.offset+int64(len(f.buf)-f.begin) {
			f.buf, f.begin = nil, 0
			return true, nil
		}
		// It may have been emptied and grown again.
		if mark, err := markOf(f.file, f.marked); err == nil && mark == f.mark {
			return false, nil
		}
	}
	f.lost.found = true
	f.buf, f.begin, f.offset, f.marked, f.mark = nil, 0, 0, 0, 0
	return true, nil
}

// skipLost goes on at the oldest file that there is when ours has been removed. There may have been others between.
func (f *follower) skipLost() (bool, error) {
	chained := f.chained
	moved, err := f.openOldest()
	if !moved || err != nil {
		return moved, err
	}
	_, err = f.find() // counts what was removed
	f.lost.found = f.lost.files > 0 || !chained
	return true, err
}

// openOldest takes the file with the highest number.
func (f *follower) openOldest() (bool, error) {
	oldest, want := -1, fileInfo{}
	err := f.walk(func(i int, info fileInfo) (bool, error) {
		oldest, want = i, info
		return true, nil
	})
	if oldest < 0 || err != nil {
		return false, err
	}
	file, err := os.Open(f.name(oldest))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // rotated under our eyes: look again
	}
	if err != nil {
		return false, fmt.Errorf("open log: %w", err)
	}
	if got, err := statOpen(file); err != nil || got.fileID != want.fileID {
		file.Close()
		return true, err // the same
	}
	return true, f.take(file)
}

// take begins another file.
func (f *follower) take(file *os.File) error {
	info, err := statOpen(file)
	if err != nil {
		file.Close()
		return err
	}
	f.close()
	f.file, f.id, f.offset, f.ended, f.skipping = file, info.fileID, 0, false, false
	f.buf, f.begin, f.marked, f.mark = f.buf[:0], 0, 0, 0
	delete(f.sizes, f.id)
	f.chained = len(f.sizes) > 0
	return nil
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close() // it was only read
		f.file = nil
	}
}

// fileID tells a file from others, also from one that had its inode before. Where the file system does not tell when a
// file was made, born is zero.
type fileID struct {
	inode uint64
	born  unix.StatxTimestamp
}

type fileInfo struct {
	fileID
	size int64
}

func statFile(path string) (fileInfo, error) { return statx(unix.AT_FDCWD, path, 0) }

func statOpen(file *os.File) (fileInfo, error) { return statx(int(file.Fd()), "", unix.AT_EMPTY_PATH) }

func statx(fd int, path string, flags int) (fileInfo, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, path, flags, unix.STATX_INO|unix.STATX_SIZE|unix.STATX_BTIME, &st); err != nil {
		return fileInfo{}, fmt.Errorf("look for log: %w", &fs.PathError{Op: "statx", Path: path, Err: err})
	}
	return fileInfo{fileID: fileID{inode: st.Ino, born: st.Btime}, size: int64(st.Size)}, nil
}
