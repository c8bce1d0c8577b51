package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// The files of a container. Those in Dir/containers/ID are on the disk and outlast the machine's going down.
const (
	containersDir = "containers"
	deletedPrefix = ".deleted-"

	recordFile = "start.json" // written first: what is needed to clear up
	exitFile   = "exit.json"  // written when it has exited
	upperDir   = "upper"
	workDir    = "work"
)

// Those in the run directory, under bundles/ID, are in memory where there is a tmpfs. It is the OCI bundle. Making and
// removing many files is dear on a disk: ext4 goes past every lately deleted inode to find a free one.
const (
	bundlesDir = "bundles"
	stateDir   = "state" // state/RUNTIME is the OCI runtime's own

	runningFile = "running.json" // written when it runs
	configFile  = "config.json"
	pidFile     = "pid"
	messageFile = "runtime.log"
	requestFile = "request.json" // the request, of a container that can be started again
	rootfsDir   = "rootfs"
)

// phase is where a container is in the monitor's hands.
type phase int

const (
	starting phase = iota
	running
	exited
	deleting
)

// record is a container's recordFile.
type record struct {
	ID         string            `json:"id"`
	Labels     map[string]string `json:"labels,omitempty"`
	Runtime    string            `json:"runtime"`
	Cgroup     string            `json:"cgroup"`
	CgroupRoot string            `json:"cgroupRoot"`
	Log        link.Log          `json:"log"`
	Terminal   bool              `json:"terminal,omitempty"`
	BootID     string            `json:"bootID"`
	// SharedPID says that the container's processes do not end with its first.
	SharedPID bool `json:"sharedPid,omitempty"`
	// Restarts is the run that it is in, or was in last: that many restarts were made or begun.
	Restarts int `json:"restarts,omitempty"`
}

// process is a container's runningFile.
type process struct {
	Pid int `json:"pid"`
	// StartTicks is when the process started, as proc_pid_stat(5) has it: with the pid it names the process for ever. It is
	// 0 for one that had ended before it was looked at.
	StartTicks uint64    `json:"startTicks"`
	StartedAt  time.Time `json:"startedAt"`
}

// container is one that was asked for and not deleted. Its fields below done are guarded by Monitor.mu.
type container struct {
	record
	// dir is its directory on the disk, and bundle the one in the run directory.
	dir, bundle string
	// output takes in what it writes; nil if that is discarded or all taken.
	output *output
	// unmounted is closed when the monitor's own mount of the rootfs is gone: the container has its own.
	unmounted chan struct{}
	// done is closed when its exit is on disk.
	done chan struct{}

	phase  phase
	status link.Status
	// pidfd is its first process, or -1.
	pidfd int
	// deleted is closed when a deletion under way is over.
	deleted chan struct{}
	// past is the run before while a restart is under way, and begun closed when that is over.
	past  *container
	begun chan struct{}
}

func (m *Monitor) newContainer(r record) *container {
	return &container{
		record: r, dir: filepath.Join(m.cfg.Dir, containersDir, r.ID), bundle: filepath.Join(m.runDir, bundlesDir, r.ID), unmounted: make(chan struct{}), done: make(chan struct{}),
		pidfd: -1, status: link.Status{ID: r.ID, Labels: r.Labels, Restarts: r.Restarts},
	}
}

// known tells whether a container is one to tell of: nil is not, nor one whose first start is under way. Monitor.mu is held.
func (c *container) known() bool { return c != nil && (c.phase != starting || c.past != nil) }

// shown is the status to tell of a container that is known: of a restart under way it is that of the run before. Monitor.mu is held.
func (c *container) shown() link.Status {
	if c.phase == starting {
		return c.past.status
	}
	return c.status
}

// onDisk and inBundle are paths of its files.
func (c *container) onDisk(name string) string   { return filepath.Join(c.dir, name) }
func (c *container) inBundle(name string) string { return filepath.Join(c.bundle, name) }

// stateDir is the OCI runtime's directory for the container.
func (m *Monitor) stateDir(c *container) string {
	return filepath.Join(m.runtimeRoot(c.Runtime), c.ID)
}

func (m *Monitor) runtimeRoot(runtime string) string {
	return filepath.Join(m.runDir, stateDir, runtime)
}

// hold counts the container in the cgroups above its own, up to its CgroupRoot; release discounts it and removes those that
// have none left. Both need m.mu: a start that has been counted finds the cgroups that it will use left alone.
func (m *Monitor) hold(c *container) {
	for path := range c.parents() {
		m.parents[path]++
	}
}

func (m *Monitor) release(c *container) {
	for path := range c.parents() {
		if m.parents[path]--; m.parents[path] > 0 {
			continue
		}
		delete(m.parents, path)
		m.groups.RemoveEmpty(path)
	}
}

// parents are the cgroups above a container's own, from below.
func (r *record) parents() iter.Seq[string] {
	return func(yield func(string) bool) {
		for path := filepath.Dir(r.Cgroup); path != "/" && path != "."; path = filepath.Dir(path) {
			if !yield(path) || path == r.CgroupRoot {
				return
			}
		}
	}
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	return writeFile(path, data)
}

// errDecode says that a file was read and is not what it should be.
var errDecode = errors.New("decode")

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w %s: %w", errDecode, path, err)
	}
	return nil
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// errGone says that a process is not there any more.
var errGone = errors.New("the process has ended")

// startTicks reads when a process started.
func startTicks(pid int) (uint64, error) {
	fields, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(fields[statStart], 10, 64)
}

// Fields of proc_pid_stat(5), counted from the third, the state.
const (
	statState    = 0
	statSession  = 3
	statFlags    = 6
	statStart    = 19
	statExitCode = 49
)

// readStat reads /proc/PID/stat. The name in the second field may hold anything, so fields are counted from its end.
func readStat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) <= statExitCode {
		return nil, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	return fields, nil
}

// zombieCode reads the exit code of a process that has ended and that its parent has not collected yet.
func zombieCode(p process) (code int, ok bool) {
	fields, err := readStat(p.Pid)
	if err != nil || fields[statState] != "Z" || fields[statStart] != strconv.FormatUint(p.StartTicks, 10) {
		return -1, false
	}
	status, err := strconv.ParseUint(fields[statExitCode], 10, 32)
	return exitCode(unix.WaitStatus(status)), err == nil
}

// openProcess gives a descriptor of a process that started when said; errGone if there is none.
func openProcess(pid int, ticks uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, errGone
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd_open: %w", err)
	}
	if now, err := startTicks(pid); err != nil || now != ticks {
		unix.Close(fd)
		if err == nil {
			err = errGone
		}
		return -1, err
	}
	return fd, nil
}
