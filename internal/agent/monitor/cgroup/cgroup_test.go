package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

func TestParse(t *testing.T) {
	const v1 = `30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 24 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 24 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
40 24 0:27 /docker/abc /var/somewhere rw - cgroup cgroup rw,memory
`
	const v2 = "33 24 0:29 / /sys/fs/cgroup/unified rw,relatime shared:1 master:2 - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		mountinfo, memory string
		mounts            int
		unified           bool
	}{
		"v1": {v1, "/sys/fs/cgroup/memory", 3, false}, "hybrid": {v1 + v2, "/sys/fs/cgroup/memory", 3, false}, "v2": {v2, "/sys/fs/cgroup/unified", 1, true},
	} {
		h, err := parse([]byte(c.mountinfo))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.memory != c.memory || len(h.mounts) != c.mounts || h.Unified() != c.unified {
			t.Errorf("%s: %+v", name, h)
		}
	}
	if _, err := parse([]byte("1 1 0:1 / / rw - ext4 /dev/vda rw\nnonsense\n")); err == nil {
		t.Error("cgroups were found where there are none")
	}
}

// TestTree uses plain directories as trees: what is in them is read and removed alike.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	h := &Hierarchies{mounts: []string{dir}, memory: dir, unified: true}
	for path, content := range map[string]string{"a/b/cgroup.procs": "", "a/b/c/cgroup.procs": "17\n4\n", "a/b/memory.events": "low 0\noom 4\noom_kill 3\n"} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if pids, err := h.Processes("/a/b"); err != nil || len(pids) != 2 || pids[0] != 17 {
		t.Errorf("Processes: %v, %v", pids, err)
	}
	if pids, err := h.Processes("/gone"); err != nil || len(pids) != 0 {
		t.Errorf("Processes of none: %v, %v", pids, err)
	}
	if kills, err := h.OOMKills("/a/b"); err != nil || kills != 3 {
		t.Errorf("OOMKills: %d, %v", kills, err)
	}
	if err := h.Remove("/gone"); err != nil {
		t.Errorf("Remove of none: %v", err)
	}
}

// TestRemove makes and removes real cgroups.
func TestRemove(t *testing.T) {
	h, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	name := "/roadstead-cgroup-test"
	for _, mount := range h.mounts {
		if err := os.MkdirAll(filepath.Join(mount, name, "x", "y"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.RemoveEmpty(name) // which it is not
	for _, mount := range h.mounts {
		if _, err := os.Stat(filepath.Join(mount, name, "x")); err != nil {
			t.Error(err)
		}
	}
	if err := h.Remove(name + "/x"); err != nil {
		t.Error(err)
	}
	h.RemoveEmpty(name)
	for _, mount := range h.mounts {
		if _, err := os.Stat(filepath.Join(mount, name)); !os.IsNotExist(err) {
			t.Errorf("left: %v", err)
		}
	}
}
