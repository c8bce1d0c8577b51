package etcdkv

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/fault"
)

// dbReserve keeps blocks of the disk allocated for the growth of etcd's database file. etcd writes to it up to a tenth of a
// second after a commit has been answered, and ends its process when that fails: by then another program may have filled
// the disk. Its log it allocates ahead by itself.
type dbReserve struct {
	path string
	// ahead is how many bytes beyond the file's end are kept allocated, at least.
	ahead int64

	// inode and upTo are what is allocated: all of this file up to there. Defragmentation makes a new file.
	inode uint64
	upTo  int64
}

// keep allocates what is missing. It is called by one goroutine at a time.
func (r *dbReserve) keep() error {
	var st unix.Stat_t
	if err := unix.Stat(r.path, &st); err != nil {
		return fault.Wrap(err, fault.Unavailable, "The control plane's database file cannot be examined.")
	}
	if st.Ino == r.inode && st.Size+r.ahead <= r.upTo {
		return nil
	}
	upTo := st.Size + 2*r.ahead
	switch err := allocate(r.path, upTo); {
	case errors.Is(err, unix.EOPNOTSUPP):
		// This file system has no such thing; the look at the free space has to do.
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Wrap(err, fault.Unavailable,
			"The control plane's disk is full: no room is left for %s to grow by %d MiB. Make room; then try again.", r.path, r.ahead>>20)
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "No room can be kept for the control plane's database file.")
	}
	r.inode, r.upTo = st.Ino, upTo
	return nil
}

// allocate fills a file's holes with blocks up to there, beyond its end too, and leaves its size as it is.
func allocate(path string, upTo int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("keep room: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, upTo)
	return errors.Join(err, f.Close())
}
