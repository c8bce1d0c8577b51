package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func TestImport(t *testing.T) {
	s := newStore(t, "")
	img := testImage(t, "", layer(t, file{"v", "1"}))
	zipped := new(bytes.Buffer)
	z := gzip.NewWriter(zipped)
	if _, err := z.Write(archiveOf(t, map[string]v1.Image{"zipped/app:1": img}).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	other := testImage(t, "", layer(t, file{"v", "2"}))
	for _, c := range []struct {
		name, as string
		archive  io.Reader
		want     []string
	}{
		{"docker", "", archiveOf(t, map[string]v1.Image{"app:1": img, "also:latest": img, "example.com/x/other": other}), []string{"docker.io/library/also:latest", "docker.io/library/app:1", "example.com/x/other:latest"}},
		{"compressed", "", zipped, []string{"docker.io/zipped/app:1"}},
		{"OCI", "", ociArchive(t, img, "team/oci:2"), []string{"docker.io/team/oci:2"}},
		{"OCI without a name", "named:3", ociArchive(t, img, ""), []string{"docker.io/library/named:3"}},
		{"OCI with a tag", "named:4", ociArchive(t, img, "latest"), []string{"docker.io/library/named:4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := s.ImportAs(t.Context(), c.archive, c.as)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, i := range list {
				got[i.Name] = true
				if v := contents(t, i.Layers, "v"); v == "" {
					t.Error("no file")
				}
				// An imported image is in no registry, and is not asked for.
				if p, err := s.Pull(t.Context(), i.Name, runtime.PullOptions{}); err != nil || p.Digest != i.Digest {
					t.Errorf("pull of an imported image: %v", err)
				}
			}
			for _, w := range c.want {
				if !got[w] {
					t.Errorf("no %s in %v", w, got)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// ociArchive is an OCI layout in a tar, by a ref.name.
func ociArchive(t *testing.T, img v1.Image, refName string) io.Reader {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	var opts []layout.Option
	if refName != "" {
		opts = append(opts, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": refName}))
	}
	if err := p.AppendImage(img, opts...); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tar", "-C", dir, "-c", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(out)
}

func TestImportOfOtherPlatforms(t *testing.T) {
	s := newStore(t, "")
	_, err := s.Import(t.Context(), archiveOf(t, map[string]v1.Image{"app": testImage(t, "s390x", layer(t, file{"v", "1"}))}))
	if err == nil || !strings.Contains(err.Error(), "docker.io/library/app:latest has no manifest for linux/") || !strings.Contains(err.Error(), "it has: linux/s390x") {
		t.Error(err)
	}
	nothingIn(t, s)
}

// nothingIn sees that there is no image, and nothing half stored.
func nothingIn(t *testing.T, s *Store) {
	t.Helper()
	if list, err := s.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("%d images, %v", len(list), err)
	}
	if blobs, dirs := s.blobsAndSnapshots(t); blobs != 0 || dirs != 0 {
		t.Errorf("%d blobs and %d snapshots are left", blobs, dirs)
	}
	ctx, cancel := s.context(context.Background())
	defer cancel()
	if list, err := s.back.content.ListStatuses(ctx); err != nil || len(list) > 0 {
		t.Errorf("%d ingests, %v", len(list), err)
	}
}

// hostile is a tar of entries as they come.
func hostile(t *testing.T, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImportOfWhatIsNotAnImage(t *testing.T) {
	whole := archiveOf(t, map[string]v1.Image{"app": testImage(t, "", layer(t, file{"v", strings.Repeat("x", 5000)}))}).Bytes()
	manifest := func(text string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	many := make([]*tar.Header, archiveEntries+1)
	for i := range many {
		many[i] = &tar.Header{Name: "d/", Typeflag: tar.TypeDir}
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "empty"},
		{"no tar", bytes.Repeat([]byte("this is not a tar. "), 200), "read tar"},
		{"no image", hostile(t, &tar.Header{Name: "readme", Typeflag: tar.TypeReg, Size: 10}), "unrecognized image format"},
		{"truncated", whole[:len(whole)/2], ""},
		{"half a gzip", func() []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			if _, err := z.Write(whole); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()[:b.Len()/2]
		}(), ""},
		{"outside", hostile(t, &tar.Header{Name: "../../etc/passwd", Typeflag: tar.TypeReg, Size: 3}), "outside of the archive"},
		{"absolute", hostile(t, &tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg, Size: 3}), "outside of the archive"},
		{"link", hostile(t, &tar.Header{Name: "l", Linkname: "../../etc", Typeflag: tar.TypeSymlink}), "leads out of the archive"},
		{"device", hostile(t, &tar.Header{Name: "null", Typeflag: tar.TypeChar}), "neither a file nor a directory"},
		{"many", hostile(t, many...), "more than 20000 files"},
		{"malformed manifest", manifest("[{"), "manifest"},
		{"missing layer", manifest(`[{"Config":"c","RepoTags":["a:b"],"Layers":["l"]}]`), "not found"},
		{"nothing in it", manifest(`[]`), "no image"},
		{"null", manifest(`[null]`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, "")
			_, err := s.Import(t.Context(), bytes.NewReader(c.data))
			if err == nil || !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			nothingIn(t, s)
		})
	}
}

// TestImportOfALyingLayer: a layer whose files would be outside of it, and one that isn't what the config says.
func TestImportOfALyingLayer(t *testing.T) {
	s := newStore(t, "")
	out := filepath.Join(filepath.Dir(s.cfg.Dir), "escaped")
	img := testImage(t, "", layer(t, file{"../../../../../../../../../../.." + out, "x"}, file{"v", "1"}))
	if _, err := s.Import(t.Context(), archiveOf(t, map[string]v1.Image{"app": img})); err != nil {
		t.Logf("refused: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a layer wrote outside of the store")
	}
	wrong := testImage(t, "", layer(t, file{"v", "2"}))
	cf, err := wrong.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64)
	if wrong, err = mutate.ConfigFile(wrong, cf); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), archiveOf(t, map[string]v1.Image{"wrong": wrong})); err == nil || !strings.Contains(err.Error(), "wrong diff id") {
		t.Error(err)
	}
	if _, err := s.Pull(t.Context(), "wrong", runtime.PullOptions{Policy: runtime.PullPreferCached}); err == nil {
		t.Error("it is here")
	}
}
