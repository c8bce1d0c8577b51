package monitor

import (
	"errors"
	"fmt"
	"os"
	goruntime "runtime"

	"golang.org/x/sys/unix"
)

// shmDir in a bundle is where another container's shared memory is mounted for the OCI runtime to find it.
const (
	shmDir  = "shm"
	shmPath = "/dev/shm"
)

// share makes a container join namespaces of others. What is opened for that is closed, and what is mounted unmounted, when
// the start is over: the container has its own then.
func (l *launch) share() error {
	for kind, id := range map[string]string{"pid": l.req.PidNS, "ipc": l.req.IpcNS} {
		if id == "" {
			continue
		}
		if err := l.joinOther(kind, id); err != nil {
			return fmt.Errorf("share the %s namespace of container %s: %w", kind, id, err)
		}
	}
	return nil
}

// joinOther makes the container join a namespace of a running one.
func (l *launch) joinOther(kind, id string) error {
	names := []string{kind}
	if kind == "ipc" {
		names = append(names, "mnt")
	}
	files, err := l.m.openNamespaces(id, names...)
	if err != nil {
		return err
	}
	l.joined = append(l.joined, files...)
	l.edits = append(l.edits, namespacePath(kind, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), files[0].Fd())))
	if kind != "ipc" {
		return nil
	}
	source := l.c.inBundle(shmDir)
	if err := os.Mkdir(source, 0o700); err != nil {
		return err
	}
	if err := mountFrom(files[1], shmPath, source); err != nil {
		return err
	}
	l.mounts = append(l.mounts, source)
	l.edits = append(l.edits, mountSource(shmPath, source))
	return nil
}

// openNamespaces opens namespaces of a running container's first process.
func (m *Monitor) openNamespaces(id string, names ...string) ([]*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if c == nil || c.phase != running || c.pidfd < 0 {
		return nil, notRunning(id)
	}
	var files []*os.File
	for _, name := range names {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", c.status.Pid, name))
		if err != nil {
			return nil, errors.Join(err, closeAll(files))
		}
		files = append(files, f)
	}
	// A process that is there still was there before: the pid was its own.
	if err := unix.PidfdSendSignal(c.pidfd, 0, nil, 0); err != nil {
		return nil, errors.Join(notRunning(id), closeAll(files))
	}
	return files, nil
}

// mountFrom mounts at target, in this process's mount namespace, what another has at path. The kernel lets a mount be copied
// only from within its namespace, so a thread goes there, and ends.
func mountFrom(namespace *os.File, path, target string) error {
	type copied struct {
		fd  int
		err error
	}
	done := make(chan copied)
	go func() {
		goruntime.LockOSThread() // for good: the thread is of no more use
		fd, err := copyMount(namespace, path)
		done <- copied{fd, err}
	}()
	c := <-done
	if c.err != nil {
		return c.err
	}
	defer unix.Close(c.fd)
	if err := unix.MoveMount(c.fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s of another container: %w", path, err)
	}
	return nil
}

// copyMount gives a copy of a mount of another mount namespace, which the thread joins.
func copyMount(namespace *os.File, path string) (int, error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return -1, fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err != nil {
		return -1, fmt.Errorf("join a mount namespace: %w", err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return -1, fmt.Errorf("copy the mount %s: %w", path, err)
	}
	return fd, nil
}
