// Package journal keeps what an agent has been told to run and what became of it, so that an agent that was killed goes on
// where it was.
//
// It is one file of lines, to which every change is appended:
//
//	{"id":ID,"version":1,"task":...,"definition":...,"state":...}   a new task
//	{"id":ID,"state":...}                                           how far it has come, as a whole
//	{"id":ID,"gone":true}                                           nothing is left of it
//
// Lines that no longer matter are dropped at start and whenever most of the file is such. Appending to a file that is there
// takes a few microseconds; making a file or a directory for each task was seen to take hundreds on a disk that others sync.
//
// Nothing is synced. A process that dies loses nothing by that. A machine that dies may lose the last lines or leave torn
// ones, but then no container has survived either, and the server's sync says what was to run. The file is readable by its
// owner alone: tasks' environments are in it.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

// version is that of a new task's line. A task of another version is set aside: the agent is older than its journal.
const version = 1

// compactAt is how many bytes of lines that no longer matter are left in the file, at least.
const compactAt = 4 << 20

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
	// Attachment is how far the task's network interface has come.
	Attachment ecs.AttachmentStatus `json:"attachment,omitempty"`
	// Finished says that every container has ended. Forgotten: the server does not know the task and wants no report.
	Finished  bool `json:"finished,omitempty"`
	Forgotten bool `json:"forgotten,omitempty"`
	// ReleasedAt is when its containers and network were removed; only log files are left from then on.
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
	// Address is its own on the bridge, while it has one; StartedAt and FinishedAt are of its last run.
	Address    string     `json:"address,omitempty"`
	StartedAt  ecs.Millis `json:"startedAt,omitempty"`
	FinishedAt ecs.Millis `json:"finishedAt,omitempty"`
	// Restarts counts those that were made, or at least begun.
	Restarts int `json:"restarts,omitempty"`
	// Shipped says that all of its output has been shipped.
	Shipped bool `json:"shipped,omitempty"`
}

// line is any line. ID comes first, where compaction finds it.
type line struct {
	ID         ecs.TaskID          `json:"id"`
	Version    int                 `json:"version,omitempty"`
	Task       *acs.RunTask        `json:"task,omitempty"`
	Definition *ecs.TaskDefinition `json:"definition,omitempty"`
	State      *State              `json:"state,omitempty"`
	Gone       bool                `json:"gone,omitempty"`
}

// File is a journal in a file. Its methods may be called at once from many goroutines.
type File struct {
	path string
	log  *slog.Logger

	mu sync.Mutex
	f  *os.File
	// size is the length of what is whole, and base what it was after the last compaction.
	size, base int64
}

// Open opens the journal, makes it if there is none, and reads it. Lines that cannot be read are copied to path.aside and
// told in the log.
func Open(path string, log *slog.Logger) (*File, []*Record, error) {
	j := &File{path: path, log: log}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the journal: %w", err)
	}
	records, bad := parse(b)
	if err := j.setAside(bad); err != nil {
		return nil, nil, err
	}
	var lines []byte
	for _, r := range records {
		l, err := encode(&line{ID: r.Task.ID, Version: version, Task: &r.Task, Definition: r.Definition, State: &r.State})
		if err != nil {
			return nil, nil, err
		}
		lines = append(lines, l...)
	}
	if err := j.replace(lines); err != nil {
		return nil, nil, err
	}
	return j, records, nil
}

// badLine is a line that was not understood.
type badLine struct {
	text []byte
	why  error
}

// parse reads a journal's lines. Tasks of one definition share it.
func parse(b []byte) (records []*Record, bad []badLine) {
	tasks := map[ecs.TaskID]*Record{}
	definitions := map[ecs.DefinitionID]*ecs.TaskDefinition{}
	var order []ecs.TaskID
	for text := range bytes.Lines(b) {
		var l line
		err := json.Unmarshal(text, &l)
		if err == nil {
			err = apply(tasks, definitions, &l)
		}
		if err != nil {
			bad = append(bad, badLine{bytes.TrimSuffix(text, []byte("\n")), err})
			continue
		}
		if l.Task != nil {
			order = append(order, l.ID)
		}
	}
	for _, id := range order {
		if r := tasks[id]; r != nil {
			records = append(records, r)
			delete(tasks, id)
		}
	}
	return records, bad
}

// apply takes one line up. A line about a task whose first line was not understood says nothing.
func apply(tasks map[ecs.TaskID]*Record, definitions map[ecs.DefinitionID]*ecs.TaskDefinition, l *line) error {
	switch {
	case l.ID.IsZero():
		return fmt.Errorf("no task id")
	case l.Gone:
		delete(tasks, l.ID)
		return nil
	case l.State == nil:
		return fmt.Errorf("no state")
	}
	for i := range l.State.Containers {
		if l.State.Containers[i].RuntimeID == "" {
			return fmt.Errorf("a container has no id")
		}
	}
	if l.Task == nil {
		r := tasks[l.ID]
		if r == nil {
			return fmt.Errorf("a state of a task that is not known")
		}
		if len(l.State.Containers) != len(r.State.Containers) {
			return fmt.Errorf("%d containers for %d", len(l.State.Containers), len(r.State.Containers))
		}
		r.State = *l.State
		return nil
	}
	switch {
	case l.Version != version:
		return fmt.Errorf("version %d, this agent reads %d", l.Version, version)
	case l.Task.ID != l.ID:
		return fmt.Errorf("it holds task %s", l.Task.ID)
	case l.Definition == nil || l.Definition.ID() != l.Task.Definition || len(l.Definition.ContainerDefinitions) != len(l.State.Containers):
		return fmt.Errorf("no definition, or not that of its containers")
	}
	if known := definitions[l.Task.Definition]; known != nil {
		l.Definition = known
	}
	definitions[l.Task.Definition] = l.Definition
	tasks[l.ID] = &Record{Task: *l.Task, Definition: l.Definition, State: *l.State}
	return nil
}

// setAside keeps what was not understood for a person to look at.
func (j *File) setAside(bad []badLine) error {
	if len(bad) == 0 {
		return nil
	}
	f, err := os.OpenFile(j.path+".aside", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("set a journal's lines aside: %w", err)
	}
	for _, b := range bad {
		j.log.Error("a line of the journal cannot be read and is set aside", "bytes", len(b.text), "err", b.why)
		if _, werr := f.Write(append(b.text, '\n')); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("set a journal's lines aside: %w", err)
	}
	return nil
}

// replace makes lines the whole journal. j.mu is held or the journal is not in use yet.
func (j *File) replace(lines []byte) error {
	tmp := j.path + ".new"
	if err := os.WriteFile(tmp, lines, 0o600); err != nil {
		return fmt.Errorf("write the journal anew: %w", err)
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("write the journal anew: %w", err)
	}
	if err := os.Rename(tmp, j.path); err != nil {
		return errors.Join(fmt.Errorf("write the journal anew: %w", err), f.Close())
	}
	if j.f != nil {
		if err := j.f.Close(); err != nil {
			j.log.Warn("the old journal did not close", "err", err)
		}
	}
	j.f, j.size, j.base = f, int64(len(lines)), int64(len(lines))
	return nil
}

func encode(l *line) ([]byte, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return append(b, '\n'), nil
}

// add appends one line. What was written of it before an error is taken back.
func (j *File) add(l *line) error {
	b, err := encode(l)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	if _, err := j.f.Write(b); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), j.f.Truncate(j.size))
	}
	j.size += int64(len(b))
	if j.size-j.base > max(compactAt, 2*j.base) {
		if err := j.compact(); err != nil {
			j.log.Error("the journal cannot be made smaller", "err", err)
			// Not again at the next line.
			j.base = j.size
		}
	}
	return nil
}

// Create writes a new task down.
func (j *File) Create(r *Record) error {
	return j.add(&line{ID: r.Task.ID, Version: version, Task: &r.Task, Definition: r.Definition, State: &r.State})
}

// Update writes a task's new state down.
func (j *File) Update(id ecs.TaskID, s *State) error { return j.add(&line{ID: id, State: s}) }

// Remove forgets a task.
func (j *File) Remove(id ecs.TaskID) error { return j.add(&line{ID: id, Gone: true}) }

// Close ends the use of the journal.
func (j *File) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.f
	if j.f = nil; f == nil {
		return nil
	}
	return f.Close()
}

// compact drops the lines that no longer matter. j.mu is held. It reads only the ids of the lines, all of which were
// written by this process or by Open.
func (j *File) compact() error {
	b, err := os.ReadFile(j.path)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	type last struct{ head, state []byte }
	tasks := map[string]*last{}
	var order []string
	for text := range bytes.Lines(b[:min(int64(len(b)), j.size)]) {
		id, rest, err := split(text)
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(rest, []byte(`,"version"`)):
			tasks[id] = &last{head: text}
			order = append(order, id)
		case bytes.HasPrefix(rest, []byte(`,"gone"`)):
			delete(tasks, id)
		case tasks[id] != nil:
			tasks[id].state = text
		}
	}
	var lines []byte
	for _, id := range order {
		if l := tasks[id]; l != nil {
			lines = append(append(lines, l.head...), l.state...)
			delete(tasks, id)
		}
	}
	return j.replace(lines)
}

// split takes the id off a line.
func split(text []byte) (id string, rest []byte, err error) {
	const before, digits = `{"id":"`, 32
	if !bytes.HasPrefix(text, []byte(before)) || len(text) < len(before)+digits+1 {
		return "", nil, fmt.Errorf("a line of the journal begins with no id")
	}
	text = text[len(before):]
	return string(text[:digits]), text[digits+1:], nil
}

// None keeps nothing: for simulated agents, which nobody restarts.
type None struct{}

// Create does nothing.
func (None) Create(*Record) error { return nil }

// Update does nothing.
func (None) Update(ecs.TaskID, *State) error { return nil }

// Remove does nothing.
func (None) Remove(ecs.TaskID) error { return nil }
