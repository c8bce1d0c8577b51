package images

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a manifest or config may be at most: containerd's own limit for manifests, and much more than any real config. They
// are read into memory.
const (
	manifestLimit = 4 << 20
	configLimit   = 8 << 20
	// layerLimit is how many lower directories an overlay can have.
	layerLimit = 500
	indexDepth = 3
)

// chosen is the image for this machine's platform among those that a name stands for.
type chosen struct {
	// target is what the name stands for, an index or a manifest; path is from it to the manifest, both included.
	target   ocispec.Descriptor
	path     []ocispec.Descriptor
	manifest ocispec.Manifest
	config   ocispec.Image
}

func (c *chosen) desc() ocispec.Descriptor { return c.path[len(c.path)-1] }

// size is how many bytes are to be downloaded for it.
func (c *chosen) size() int64 {
	n := c.manifest.Config.Size
	for _, l := range c.manifest.Layers {
		n += l.Size
	}
	return n
}

// choose finds the manifest for this machine under target. get makes a blob available in the store.
func (s *Store) choose(ctx context.Context, name string, target ocispec.Descriptor, get func(context.Context, ocispec.Descriptor) error) (*chosen, error) {
	c := &chosen{target: target}
	for desc := target; ; {
		c.path = append(c.path, desc)
		switch {
		case images.IsManifestType(desc.MediaType):
			return c, s.readManifest(ctx, name, c, get)
		case !images.IsIndexType(desc.MediaType):
			return nil, fmt.Errorf("%s is not an image: media type %q is not supported", name, desc.MediaType)
		case len(c.path) > indexDepth:
			return nil, fmt.Errorf("%s: indexes are nested too deeply", name)
		}
		var index ocispec.Index
		if err := s.readJSON(ctx, desc, manifestLimit, get, &index); err != nil {
			return nil, err
		}
		next, err := s.pick(name, index.Manifests)
		if err != nil {
			return nil, err
		}
		desc = next
	}
}

func (s *Store) readManifest(ctx context.Context, name string, c *chosen, get func(context.Context, ocispec.Descriptor) error) error {
	if err := s.readJSON(ctx, c.desc(), manifestLimit, get, &c.manifest); err != nil {
		return err
	}
	if n := len(c.manifest.Layers); n > layerLimit {
		return fmt.Errorf("image %s has %d layers, more than the %d that can be mounted", name, n, layerLimit)
	}
	if !images.IsConfigType(c.manifest.Config.MediaType) {
		return fmt.Errorf("%s is not a container image: its config is of type %q", name, c.manifest.Config.MediaType)
	}
	for _, l := range c.manifest.Layers {
		if !images.IsLayerType(l.MediaType) {
			return fmt.Errorf("%s is not a container image: it has a layer of type %q", name, l.MediaType)
		}
		if l.Size < 0 {
			return fmt.Errorf("image %s: layer %s has size %d", name, l.Digest, l.Size)
		}
	}
	if err := s.readJSON(ctx, c.manifest.Config, configLimit, get, &c.config); err != nil {
		return err
	}
	if n, m := len(c.manifest.Layers), len(c.config.RootFS.DiffIDs); n != m {
		return fmt.Errorf("image %s has %d layers, but its config speaks of %d", name, n, m)
	}
	if has := c.config.Platform; has.OS != "" && has.Architecture != "" && !s.platform.Match(has) {
		return mismatch(name, []string{platforms.Format(has)})
	}
	return nil
}

// pick gives the manifest of an index that fits this machine best.
func (s *Store) pick(name string, list []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var has []string
	var best *ocispec.Descriptor
	for i, d := range list {
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			continue
		}
		switch {
		case d.Platform == nil:
			// Its config will tell.
			if best == nil {
				best = &list[i]
			}
			continue
		case d.Platform.OS == "unknown":
			continue // an attestation
		}
		if p := platforms.Format(*d.Platform); !slices.Contains(has, p) {
			has = append(has, p)
		}
		if s.platform.Match(*d.Platform) && (best == nil || best.Platform == nil || s.platform.Less(*d.Platform, *best.Platform)) {
			best = &list[i]
		}
	}
	if best == nil {
		return ocispec.Descriptor{}, mismatch(name, has)
	}
	return *best, nil
}

// mismatch begins as AWS Fargate does: AWS's "CannotPullContainer task errors" page has it.
func mismatch(name string, has []string) error {
	want := platforms.Format(platforms.DefaultSpec())
	if len(has) == 0 {
		has = []string{"none"}
	}
	return fmt.Errorf("image Manifest does not contain descriptor matching platform '%s': image %s has no manifest for %s; it has: %s",
		want, name, want, strings.Join(has, ", "))
}

func (s *Store) readJSON(ctx context.Context, desc ocispec.Descriptor, limit int64, get func(context.Context, ocispec.Descriptor) error, into any) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("%s %q: %w", desc.MediaType, desc.Digest, err)
	}
	if desc.Size > limit {
		return fmt.Errorf("%s %s of %d bytes is too large", desc.MediaType, desc.Digest, desc.Size)
	}
	if get != nil {
		if err := get(ctx, desc); err != nil {
			return err
		}
	}
	info, err := s.back.content.Info(ctx, desc.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", desc.MediaType, err)
	}
	if info.Size > limit {
		return fmt.Errorf("%s %s of %d bytes is too large", desc.MediaType, desc.Digest, info.Size)
	}
	desc.Data = nil
	blob, err := content.ReadBlob(ctx, s.back.content, desc)
	if err != nil {
		return fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	if err := json.Unmarshal(blob, into); err != nil {
		return fmt.Errorf("%s %s is malformed: %w", desc.MediaType, desc.Digest, err)
	}
	return nil
}
