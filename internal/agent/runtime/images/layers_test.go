package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func layerOf(t *testing.T, headers ...*tar.Header) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := h.Uname // a place to carry a file's text; the name is not kept
		h.Uname, h.Size = "", int64(len(body))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
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

// mountLayers mounts an image's layers as a container would have them.
func mountLayers(t *testing.T, layers []string) string {
	t.Helper()
	target := t.TempDir()
	if len(layers) == 1 {
		layers = append(layers, t.TempDir())
	}
	if err := syscall.Mount("overlay", target, "overlay", syscall.MS_RDONLY, "lowerdir="+strings.Join(layers, ":")); err != nil {
		t.Fatalf("mount (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
	return target
}

// TestLayers sees what a container would, of layers that hide files of those below, which are unpacked side by side.
func TestLayers(t *testing.T) {
	s := newStore(t, "")
	img := testImage(t, "",
		layerOf(t, &tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, &tar.Header{Name: "d/gone", Mode: 0o644, Uname: "x"},
			&tar.Header{Name: "o/", Typeflag: tar.TypeDir, Mode: 0o755}, &tar.Header{Name: "o/hidden", Mode: 0o644, Uname: "x"}, &tar.Header{Name: "top", Mode: 0o644, Uname: "1"},
			&tar.Header{Name: "was-file", Mode: 0o644, Uname: "x"}),
		layerOf(t, &tar.Header{Name: "d/.wh.gone", Mode: 0o644}, &tar.Header{Name: "o/", Typeflag: tar.TypeDir, Mode: 0o711}, &tar.Header{Name: "o/.wh..wh..opq", Mode: 0o644},
			&tar.Header{Name: "o/new", Mode: 0o644, Uname: "n"}, &tar.Header{Name: "top", Mode: 0o640, Uname: "2", Uid: 12, Gid: 34},
			&tar.Header{Name: "was-file/", Typeflag: tar.TypeDir, Mode: 0o755}, &tar.Header{Name: "was-file/now", Mode: 0o644, Uname: "d"}),
		layerOf(t, &tar.Header{Name: "su", Mode: 0o4755, Uname: "s"}, &tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
			&tar.Header{Name: "hard", Mode: 0o4755, Typeflag: tar.TypeLink, Linkname: "su"}, &tar.Header{Name: "soft", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
			&tar.Header{Name: "cap", Mode: 0o755, Uname: "c", PAXRecords: map[string]string{"SCHILY.xattr.user.test": "value"}}))
	root := mountLayers(t, mustImport(t, s, map[string]v1.Image{"app": img})[0].Layers)
	for name, want := range map[string]string{"top": "2", "o/new": "n", "was-file/now": "d", "su": "s", "hard": "s"} {
		if b, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	for _, name := range []string{"d/gone", "o/hidden", "d/.wh.gone", "o/.wh..wh..opq"} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(root, "top"), &st); err != nil || st.Uid != 12 || st.Gid != 34 || st.Mode&0o7777 != 0o640 {
		t.Errorf("top: %+v %v", st, err)
	}
	for name, mode := range map[string]uint32{"su": 0o4755, "tmp": 0o1777, "o": 0o711} {
		if err := syscall.Stat(filepath.Join(root, name), &st); err != nil || st.Mode&0o7777 != mode {
			t.Errorf("%s: mode %o, %v", name, st.Mode&0o7777, err)
		}
	}
	if link, err := os.Readlink(filepath.Join(root, "soft")); err != nil || link != "/etc/passwd" {
		t.Errorf("%q %v", link, err)
	}
}

// TestManyLayers: 120 layers, each over the file of the one before, and none at all.
func TestManyLayers(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	layers := make([]v1.Layer, 120)
	for i := range layers {
		layers[i] = layer(t, file{"v", fmt.Sprint(i)}, file{fmt.Sprintf("f%d", i), "x"})
	}
	got, err := s.Pull(t.Context(), reg.push(t, "many", testImage(t, "", layers...)), runtime.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Layers) != len(layers) {
		t.Fatalf("%d layers", len(got.Layers))
	}
	for i, dir := range got.Layers {
		if b, err := os.ReadFile(filepath.Join(dir, "v")); err != nil || string(b) != fmt.Sprint(len(layers)-1-i) {
			t.Fatalf("layer %d from the top is %s, %v", i, b, err)
		}
	}
	none, err := s.Pull(t.Context(), reg.push(t, "none", testImage(t, "")), runtime.PullOptions{})
	if err != nil || len(none.Layers) != 1 {
		t.Fatalf("an image without layers: %+v %v", none, err)
	}
	if files, err := os.ReadDir(none.Layers[0]); err != nil || len(files) > 0 {
		t.Errorf("%v %v", files, err)
	}
}

// BenchmarkPullWarm is what starting a container costs of an image that is here.
func BenchmarkPullWarm(b *testing.B) {
	s, err := Open(b.Context(), Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var t testing.T
	if _, err := s.Import(b.Context(), archiveOf(&t, map[string]v1.Image{"app": testImage(&t, "", layer(&t, file{"v", "1"}))})); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		image, err := s.Pull(b.Context(), "app", runtime.PullOptions{})
		if err != nil {
			b.Fatal(err)
		}
		holder := fmt.Sprintf("c%d", i%100)
		s.Hold(image, holder)
		s.Release(holder)
		i++
	}
}

// BenchmarkPullCold pulls an image of five layers of 8 MiB from a registry on loopback.
func BenchmarkPullCold(b *testing.B) {
	s, err := Open(b.Context(), Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var t testing.T
	var layers []v1.Layer
	for range 5 {
		l, err := random.Layer(8<<20, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		if err != nil {
			b.Fatal(err)
		}
		layers = append(layers, l)
	}
	reg := &testRegistry{}
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	reg.host = strings.TrimPrefix(srv.URL, "http://")
	ref := reg.push(&t, "app", testImage(&t, "", layers...))
	b.SetBytes(40 << 20)
	for b.Loop() {
		if _, err := s.Pull(b.Context(), ref, runtime.PullOptions{}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Remove(b.Context(), ref); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
