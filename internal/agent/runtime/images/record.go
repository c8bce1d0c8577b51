package images

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// entry is an image that is ready. It is never changed.
type entry struct {
	image    runtime.Image
	record   images.Image
	imported bool
	// key is the manifest's digest, by which it is held.
	key string
}

// as gives the image by the name it was asked for.
func (e *entry) as(name string) *runtime.Image {
	if name == e.image.Name {
		return &e.image
	}
	i := e.image
	i.Name = name
	return &i
}

// record writes an image's record, by which it comes to be. One that had the name before stays, without a name, for as long
// as it is held or may be about to be.
func (s *Store) record(ctx context.Context, r images.Image) (*entry, error) {
	if err := s.locks.Lock(ctx, "image:"+r.Name); err != nil {
		return nil, err
	}
	defer s.locks.Unlock("image:" + r.Name)
	if old := s.cached(r.Name); old != nil && old.key != r.Labels[labelManifest] {
		if err := s.keepReplaced(ctx, old); err != nil {
			return nil, err
		}
	}
	return s.put(ctx, r)
}

func (s *Store) put(ctx context.Context, r images.Image) (*entry, error) {
	written, err := s.back.images.Create(ctx, r)
	if errdefs.IsAlreadyExists(err) {
		written, err = s.back.images.Update(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("record image %s: %w", r.Name, err)
	}
	e, err := s.load(ctx, written)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", r.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready[r.Name] = e
	return e, nil
}

// load reads an image that was recorded.
func (s *Store) load(ctx context.Context, r images.Image) (*entry, error) {
	e := &entry{record: r, key: r.Labels[labelManifest], imported: r.Labels[LabelImported] != ""}
	var manifest ocispec.Manifest
	if err := s.readJSON(ctx, ocispec.Descriptor{MediaType: "manifest", Digest: digest.Digest(e.key)}, manifestLimit, nil, &manifest); err != nil {
		return nil, err
	}
	var config ocispec.Image
	if err := s.readJSON(ctx, manifest.Config, configLimit, nil, &config); err != nil {
		return nil, err
	}
	layers, err := s.layers(ctx, r.Labels[labelView])
	if err != nil {
		return nil, err
	}
	if err := present(layers); err != nil {
		return nil, err
	}
	e.image = runtime.Image{
		Name: r.Name, Digest: e.key, Layers: layers, Created: r.CreatedAt, Size: manifest.Config.Size,
		Config: runtime.ImageConfig{
			Entrypoint: config.Config.Entrypoint, Cmd: config.Config.Cmd, Env: config.Config.Env,
			User: config.Config.User, WorkingDir: config.Config.WorkingDir, StopSignal: config.Config.StopSignal,
			Volumes:      slices.Sorted(maps.Keys(config.Config.Volumes)),
			Architecture: config.Architecture, OS: config.OS,
		},
	}
	if d := digestOf(r.Name); d != "" {
		e.image.Digest = d.String()
	}
	if config.Created != nil {
		e.image.Created = *config.Created
	}
	for _, l := range manifest.Layers {
		e.image.Size += l.Size
	}
	return e, nil
}

// present sees that the directories are where the snapshotter says they are.
func present(layers []string) error {
	for _, dir := range layers {
		if info, err := os.Stat(dir); err != nil {
			return fmt.Errorf("layer: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("layer %s is not a directory", dir)
		}
	}
	return nil
}
