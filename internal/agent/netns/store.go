package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// record is what is remembered of one network. It is written before the first change to the kernel and marked complete,
// by a rename, after the last, so that whatever a crash leaves can be found and removed.
//
// Records are not synced to the disk: all that they describe is in the kernel and ends with it, and a file that a power
// cut tore describes nothing.
type record struct {
	ID    string       `json:"id"`
	IP    netip.Addr   `json:"ip"`
	Veth  string       `json:"veth"`
	Ports []portRecord `json:"ports,omitempty"`
	// Task is there for a task's network interface: then IP is of its subnet, and not of the bridge's.
	Task *taskInterface `json:"task,omitempty"`

	complete bool
}

type portRecord struct {
	Protocol  string `json:"protocol"`
	Container uint16 `json:"containerPort"`
	Host      uint16 `json:"hostPort"`
	// Dynamic says that the host port was not asked for, which a repeated request needs to know.
	Dynamic bool `json:"dynamic,omitempty"`
	// More is how many ports follow these in a range of both, and Range says that it was asked for as one.
	More  uint16 `json:"more,omitempty"`
	Range bool   `json:"range,omitempty"`
}

// elements are what the ports need in the table.
func (r record) elements() []element {
	out := make([]element, 0, len(r.Ports))
	for _, p := range r.Ports {
		for i := range p.More + 1 {
			out = append(out, element{protocol: p.Protocol, hostPort: p.Host + i, ip: r.IP, containerPort: p.Container + i})
		}
	}
	return out
}

// store is the data directory: network.json, containers/ID.json and the namespaces netns/ID.
type store struct{ dir string }

const (
	recordSuffix  = ".json"
	pendingSuffix = ".pending"
)

func openStore(dir string) (*store, error) {
	s := &store{dir: dir}
	for _, d := range []string{dir, s.recordDir(), s.netnsDir()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("network data directory: %w", err)
		}
	}
	return s, nil
}

func (s *store) recordDir() string          { return filepath.Join(s.dir, "containers") }
func (s *store) netnsDir() string           { return filepath.Join(s.dir, "netns") }
func (s *store) netnsPath(id string) string { return filepath.Join(s.netnsDir(), id) }
func (s *store) settingsPath() string       { return filepath.Join(s.dir, "network.json") }
func (s *store) file(id, suffix string) string {
	return filepath.Join(s.recordDir(), id+suffix)
}

// begin remembers that a network is being made.
func (s *store) begin(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("network record: %w", err)
	}
	if err := os.WriteFile(s.file(r.ID, pendingSuffix), data, 0o644); err != nil {
		return fmt.Errorf("network record: %w", err)
	}
	return nil
}

// finish remembers that it is made.
func (s *store) finish(id string) error {
	if err := os.Rename(s.file(id, pendingSuffix), s.file(id, recordSuffix)); err != nil {
		return fmt.Errorf("network record: %w", err)
	}
	return nil
}

// forget drops an id's record, if there is one.
func (s *store) forget(id string) error {
	for _, suffix := range []string{pendingSuffix, recordSuffix} {
		if err := os.Remove(s.file(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("network record: %w", err)
		}
	}
	return nil
}

// load reads all records. One that cannot be read comes back incomplete, with its id alone.
func (s *store) load() ([]record, error) {
	entries, err := os.ReadDir(s.recordDir())
	if err != nil {
		return nil, fmt.Errorf("network records: %w", err)
	}
	var out []record
	for _, e := range entries {
		id, complete := strings.CutSuffix(e.Name(), recordSuffix)
		if !complete {
			var pending bool
			if id, pending = strings.CutSuffix(e.Name(), pendingSuffix); !pending {
				continue
			}
		}
		if idForm.MatchString(id) {
			out = append(out, s.read(e.Name(), id, complete))
		}
	}
	return out, nil
}

func (s *store) read(name, id string, complete bool) record {
	var r record
	data, err := os.ReadFile(filepath.Join(s.recordDir(), name))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil || r.ID != id || !r.IP.Is4() {
		return record{ID: id}
	}
	r.complete = complete
	return r
}

// namespaces lists the ids that have something in the namespaces' directory.
func (s *store) namespaces() ([]string, error) {
	entries, err := os.ReadDir(s.netnsDir())
	if err != nil {
		return nil, fmt.Errorf("network namespaces: %w", err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, nil
}

// settings is what is remembered of the manager itself.
type settings struct {
	Subnet netip.Prefix `json:"subnet"`
}

func (s *store) loadSettings() (settings, error) {
	var out settings
	data, err := os.ReadFile(s.settingsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("network settings: %w", err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("network settings %s: %w", s.settingsPath(), err)
	}
	return out, nil
}

// saveSettings is synced: the subnet should be the same after a power cut.
func (s *store) saveSettings(v settings) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("network settings: %w", err)
	}
	tmp := s.settingsPath() + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("network settings: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, s.settingsPath())
	}
	if err != nil {
		return fmt.Errorf("network settings: %w", err)
	}
	return nil
}

// remove deletes what the store made, and the directory if nothing else is in it.
func (s *store) remove() error {
	errs := []error{
		os.RemoveAll(s.recordDir()), os.RemoveAll(s.netnsDir()), os.RemoveAll(s.settingsPath()),
	}
	if err := os.Remove(s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
