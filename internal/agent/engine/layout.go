package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"roadstead.dev/roadstead/internal/agent/volume"
	"roadstead.dev/roadstead/internal/ecs"
)

// layout is where tasks' files are. Making a file on a disk that others sync can take longer than starting a container, so
// what need not outlive a restart of the machine is apart, to be kept in memory.
//
//	DATA/logs/TASK.CONTAINER.json   the output, .1, .2... where it was rotated
//	DATA/logs/TASK.CONTAINER/       or, for log drivers that ship it, a directory to be watched: log.json and how far it is shipped
//	DATA/volumes/TASK/NAME/         volumes that go with the task; CONTAINER.PATH is what an image asked for
//	DATA/shared-volumes/NAME/       Docker volumes of scope shared
//	RUN/TASK/CONTAINER.hosts...     what is mounted at /etc
//	RUN/TASK/firelens/              the log router's configuration and socket
type layout struct{ data, run string }

// none says that this agent keeps no files.
func (l layout) none() bool { return l.data == "" }

func (l layout) logs() string    { return filepath.Join(l.data, "logs") }
func (l layout) volumes() string { return filepath.Join(l.data, "volumes") }

func (l layout) log(id ecs.TaskID, c *ecs.ContainerDefinition) string {
	if shipped(c) {
		return filepath.Join(l.shipping(id, c.Name), "log.json")
	}
	return filepath.Join(l.logs(), id.String()+"."+c.Name+".json")
}

func (l layout) shipping(id ecs.TaskID, container string) string {
	return filepath.Join(l.logs(), id.String()+"."+container)
}

func (l layout) volume(id ecs.TaskID, name string) string {
	return filepath.Join(l.volumes(), id.String(), name)
}

func (l layout) etc(id ecs.TaskID, container, name string) string {
	return filepath.Join(l.run, id.String(), container+"."+name)
}

func (l layout) firelens(id ecs.TaskID) string {
	return filepath.Join(l.run, id.String(), "firelens")
}

// make makes the directories that all tasks share.
func (l layout) make() error {
	if l.none() {
		return nil
	}
	for _, dir := range []string{l.logs(), l.volumes(), l.shared(), l.run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the tasks' directories: %w", err)
		}
	}
	return nil
}

// remove deletes a task's files but its logs.
func (l layout) remove(id ecs.TaskID) error {
	if l.none() {
		return nil
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(l.run, id.String())), volume.Remove(filepath.Join(l.volumes(), id.String()))); err != nil {
		return fmt.Errorf("remove the task's files: %w", err)
	}
	return nil
}

// removeLogs deletes a task's logs, rotated ones among them.
func (l layout) removeLogs(id ecs.TaskID, d *ecs.TaskDefinition) error {
	if l.none() {
		return nil
	}
	var errs []error
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if shipped(c) {
			errs = append(errs, os.RemoveAll(l.shipping(id, c.Name)))
			continue
		}
		path := l.log(id, c)
		err := os.Remove(path)
		for n := 1; err == nil || (n == 1 && errors.Is(err, fs.ErrNotExist)); n++ {
			err = os.Remove(path + "." + strconv.Itoa(n))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the task's logs: %w", err)
	}
	return nil
}

// sweep deletes the files of tasks that are not known. Only what is named by a task's id is taken for one's.
func (l layout) sweep(known func(ecs.TaskID) bool) error {
	if l.none() {
		return nil
	}
	var errs []error
	for _, dir := range slices.Compact([]string{l.logs(), l.volumes(), l.run}) {
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, e := range entries {
			name := e.Name()
			if len(name) < 32 || (len(name) > 32 && name[32] != '.') {
				continue
			}
			if id, err := ecs.ParseTaskID(name[:32]); err == nil && !known(id) {
				errs = append(errs, volume.Remove(filepath.Join(dir, name)))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the files of tasks that are gone: %w", err)
	}
	return nil
}
