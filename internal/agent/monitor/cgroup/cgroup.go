// Package cgroup finds, reads and removes the control groups of containers, which an OCI runtime has made, on machines with
// cgroup v1, v2, or both at once ("hybrid", where v2 controls nothing).
package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Hierarchies are the machine's cgroup trees.
type Hierarchies struct {
	// Mounts are where the trees are mounted.
	mounts []string
	// memory is the tree that limits memory, cpu the one that limits processor time.
	memory, cpu string
	// unified says that memory is a v2 tree.
	unified bool
}

// Find reads the mounts of this process.
func Find() (*Hierarchies, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// parse reads mountinfo; see proc_pid_mountinfo(5).
func parse(mountinfo []byte) (*Hierarchies, error) {
	h := &Hierarchies{}
	var v2 []string
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 || left[3] != "/" {
			continue
		}
		switch right[0] {
		case "cgroup":
			h.mounts = append(h.mounts, left[4])
			for option := range strings.SplitSeq(right[2], ",") {
				switch option {
				case "memory":
					h.memory = left[4]
				case "cpu":
					h.cpu = left[4]
				}
			}
		case "cgroup2":
			v2 = append(v2, left[4])
		}
	}
	// Beside v1 the v2 tree is used by nobody here.
	if len(h.mounts) == 0 && len(v2) > 0 {
		h.mounts, h.memory, h.cpu, h.unified = v2[:1], v2[0], v2[0], true
	}
	if len(h.mounts) == 0 {
		return nil, errors.New("no control groups are mounted")
	}
	return h, nil
}

// Unified says whether cgroup v2 alone is in use.
func (h *Hierarchies) Unified() bool { return h.unified }

// SwapLimited says whether memory and swap can be limited together. v1 has it only with swapaccount=1.
func (h *Hierarchies) SwapLimited() bool {
	if h.unified {
		return true
	}
	_, err := os.Stat(filepath.Join(h.memory, "memory.memsw.limit_in_bytes"))
	return err == nil
}

// HybridMount is where the unused v2 tree is mounted beside v1 trees, or "".
func HybridMount() string {
	const path = "/sys/fs/cgroup/unified"
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	return path
}

// OOMKills is how many processes of a cgroup the kernel has ended for want of memory.
func (h *Hierarchies) OOMKills(path string) (int, error) {
	name := "memory.oom_control"
	if h.unified {
		name = "memory.events"
	}
	data, err := os.ReadFile(filepath.Join(h.memory, path, name))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, nil
}

// Processes lists the processes of a cgroup and of those below it.
func (h *Hierarchies) Processes(path string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(filepath.Join(h.processTree(), path), func(dir string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return ignoreGone(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return ignoreGone(err)
		}
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			pids = append(pids, pid)
		}
		return nil
	})
	return pids, err
}

// processTree is a tree in which every container has a cgroup.
func (h *Hierarchies) processTree() string {
	if h.memory != "" {
		return h.memory
	}
	return h.mounts[0]
}

// ignoreGone makes nothing of a cgroup's having been removed meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

// KillAll sends SIGKILL to every process of a cgroup until none is left.
func (h *Hierarchies) KillAll(path string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		pids, err := h.Processes(path)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup %s still has %d processes", path, len(pids))
		}
		time.Sleep(time.Millisecond)
	}
}

// Remove removes a cgroup and those below it from every tree. Processes must have ended; the kernel may need a moment
// more, which is waited for.
func (h *Hierarchies) Remove(path string) error {
	var errs []error
	for _, mount := range h.mounts {
		errs = append(errs, removeTree(filepath.Join(mount, path)))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	wait := time.Millisecond
	for {
		err := unix.Rmdir(dir)
		switch {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY):
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		// It has cgroups that the container made, or a process on its way out.
		removed, err := removeBelow(dir)
		if err != nil {
			return err
		}
		if removed {
			continue
		}
		if wait > time.Second {
			return &os.PathError{Op: "rmdir", Path: dir, Err: unix.EBUSY}
		}
		time.Sleep(wait)
		wait *= 2
	}
}

func removeBelow(dir string) (removed bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, ignoreGone(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
			return removed, err
		}
		removed = true
	}
	return removed, nil
}

// RemoveEmpty removes a cgroup from the trees in which it is empty.
func (h *Hierarchies) RemoveEmpty(path string) {
	for _, mount := range h.mounts {
		// One that somebody else uses stays.
		_ = unix.Rmdir(filepath.Join(mount, path))
	}
}

// Find gives the path of the cgroup called name that is root's child or grandchild. The error wraps fs.ErrNotExist if there
// is none.
func (h *Hierarchies) Find(root, name string) (string, error) {
	for _, pattern := range []string{root, root + "/*"} {
		found, err := filepath.Glob(filepath.Join(h.memory, pattern, name))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return strings.TrimPrefix(found[0], h.memory), nil
		}
	}
	return "", fmt.Errorf("cgroup %s below %s: %w", name, root, fs.ErrNotExist)
}
