package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// quotaPeriod is that of processor quotas, in microseconds: the kernel's default.
const quotaPeriod = 100_000

// Limits bound a cgroup as a whole, whatever is allowed to those below it. Zero is no bound.
type Limits struct {
	// Cores of processor time.
	Cores float64
	// Memory in bytes.
	Memory int64
}

// Limit makes a cgroup, if it is not there, and bounds it. Doing so again changes nothing.
func (h *Hierarchies) Limit(path string, l Limits) error {
	if l.Cores > 0 {
		quota := strconv.FormatInt(int64(l.Cores*quotaPeriod), 10)
		file, value := "cpu.cfs_quota_us", quota
		if h.unified {
			file, value = "cpu.max", quota+" "+strconv.Itoa(quotaPeriod)
		}
		if err := h.write(h.cpu, path, file, value); err != nil {
			return fmt.Errorf("limit processor time: %w", err)
		}
	}
	if l.Memory > 0 {
		file := "memory.limit_in_bytes"
		if h.unified {
			file = "memory.max"
		}
		if err := h.write(h.memory, path, file, strconv.FormatInt(l.Memory, 10)); err != nil {
			return fmt.Errorf("limit memory: %w", err)
		}
	}
	return nil
}

func (h *Hierarchies) write(tree, path, file, value string) error {
	if tree == "" {
		return errors.New("the machine has no control group for it")
	}
	dir := filepath.Join(tree, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if h.unified {
		if err := delegate(tree, path); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
}

// delegate lets the controllers of a v2 tree work in a cgroup: each one above it has to hand them down.
func delegate(tree, path string) error {
	dir := tree
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpu +memory"), 0); err != nil {
			return err
		}
		dir = filepath.Join(dir, name)
	}
	return nil
}
