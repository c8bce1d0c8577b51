package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	confs "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// Make makes the directory dir with what the image has at target, as Docker does for a new volume: files, owner and mode. An
// image without a directory there makes an empty one of mode 0755. Layers are the image's, topmost first. A directory that is
// there already is left as it is. Until it is whole, the directory does not have its name; two must not make one at the
// same time.
func Make(dir string, layers []string, target string) error {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	half := dir + ".new"
	if err := Remove(half); err != nil {
		return err
	}
	if err := os.MkdirAll(path.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(half, 0o755); err != nil {
		return err
	}
	if err := fill(half, layers, target); err != nil {
		return errors.Join(fmt.Errorf("copy the image's %s: %w", target, err), Remove(half))
	}
	return os.Rename(half, dir)
}

func fill(dir string, layers []string, target string) error {
	if len(layers) == 0 || target == "" || path.Clean(target) == "/" {
		return nil
	}
	root, err := openImage(layers, dir+".image")
	if err != nil {
		return err
	}
	defer unix.Close(root)
	from, err := openIn(root, target)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(from)
	return confs.CopyDir(dir, fmt.Sprintf("/proc/self/fd/%d/.", from))
}

// patience is how long openIn tries against others' renames and mounts.
const patience = time.Second

// openIn opens a directory of an image, whose links lead nowhere but into the image.
func openIn(root int, target string) (int, error) {
	how := &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		// EAGAIN: a rename or mount somewhere on the machine raced with a look-up of .., see openat2(2).
		fd, err := unix.Openat2(root, target, how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			return fd, err
		}
	}
}

// openImage opens the image's root directory. Several layers are merged by an overlay at the directory at, which is made; it
// is unmounted and removed at once, and stays as long as its descriptor.
func openImage(layers []string, at string) (root int, err error) {
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	names := make([]string, len(layers))
	for i, layer := range layers {
		fd, err := unix.Open(layer, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, &os.PathError{Op: "open layer", Path: layer, Err: err}
		}
		if len(layers) == 1 {
			return fd, nil
		}
		fds = append(fds, fd)
		names[i] = "/proc/self/fd/" + strconv.Itoa(fd) // short: options are at most a page
	}
	if err := Remove(at); err != nil {
		return -1, err
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, Remove(at)) }()
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(names, ":")); err != nil {
		return -1, fmt.Errorf("merge %d layers: %w", len(layers), err)
	}
	return unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
