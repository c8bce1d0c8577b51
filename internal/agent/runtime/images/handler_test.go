package images

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func TestManage(t *testing.T) {
	dir := t.TempDir()
	socket, cfg := filepath.Join(dir, "agent.sock"), Config{Dir: filepath.Join(dir, "images")}
	if _, err := Dial(t.Context(), socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no agent: %v", err)
	}
	use := func(m Manager) {
		t.Helper()
		defer func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}()
		list, err := m.ImportAs(t.Context(), archiveOf(t, map[string]v1.Image{"team/app:1": testImage(t, "", layer(t, file{"v", "1"}))}), "other/name:2")
		if err != nil || len(list) != 1 || list[0].Name != "docker.io/other/name:2" {
			t.Fatalf("%v %v", list, err)
		}
		got, err := m.List(t.Context())
		if err != nil || len(got) != 1 || got[0].Digest != list[0].Digest || got[0].Config.OS != "linux" || got[0].Size == 0 {
			t.Errorf("%v %v", got, err)
		}
		if _, err := m.ImportAs(t.Context(), bytes.NewReader([]byte("junk")), ""); !errors.Is(err, ErrArchive) {
			t.Errorf("junk: %v", err)
		}
		if err := m.Remove(t.Context(), "other/name:1"); !errors.Is(err, runtime.ErrNotFound) || !strings.Contains(err.Error(), "other/name:1") {
			t.Errorf("unknown: %v", err)
		}
		if err := m.Remove(t.Context(), "other/name:2"); err != nil {
			t.Error(err)
		}
		if err := m.Remove(t.Context(), "No Name"); !errors.Is(err, ErrName) {
			t.Errorf("no name: %v", err)
		}
	}
	direct, err := Manage(t.Context(), socket, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := direct.(*Store); !ok {
		t.Errorf("%T", direct)
	}
	use(direct)
	s := newStore(t, cfg.Dir)
	// An agent has the store open, but does not listen.
	if _, err := Manage(t.Context(), socket, cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Handler(s)}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	remote, err := Manage(t.Context(), socket, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := remote.(*Client); !ok {
		t.Errorf("%T", remote)
	}
	use(remote)
	img := mustImport(t, s, map[string]v1.Image{"held": testImage(t, "", layer(t, file{"v", "1"}))})[0]
	s.Hold(img, "c")
	remote, err = Manage(t.Context(), socket, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Remove(t.Context(), "held"); !errors.Is(err, ErrInUse) {
		t.Errorf("held: %v", err)
	}
}
