package monitor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// maxAccounts is how much of an image's /etc/passwd or /etc/group is read.
const maxAccounts = 8 << 20

// rootfs is a mounted image. Whoever made the image chose its links, so every path is resolved below it.
type rootfs struct{ fd int }

func openRootfs(path string) (rootfs, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return rootfs{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return rootfs{fd}, nil
}

func (r rootfs) close() { unix.Close(r.fd) }

func (r rootfs) open(path string, flags uint64) (int, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for range 100 {
		// EAGAIN: a rename somewhere on the machine raced with the look-up, see openat2(2).
		fd, err := unix.Openat2(r.fd, path, how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// read gives a regular file's content, nothing if there is none.
func (r rootfs) read(path string) (string, error) {
	// Non-blocking, as it may be a FIFO.
	fd, err := r.open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", &os.PathError{Op: "open in image", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s in the image is no regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAccounts))
	return string(data), err
}

// user resolves a user as Docker does: uid or name, with gid or group, as the image's accounts have them. Groups that name
// the user as a member are added, unless a group was asked for.
func (r rootfs) user(spec string) (*user.ExecUser, error) {
	passwd, err := r.read("etc/passwd")
	if err != nil {
		return nil, err
	}
	group, err := r.read("etc/group")
	if err != nil {
		return nil, err
	}
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, strings.NewReader(passwd), strings.NewReader(group))
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", spec, err)
	}
	return u, nil
}

// mkdirAll makes a container's working directory if the image lacks it.
func (r rootfs) mkdirAll(path string) error {
	fd, err := r.open(path, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		return unix.Close(fd)
	}
	if !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "open working directory", Path: path, Err: err}
	}
	parent := filepath.Dir(path)
	if err := r.mkdirAll(parent); err != nil {
		return err
	}
	fd, err = r.open(parent, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open in image", Path: parent, Err: err}
	}
	defer unix.Close(fd)
	// EEXIST is an error too: then it is a link to nowhere.
	if err := unix.Mkdirat(fd, filepath.Base(path), 0o755); err != nil {
		return &os.PathError{Op: "make working directory", Path: path, Err: err}
	}
	return nil
}
