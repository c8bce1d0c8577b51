package images

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// The labels of an image's record. Together with its target they make the whole image, and they are written in one
// transaction: an image is there, unpacked and kept from garbage collection, or it is not.
const (
	// labelView names the snapshot by which the layers are kept.
	labelView = "roadstead.io/view"
	// labelManifest is the digest of the manifest for this machine.
	labelManifest = "roadstead.io/manifest"
	// LabelImported marks an image that came from an archive: no registry is asked for it by default.
	LabelImported = "roadstead.io/imported"
	// labelReplaced is the name that an image had which another has taken.
	labelReplaced = "roadstead.io/replaced"
	// labelKeep, with the snapshotter's name behind it, is containerd's: it keeps a snapshot and its parents.
	labelKeep = "containerd.io/gc.ref.snapshot."
)

// parallelDownloads is how many layers of one image are downloaded at a time.
const parallelDownloads = 4

// install unpacks an image and records it by the names. get makes a blob available in the store, nil if all are there.
// It is called within work.
func (s *Store) install(ctx context.Context, names []string, c *chosen, labels map[string]string, get func(context.Context, ocispec.Descriptor) error) ([]*entry, error) {
	if err := s.unpack(ctx, c, get); err != nil {
		return nil, err
	}
	view, err := s.view(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.back.sync(); err != nil {
		return nil, err
	}
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	all[labelView] = view
	all[labelKeep+s.back.snapshotter] = view
	all[labelManifest] = c.desc().Digest.String()
	entries := make([]*entry, 0, len(names))
	for _, name := range names {
		e, err := s.record(ctx, images.Image{Name: name, Target: c.target, Labels: all})
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// unpack fetches the layers that are not here yet and unpacks them, several at a time.
func (s *Store) unpack(ctx context.Context, c *chosen, get func(context.Context, ocispec.Descriptor) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u, err := unpack.NewUnpacker(ctx, s.back.content,
		unpack.WithUnpackPlatform(unpack.Platform{
			SnapshotterKey: s.back.snapshotter, Snapshotter: s.back.snapshots, Applier: s.back.applier,
			SnapshotterCapabilities: s.back.capabilities,
		}),
		unpack.WithDuplicationSuppressor(s.locks),
		unpack.WithLimiter(semaphore.NewWeighted(parallelDownloads)),
		unpack.WithUnpackLimiter(semaphore.NewWeighted(int64(max(2, runtime.GOMAXPROCS(0))))))
	if err != nil {
		return err
	}
	err = images.Dispatch(ctx, u.Unpack(s.handler(c, get)), nil, c.target)
	if err != nil {
		cancel()
	}
	// What the unpacker does goes on beside the dispatch and has to end before the lease does.
	_, unpackErr := u.Wait()
	if err == nil {
		err = unpackErr
	}
	return err
}

// handler fetches what is below a descriptor, says so in labels, by which it is kept, and gives it. Layers aren't kept
// once they are unpacked.
func (s *Store) handler(c *chosen, get func(context.Context, ocispec.Descriptor) error) images.Handler {
	fetch := func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if get == nil {
			return nil, nil
		}
		return nil, get(ctx, desc)
	}
	children := func(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		for i, d := range c.path[:len(c.path)-1] {
			if d.Digest == desc.Digest {
				return []ocispec.Descriptor{c.path[i+1]}, nil
			}
		}
		if desc.Digest != c.desc().Digest {
			return nil, nil
		}
		list := []ocispec.Descriptor{plain(c.manifest.Config)}
		for _, l := range c.manifest.Layers {
			list = append(list, plain(l))
		}
		return list, nil
	}
	return images.Handlers(images.HandlerFunc(fetch),
		images.SetChildrenMappedLabels(s.back.content, images.HandlerFunc(children), images.ChildGCLabelsFilterLayers))
}

// plain leaves of a descriptor what says which blob it is: not other addresses to fetch it from, which would let an image
// have the node ask for anything, nor annotations, of which some are orders to a snapshotter.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// view makes the snapshot that keeps an unpacked image's layers and tells where they are.
func (s *Store) view(ctx context.Context, c *chosen) (string, error) {
	chain := identity.ChainID(c.config.RootFS.DiffIDs).String()
	key := "roadstead-view-" + chain
	if chain == "" {
		key += "empty"
	}
	_, err := s.back.snapshots.View(ctx, key, chain)
	if errdefs.IsAlreadyExists(err) {
		// It is another image's with the same layers. The lease keeps it should that one be removed meanwhile.
		if l, ok := leases.FromContext(ctx); ok {
			err = s.back.leases.AddResource(ctx, leases.Lease{ID: l}, leases.Resource{ID: key, Type: "snapshots/" + s.back.snapshotter})
		}
	}
	if err != nil {
		return "", fmt.Errorf("keep layers of %s: %w", c.desc().Digest, err)
	}
	return key, nil
}

// layers gives the directories that a view's mounts are over, topmost first.
func (s *Store) layers(ctx context.Context, view string) ([]string, error) {
	mounts, err := s.back.snapshots.Mounts(ctx, view)
	if err != nil {
		return nil, err
	}
	if len(mounts) != 1 {
		return nil, fmt.Errorf("snapshotter %s: %d mounts for a view where one is needed", s.back.snapshotter, len(mounts))
	}
	return directories(mounts[0])
}

func directories(m mount.Mount) ([]string, error) {
	switch m.Type {
	case "bind":
		return []string{m.Source}, nil
	case "overlay":
		for _, o := range m.Options {
			if lower, ok := strings.CutPrefix(o, "lowerdir="); ok {
				return strings.Split(lower, ":"), nil
			}
		}
	}
	return nil, fmt.Errorf("a view's mount of type %q is not an overlay's: choose the overlayfs snapshotter", m.Type)
}
