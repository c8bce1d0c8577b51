package etcdkv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/fault"
)

// spaceError refuses a write of so many bytes where it would leave less than minFree free. etcd ends its process when a write to its
// log or database fails, so it must not come to that.
func spaceError(dir string, minFree, bytes int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fault.Wrap(err, fault.Unavailable, "The disk of the control plane's data directory cannot be examined.")
	}
	// The bytes are written twice: to the log and to the database.
	free := int64(fs.Bavail) * fs.Bsize
	if free-2*bytes >= minFree {
		return nil
	}
	return fault.New(fault.Unavailable,
		"The control plane's disk is full: %s has %d MiB free, and nothing is written below %d MiB. Make room; then try again.",
		dir, free>>20, minFree>>20)
}

// lockDir makes sure that one process at a time uses a directory, and tells the next one at once rather than let it wait.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("etcd's directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("another process uses %s", dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
