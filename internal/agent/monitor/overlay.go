package monitor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOverlay mounts layers (topmost first) with a writable one over them at target. The layers are named by descriptors:
// their paths may be long and many, and mount options are at most a page; with 17 bytes a layer it takes over 200 of them,
// more than an image has, and needs no escape for ':' or ','.
func mountOverlay(layers []string, upper, work, target string) error {
	if len(layers) == 0 {
		return errors.New("the image has no layers")
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	open := func(path string) (string, error) {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", &os.PathError{Op: "open layer", Path: path, Err: err}
		}
		fds = append(fds, fd)
		return fmt.Sprintf("/proc/self/fd/%d", fd), nil
	}
	lower := make([]string, len(layers))
	for i, layer := range layers {
		var err error
		if lower[i], err = open(layer); err != nil {
			return err
		}
	}
	up, err := open(upper)
	if err != nil {
		return err
	}
	workdir, err := open(work)
	if err != nil {
		return err
	}
	options := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + up + ",workdir=" + workdir
	if len(options) > os.Getpagesize()-64 {
		return fmt.Errorf("the image has too many layers: %d", len(layers))
	}
	// A container is gone with the machine's memory, so its writable layer need not reach the disk.
	err = unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) { // Linux before 5.10
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	if err != nil {
		return fmt.Errorf("mount the image's %d layers: %w", len(layers), err)
	}
	return nil
}

// copyOwner gives the upper directory, which is what the container sees as /, the mode and owner of the image's.
func copyOwner(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return &os.PathError{Op: "stat layer", Path: from, Err: err}
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: to, Err: err}
	}
	if st.Uid == 0 && st.Gid == 0 {
		return nil
	}
	return os.Chown(to, int(st.Uid), int(st.Gid))
}
