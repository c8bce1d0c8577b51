package monitor

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// best are the OCI runtimes to use when none is asked for, the fastest first.
var best = []string{"crun", "runc"}

// ociRuntime is an OCI runtime's binary.
type ociRuntime struct {
	name, path string
	// version changes with the file.
	version string
}

// runtimes finds OCI runtimes by name.
type runtimes struct {
	mu    sync.Mutex
	found map[string]ociRuntime
}

// find looks a runtime up: a name, an absolute path, or "" for the best there is.
func (r *runtimes) find(name string) (ociRuntime, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rt, ok := r.found[name]; ok {
		return rt, nil
	}
	candidates := []string{name}
	if name == "" {
		candidates = best
	}
	for _, candidate := range candidates {
		path, err := exec.LookPath(candidate)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return ociRuntime{}, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return ociRuntime{}, err
		}
		rt := ociRuntime{name: filepath.Base(candidate), path: path, version: fmt.Sprint(path, info.Size(), info.ModTime().UnixNano())}
		if r.found == nil {
			r.found = map[string]ociRuntime{}
		}
		r.found[name] = rt
		return rt, nil
	}
	return ociRuntime{}, fmt.Errorf("no OCI runtime: none of %q is installed", candidates)
}

// forget makes find look again, as after a package's update.
func (r *runtimes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.found)
}

// takesFilter says whether the runtime takes a compiled seccomp filter.
func (rt ociRuntime) takesFilter() bool { return rt.name == "crun" }

// filterAnnotation gives crun a compiled filter. A crun that does not know it compiles linux.seccomp, which is left there.
const filterAnnotation = "run.oci.seccomp_bpf_data"

// filters keeps what crun compiled of seccomp profiles. libseccomp needs some 20 ms of cpu for Docker's profile, more than
// everything else of a start together, and crun leaves the result in its state directory.
type filters struct {
	dir string

	mu      sync.Mutex
	entries map[string]*filter
}

// filter is one profile's; its lock is held while the first container compiles it, so that a burst compiles it once.
type filter struct {
	path string

	mu      sync.Mutex
	encoded string
}

func newFilters(dir string) *filters { return &filters{dir: dir, entries: map[string]*filter{}} }

func (f *filters) get(rt ociRuntime, profile []byte) *filter {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s", rt.version, profile)
	key := hex.EncodeToString(h.Sum(nil))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entries[key] == nil {
		f.entries[key] = &filter{path: filepath.Join(f.dir, key+".bpf")}
	}
	return f.entries[key]
}

// use gives the compiled filter in base64. If it is not there yet the result is "" and the caller, once its container runs,
// calls learned with the file that has it, or with "" if there is none; until then others wait.
func (f *filter) use() (encoded string, learned func(path string) error) {
	f.mu.Lock()
	if f.encoded == "" {
		if data, err := os.ReadFile(f.path); err == nil && wholeFilter(data) {
			f.encoded = base64.StdEncoding.EncodeToString(data)
		}
	}
	if f.encoded != "" {
		defer f.mu.Unlock()
		return f.encoded, func(string) error { return nil }
	}
	return "", func(path string) error {
		defer f.mu.Unlock()
		if path == "" {
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a version that keeps it elsewhere
		}
		if err != nil || !wholeFilter(data) {
			return err
		}
		f.encoded = base64.StdEncoding.EncodeToString(data)
		return writeFile(f.path, data)
	}
}

// wholeFilter says whether data can be a filter: instructions of 8 bytes, at most BPF_MAXINSNS.
func wholeFilter(data []byte) bool {
	return len(data) > 0 && len(data)%8 == 0 && len(data) <= 8*4096
}

// writeFile replaces a file in one step. It is not forced to the disk: after a crash of the machine what it says of
// containers is void, and one that is cut short is seen as such.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	err := os.WriteFile(tmp, data, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(tmp, data, 0o600)
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
