// Package journal keeps what an agent has been told to run and what became of it, in one directory a task, so that an
// agent that was killed goes on where it was.
//
//	DIR/<task>/task.json    what the server asked for; written once
//	DIR/<task>/state.json   how far it has come; replaced as a whole
//
// Files are replaced by rename and never synced. A process that dies loses nothing by that. A machine that dies may lose
// the last writes or leave a torn file, but then no container has survived either, and the server's sync says what was to
// run. The directories are readable by their owner alone: a task's environment is in them.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

// version is that of both files. An entry of another one is moved aside: the agent is older than its journal.
const version = 1

// Record is one task.
type Record struct {
	Task       acs.RunTask
	Definition *ecs.TaskDefinition
	State      State
}

// State is how far a task has come. Progress that the runtime knows better (which containers run now) is not in it.
type State struct {
	// Stopping says that the task is to end, for StopCode and Reason if the agent itself decided it.
	Stopping           bool        `json:"stopping,omitempty"`
	StopCode           string      `json:"stopCode,omitempty"`
	Reason             string      `json:"reason,omitempty"`
	PullStartedAt      ecs.Millis  `json:"pullStartedAt,omitempty"`
	PullStoppedAt      ecs.Millis  `json:"pullStoppedAt,omitempty"`
	StartedAt          ecs.Millis  `json:"startedAt,omitempty"`
	ExecutionStoppedAt ecs.Millis  `json:"executionStoppedAt,omitempty"`
	Containers         []Container `json:"containers"`
	// Finished says that every container has ended. Forgotten: the server does not know the task and wants no report.
	Finished  bool `json:"finished,omitempty"`
	Forgotten bool `json:"forgotten,omitempty"`
	// ReleasedAt is when its containers and network were removed; only files are left from then on.
	ReleasedAt ecs.Millis `json:"releasedAt,omitempty"`
}

// Container is one container of a task, in the definition's order. RuntimeID is given at the start, so that the runtime's
// list can be matched with the journal whatever the moment of a crash.
type Container struct {
	ecs.Container
	// StopSignal is the image's own signal to stop; 0 is SIGTERM.
	StopSignal int `json:"stopSignal,omitempty"`
	// Ran says that its first instruction was reached; a container that ends without is Stopped and not Ran.
	Ran bool `json:"ran,omitempty"`
	// Failed says that it could not be pulled, created or started; Reason tells why.
	Failed bool `json:"failed,omitempty"`
	// Shipped says that all of its output has been shipped.
	Shipped bool `json:"shipped,omitempty"`
}

type taskFile struct {
	Version    int                 `json:"version"`
	Task       acs.RunTask         `json:"task"`
	Definition *ecs.TaskDefinition `json:"definition"`
}

type stateFile struct {
	Version int    `json:"version"`
	State   *State `json:"state"`
}

// Dir is a journal in a directory. Its methods may be called at once for different tasks.
type Dir struct {
	path, aside string
	log         *slog.Logger
}

// Open makes the directory if it is not there. What cannot be read is moved to the directory aside.
func Open(path, aside string, log *slog.Logger) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &Dir{path: path, aside: aside, log: log}, nil
}

// TaskDir is a task's directory. Beside the journal's two files the engine keeps its own there.
func (d *Dir) TaskDir(id ecs.TaskID) string { return filepath.Join(d.path, id.String()) }

// Create writes a new task down. The entry is there once task.json is, which is written last.
func (d *Dir) Create(r *Record) error {
	dir := d.TaskDir(r.Task.ID)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("journal task: %w", err)
	}
	if err := d.Update(r.Task.ID, &r.State); err != nil {
		return err
	}
	return replace(filepath.Join(dir, "task.json"), taskFile{Version: version, Task: r.Task, Definition: r.Definition})
}

// Update replaces a task's state.
func (d *Dir) Update(id ecs.TaskID, s *State) error {
	return replace(filepath.Join(d.TaskDir(id), "state.json"), stateFile{Version: version, State: s})
}

// Remove deletes a task's directory with all that is in it. The entry goes first, so that a half-done removal is no task.
func (d *Dir) Remove(id ecs.TaskID) error {
	dir := d.TaskDir(id)
	if err := os.Remove(filepath.Join(dir, "task.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove task from the journal: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the task's files: %w", err)
	}
	return nil
}

// Load reads every task. A directory without task.json is what is left of a creation or a removal, and is deleted; one
// that cannot be read is moved aside with a line in the log.
func (d *Dir) Load() ([]*Record, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	definitions := map[ecs.DefinitionID]*ecs.TaskDefinition{}
	var records []*Record
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name())
		r, err := read(path)
		switch {
		case errors.Is(err, errNoEntry):
			if err := os.RemoveAll(path); err != nil {
				d.log.Warn("a half-made journal entry cannot be deleted", "path", path, "err", err)
			}
			continue
		case err != nil:
			d.log.Error("a journal entry cannot be read and is moved aside", "entry", e.Name(), "err", err)
			if err := d.moveAside(path, e.Name()); err != nil {
				return nil, err
			}
			continue
		}
		// Tasks of one definition share it in memory.
		if known := definitions[r.Task.Definition]; known != nil {
			r.Definition = known
		} else {
			definitions[r.Task.Definition] = r.Definition
		}
		records = append(records, r)
	}
	return records, nil
}

func (d *Dir) moveAside(path, name string) error {
	if err := os.MkdirAll(d.aside, 0o700); err != nil {
		return fmt.Errorf("move a journal entry aside: %w", err)
	}
	to := filepath.Join(d.aside, fmt.Sprintf("%s-%d", name, time.Now().UnixNano()))
	if err := os.Rename(path, to); err != nil {
		return fmt.Errorf("move a journal entry aside: %w", err)
	}
	return nil
}

var errNoEntry = errors.New("no entry")

func read(dir string) (*Record, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("not a directory")
	}
	id, err := ecs.ParseTaskID(filepath.Base(dir))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "task.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoEntry
	}
	if err != nil {
		return nil, err
	}
	var task taskFile
	if err := json.Unmarshal(b, &task); err != nil {
		return nil, fmt.Errorf("task.json: %w", err)
	}
	if b, err = os.ReadFile(filepath.Join(dir, "state.json")); err != nil {
		return nil, err
	}
	var state stateFile
	if err := json.Unmarshal(b, &state); err != nil {
		return nil, fmt.Errorf("state.json: %w", err)
	}
	if err := check(id, &task, &state); err != nil {
		return nil, err
	}
	return &Record{Task: task.Task, Definition: task.Definition, State: *state.State}, nil
}

func check(id ecs.TaskID, task *taskFile, state *stateFile) error {
	switch {
	case task.Version != version || state.Version != version:
		return fmt.Errorf("versions %d and %d, this agent reads %d", task.Version, state.Version, version)
	case task.Task.ID != id:
		return fmt.Errorf("it holds task %s", task.Task.ID)
	case task.Definition == nil || state.State == nil:
		return fmt.Errorf("no definition or no state")
	case len(task.Definition.ContainerDefinitions) != len(state.State.Containers):
		return fmt.Errorf("%d containers for %d definitions", len(state.State.Containers), len(task.Definition.ContainerDefinitions))
	}
	for i := range state.State.Containers {
		if state.State.Containers[i].RuntimeID == "" {
			return fmt.Errorf("a container has no id")
		}
	}
	return nil
}

// replace writes a file beside path and renames it there.
func replace(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// None keeps nothing: for simulated agents, which nobody restarts.
type None struct{}

// Create does nothing.
func (None) Create(*Record) error { return nil }

// Update does nothing.
func (None) Update(ecs.TaskID, *State) error { return nil }

// Remove does nothing.
func (None) Remove(ecs.TaskID) error { return nil }

// Load finds nothing.
func (None) Load() ([]*Record, error) { return nil, nil }

// TaskDir is empty: there are no files.
func (None) TaskDir(ecs.TaskID) string { return "" }
