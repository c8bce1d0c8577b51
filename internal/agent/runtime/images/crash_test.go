package images

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// victim is what the child process of TestKilled is told in its environment.
type victim struct {
	Dir     string
	Refs    []string
	Archive string
}

// TestMain lets the test's binary be the process that is killed.
func TestMain(m *testing.M) {
	if told := os.Getenv("ROADSTEAD_TEST_VICTIM"); told != "" {
		if err := beVictim(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beVictim pulls, imports and removes for ever, and says which images it was told are here.
func beVictim(told string) error {
	var v victim
	if err := json.Unmarshal([]byte(told), &v); err != nil {
		return err
	}
	s, err := Open(context.Background(), Config{Dir: v.Dir, Grace: time.Nanosecond})
	if err != nil {
		return err
	}
	fmt.Println("open")
	for i := 0; ; i++ {
		for _, ref := range v.Refs {
			if _, err := s.Pull(context.Background(), ref, runtime.PullOptions{Policy: runtime.PullAlways}); err != nil {
				return err
			}
			fmt.Println("have", ref)
		}
		archive, err := os.Open(v.Archive)
		if err != nil {
			return err
		}
		if _, err := s.Import(context.Background(), archive); err != nil {
			return err
		}
		archive.Close()
		fmt.Println("have", "docker.io/library/imported:latest")
		for _, name := range append([]string{"imported"}, v.Refs[i%len(v.Refs)]) {
			fmt.Println("removing", name)
			if err := s.Remove(context.Background(), name); err != nil {
				return err
			}
		}
	}
}

// TestKilled kills a process that pulls, imports and removes, at any moment: whatever is listed afterwards is whole, and
// what it was told is here is here.
func TestKilled(t *testing.T) {
	reg, dir := newRegistry(t), t.TempDir()
	v := victim{Dir: filepath.Join(dir, "images"), Archive: filepath.Join(dir, "archive.tar")}
	base := layer(t, file{"base", "b"})
	for i := range 3 {
		data, err := random.Layer(200<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		if err != nil {
			t.Fatal(err)
		}
		v.Refs = append(v.Refs, reg.push(t, fmt.Sprintf("app%d:1", i), testImage(t, "", base, data, layer(t, file{"v", fmt.Sprint(i)}))))
	}
	tar := archiveOf(t, map[string]v1.Image{"imported": testImage(t, "", base, layer(t, file{"v", "imported"}))})
	if err := os.WriteFile(v.Archive, tar.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	kills := 15
	if testing.Short() {
		kills = 3
	}
	for range kills {
		have := killOne(t, v)
		s := newStore(t, v.Dir)
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]bool{}
		for _, i := range list {
			listed[i.Name] = true
			contents(t, i.Layers, "base")
			contents(t, i.Layers, "v")
		}
		for name := range have {
			if !listed[name] {
				t.Errorf("%s was here before the kill", name)
			}
		}
		for _, i := range list {
			if err := s.Remove(t.Context(), i.Name); err != nil {
				t.Error(err)
			}
		}
		nothingIn(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killOne runs a victim, kills it after a while and gives the images that it had for sure.
func killOne(t *testing.T, v victim) map[string]bool {
	t.Helper()
	told, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ROADSTEAD_TEST_VICTIM="+string(told))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		verb, name, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "open":
			after := time.Duration(rand.IntN(150)) * time.Millisecond
			time.AfterFunc(after, func() {
				if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Error(err)
				}
			})
		case "have":
			have[name] = true
		case "removing":
			if full, err := Normalize(name); err == nil {
				delete(have, full)
			}
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Errorf("it ended by itself: %v %s", err, stderr.Bytes())
	}
	return have
}

// TestFullDisk pulls and imports onto a filesystem without room, and again when there is.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Fatalf("mount a small filesystem (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := newStore(t, dir)
	t.Cleanup(func() { s.Close() }) // before the filesystem goes
	data, err := random.Layer(2<<20, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	img, reg := testImage(t, "", data, layer(t, file{"v", "1"})), newRegistry(t)
	ref := reg.push(t, "app", img)
	full := func(err error) {
		t.Helper()
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "disk of the image store is full") {
			t.Errorf("got %v", err)
		}
		nothingIn(t, s)
	}
	_, err = s.Pull(t.Context(), ref, runtime.PullOptions{})
	full(err)
	_, err = s.Import(t.Context(), archiveOf(t, map[string]v1.Image{"imported": img}))
	full(err)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Pull(t.Context(), ref, runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	contents(t, got.Layers, "v")
}
