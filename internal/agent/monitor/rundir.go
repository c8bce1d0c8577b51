package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// runLink in a monitor's directory is its run directory, or a link to it.
const runLink = "run"

// openRunDir gives the run directory of a monitor's directory: the one that an earlier monitor used, else a new one on a
// tmpfs, else, where there is none, one in the directory itself.
func openRunDir(dir string) (string, error) {
	path := filepath.Join(dir, runLink)
	target, err := filepath.EvalSymlinks(path)
	if err == nil && ownDir(target) == nil {
		return target, makeRunDirs(target)
	}
	// Nothing, or a link to what went with the machine's memory.
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(dir))
	name := "roadstead-" + hex.EncodeToString(sum[:8])
	for _, memory := range []string{"/run", "/dev/shm"} {
		var fs unix.Statfs_t
		if unix.Statfs(memory, &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
			continue
		}
		target := filepath.Join(memory, name)
		if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			continue
		}
		// Others may write in /dev/shm, and could have taken the name.
		if ownDir(target) != nil {
			continue
		}
		if err := os.Symlink(target, path); err != nil {
			return "", err
		}
		return target, makeRunDirs(target)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	return path, makeRunDirs(path)
}

// ownDir says whether a path is a directory that only we may use.
func ownDir(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o777 != 0o700 || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not ours alone", path)
	}
	return nil
}

func makeRunDirs(dir string) error {
	for _, name := range []string{bundlesDir, stateDir} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// closeRunDir removes the run directory if no container needs it any more.
func (m *Monitor) closeRunDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.containers) > 0 {
		return nil
	}
	return errors.Join(os.RemoveAll(m.runDir), os.RemoveAll(filepath.Join(m.cfg.Dir, runLink)))
}
