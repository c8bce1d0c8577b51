package images

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// startContainerd runs Debian's containerd in directories of the test's own, without what isn't needed of it.
func startContainerd(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("containerd")
	if err != nil {
		t.Fatal("containerd is not here: install Debian's package containerd")
	}
	// A unix socket's path is short, so the test's own directory may be too long.
	dir, err := os.MkdirTemp("", "rs-containerd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "c.sock")
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"]
[grpc]
  address = %q
[ttrpc]
  address = %q
[debug]
  level = "warn"
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, socket+".ttrpc")
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config", path)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
		if time.Now().After(deadline) {
			t.Fatal("containerd does not listen")
		}
	}
}

// TestExternal runs the main path against a containerd in another process, of an older version, too.
func TestExternal(t *testing.T) {
	address := startContainerd(t)
	open := func() *Store {
		return newStore(t, filepath.Join(filepath.Dir(address), "store"), func(c *Config) { c.Address, c.Grace = address, time.Nanosecond })
	}
	s, reg := open(), newRegistry(t)
	ref := reg.push(t, "app", testImage(t, "", layer(t, file{"one", "1"}, file{"v", "0"}), layer(t, file{"v", "1"})))
	old, err := s.Pull(t.Context(), ref, runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(old.Layers) != 2 || contents(t, old.Layers, "v") != "1" || contents(t, old.Layers, "one") != "1" || old.Config.User != "7:8" {
		t.Errorf("%+v", old)
	}
	s.Hold(old, "c1")
	reg.push(t, "app", testImage(t, "", layer(t, file{"v", "2"})))
	recent, err := s.Pull(t.Context(), ref, runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, map[string]v1.Image{"imported": testImage(t, "", layer(t, file{"v", "3"}))})
	s.busy.settle()
	if contents(t, old.Layers, "v") != "1" || contents(t, recent.Layers, "v") != "2" {
		t.Error("mixed up")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	got, err := s.Pull(t.Context(), "imported", runtime.PullOptions{})
	if err != nil || contents(t, got.Layers, "v") != "3" {
		t.Errorf("%v", err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("%v %v", list, err)
	}
	s.Settle(func(string) bool { return false })
	s.busy.settle()
	if err := s.Remove(t.Context(), "imported"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	for _, i := range []*runtime.Image{old, recent, got} {
		if _, err := os.Stat(i.Layers[0]); err == nil {
			t.Errorf("%s: its layer is still there", i.Name)
		}
	}
	if _, err := Open(t.Context(), Config{Dir: t.TempDir(), Address: "/nowhere/c.sock"}); err == nil || !strings.Contains(err.Error(), "containerd at /nowhere/c.sock") {
		t.Errorf("nobody there: %v", err)
	}
}
