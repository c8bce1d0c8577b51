package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxMounts is how many mounts may lie over one place until Remove gives up.
const maxMounts = 64

// Remove deletes a directory and what is in it; it is no error if there is none. What is mounted in it is unmounted and never
// deleted through, and links are deleted and never followed, whoever changes the directory meanwhile. The path down to the
// directory must be the caller's own.
func Remove(dir string) error {
	parent, err := unix.Open(filepath.Dir(dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(dir), Err: err}
	}
	defer unix.Close(parent)
	if err := removeAt(parent, filepath.Base(dir)); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// openHere opens a directory that is on its parent's mount and no link.
func openHere(parent int, name string) (int, error) {
	how := &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	}
	for range 100 {
		fd, err := unix.Openat2(parent, name, how)
		// EAGAIN: a rename somewhere on the machine raced with the look-up, see openat2(2).
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// removeAt deletes one entry of a directory.
func removeAt(parent int, name string) error {
	for range maxMounts {
		err := unix.Unlinkat(parent, name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if errors.Is(err, unix.EBUSY) { // a file that something is mounted on
			if err := unmountAt(parent, name); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
			return &os.PathError{Op: "unlink", Path: name, Err: err}
		}
		fd, err := openHere(parent, name)
		switch {
		case errors.Is(err, unix.EXDEV):
			if err := unmountAt(parent, name); err != nil {
				return err
			}
			continue
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOENT):
			continue // changed meanwhile
		case err != nil:
			return &os.PathError{Op: "open", Path: name, Err: err}
		}
		err = removeBelow(fd, name)
		if err != nil {
			return err
		}
		err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		// More was put into it, or mounted on it.
		if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTDIR) {
			return &os.PathError{Op: "rmdir", Path: name, Err: err}
		}
	}
	return &os.PathError{Op: "remove", Path: name, Err: unix.EBUSY}
}

// removeBelow deletes what is in an open directory, and closes it.
func removeBelow(fd int, name string) error {
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	if err := clearFlags(fd); err != nil {
		return &os.PathError{Op: "clear flags", Path: name, Err: err}
	}
	var errs []error
	for {
		names, err := d.Readdirnames(256)
		for _, n := range names {
			if err := removeAt(fd, n); err != nil {
				errs = append(errs, err)
			}
		}
		if err != nil || len(names) == 0 || len(errs) > 8 {
			break
		}
	}
	return errors.Join(errs...)
}

// clearFlags makes a directory changeable again that was made immutable or append-only.
func clearFlags(fd int) error {
	const fixed = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &st); err != nil || st.Attributes&fixed == 0 {
		return err
	}
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags&^(fsImmutable|fsAppend))
}

// The flags of ioctl_iflags(2) that keep even root from deleting.
const (
	fsImmutable = 0x10
	fsAppend    = 0x20
)

// unmountAt takes away what is mounted on an entry. The entry itself stays.
func unmountAt(parent int, name string) error {
	path := fmt.Sprintf("/proc/self/fd/%d/%s", parent, name)
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unmount", Path: name, Err: err}
	}
	return nil
}
