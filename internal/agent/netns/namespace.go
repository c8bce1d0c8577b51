package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// makeNamespace makes a network namespace, keeps it by a bind mount at path, and runs configure in it on a thread that
// is in it.
func makeNamespace(path string, configure func(ns *os.File) error) error {
	return onOwnThread(func() error { return enterNew(path, configure) })
}

// onOwnThread runs f on a thread that is ended afterwards: one that changed its namespace must not run other goroutines.
// The process's first thread is never used. It cannot be ended, and what /proc says of the process is what holds for it.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			result <- f()
			return
		}
		defer runtime.UnlockOSThread()
		result <- onOwnThread(f) // cannot come here again while this goroutine has the first thread
	}()
	return <-result
}

func enterNew(path string, configure func(ns *os.File) error) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	const self = "/proc/thread-self/ns/net"
	if err := unix.Mount(self, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep network namespace: %w", err)
	}
	ns, err := os.Open(self)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	return configure(ns)
}

// isNamespace says whether path holds a network namespace, and not just the empty file that one is mounted on.
func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// removeNamespace lets go of the namespace at path. The kernel ends it when no process is left in it.
func removeNamespace(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network namespace: %w", err)
	}
	return nil
}
