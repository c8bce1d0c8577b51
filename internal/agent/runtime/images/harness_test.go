package images

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// newStore opens a store in a directory of its own, or in dir.
func newStore(t *testing.T, dir string, change ...func(*Config)) *Store {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	cfg := Config{Dir: dir, Backoff: time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// testRegistry is a registry on loopback. If set, around stands between it and its clients.
type testRegistry struct {
	host   string
	around func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func newRegistry(t *testing.T) *testRegistry {
	t.Helper()
	reg := &testRegistry{}
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reg.around != nil && r.Header.Get("User-Agent") != pusher {
			reg.around(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	reg.host = strings.TrimPrefix(srv.URL, "http://")
	return reg
}

// pusher marks the requests by which a test fills its registry.
const pusher = "go-containerregistry"

type asPusher struct{}

func (asPusher) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", pusher)
	return http.DefaultTransport.RoundTrip(r)
}

func (reg *testRegistry) push(t *testing.T, path string, what remote.Taggable) string {
	t.Helper()
	ref, err := name.ParseReference(reg.host + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	switch img := what.(type) {
	case v1.Image:
		err = remote.Write(ref, img, remote.WithTransport(asPusher{}))
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, img, remote.WithTransport(asPusher{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

type file struct{ name, body string }

// layer is a layer of files, in a form that its name's digest is of.
func layer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.body)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testImage is an image of layers for a platform, this machine's if empty.
func testImage(t *testing.T, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	if arch == "" {
		arch = thisMachine().(machine).architecture
	}
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", arch
	cf.Config = v1.Config{
		Entrypoint: []string{"/bin/app"}, Cmd: []string{"serve"}, Env: []string{"A=1"}, User: "7:8", WorkingDir: "/srv",
		StopSignal: "SIGINT", Volumes: map[string]struct{}{"/z": {}, "/a": {}},
	}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	return img
}

func digestString(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// contents reads a file from an image's layers, topmost first.
func contents(t *testing.T, layers []string, name string) string {
	t.Helper()
	for _, dir := range layers {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return string(b)
		}
	}
	t.Errorf("no %s in %v", name, layers)
	return ""
}

func archiveOf(t *testing.T, images map[string]v1.Image) *bytes.Buffer {
	t.Helper()
	refs := map[name.Reference]v1.Image{}
	for n, img := range images {
		ref, err := name.NewTag(n)
		if err != nil {
			t.Fatal(err)
		}
		refs[ref] = img
	}
	var b bytes.Buffer
	if err := tarball.MultiRefWrite(refs, &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

// blobs counts what is in the content store, and snapshots what the snapshotter has.
func (s *Store) blobsAndSnapshots(t *testing.T) (blobs, dirs int) {
	t.Helper()
	s.busy.settle()
	ctx, cancel := s.context(context.Background())
	defer cancel()
	if err := s.back.content.Walk(ctx, func(content.Info) error { blobs++; return nil }); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(filepath.Join(s.cfg.Dir, "snapshots", "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	return blobs, len(list)
}
