package images

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// TestTogether pulls, imports, holds and removes images that share layers from many goroutines. Whoever holds an image
// that is there has its layers until it lets go, whatever the others do.
func TestTogether(t *testing.T) {
	reg := newRegistry(t)
	s := newStore(t, "", func(c *Config) { c.Grace = time.Nanosecond })
	base, middle := layer(t, file{"base", "b"}), layer(t, file{"middle", "m"})
	var refs []string
	for i := range 3 {
		refs = append(refs, reg.push(t, fmt.Sprintf("app%d:1", i), testImage(t, "", base, middle, layer(t, file{"v", fmt.Sprint(i)}))))
	}
	archive := archiveOf(t, map[string]v1.Image{"imported": testImage(t, "", base, layer(t, file{"v", "i"}))}).Bytes()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for n := range 12 {
				ref := refs[random.IntN(len(refs))]
				switch random.IntN(4) {
				case 0:
					if err := s.Remove(t.Context(), ref); err != nil && !errors.Is(err, ErrInUse) && !errors.Is(err, runtime.ErrNotFound) {
						t.Error(err)
					}
				case 1:
					if _, err := s.Import(t.Context(), bytes.NewReader(archive)); err != nil {
						t.Error(err)
					}
				default:
					image, err := s.Pull(t.Context(), ref, runtime.PullOptions{Policy: runtime.PullPreferCached})
					if err != nil {
						t.Error(err)
						continue
					}
					useHeld(t, s, image, fmt.Sprintf("c%d-%d", g, n))
				}
			}
		})
	}
	wg.Wait()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		contents(t, i.Layers, "v")
		if err := s.Remove(t.Context(), i.Name); err != nil {
			t.Error(err)
		}
	}
	nothingIn(t, s)
}

func useHeld(t *testing.T, s *Store, image *runtime.Image, holder string) {
	s.Hold(image, holder)
	defer s.Release(holder)
	if e := s.cached(image.Name); e == nil || e.image.Layers[0] != image.Layers[0] {
		return // removed before it was held
	}
	for range 20 {
		for _, dir := range image.Layers {
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("held, but gone: %v", err)
				return
			}
		}
		if b, err := os.ReadFile(filepath.Join(image.Layers[len(image.Layers)-1], "base")); err != nil || string(b) != "b" {
			t.Errorf("held, but gone: %q %v", b, err)
		}
	}
}

// FuzzImport: whatever an archive says, an import fails clearly and leaves nothing, or gives whole images.
func FuzzImport(f *testing.F) {
	var t testing.T
	whole := archiveOf(&t, map[string]v1.Image{"app": testImage(&t, "", layer(&t, file{"v", "1"}))}).Bytes()
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("junk"))
	s, err := Open(f.Context(), Config{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := s.Import(t.Context(), bytes.NewReader(data))
		if err != nil && len(list) > 0 {
			t.Errorf("%d images and %v", len(list), err)
		}
		for _, i := range list {
			if err := s.Remove(t.Context(), i.Name); err != nil && !errors.Is(err, runtime.ErrNotFound) {
				t.Error(err)
			}
		}
		nothingIn(t, s)
	})
}
