package images

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
)

const overlayName = "overlayfs"

// labelLease marks the leases of this package.
const labelLease = "roadstead.io/lease"

// records are the images by name: containerd's images.Store, as far as it is used.
type records interface {
	List(ctx context.Context, filters ...string) ([]images.Image, error)
	Create(ctx context.Context, image images.Image) (images.Image, error)
	Update(ctx context.Context, image images.Image, fieldpaths ...string) (images.Image, error)
	Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error
}

// backend is what is used of containerd, in this process or in another.
type backend struct {
	content     content.Store
	images      records
	snapshots   snapshots.Snapshotter
	snapshotter string
	// capabilities are the snapshotter's, for the unpacker.
	capabilities []string
	leases       leases.Manager
	applier      diff.Applier
	// shared says that others may change what is in it.
	shared bool
	// collect removes what nothing refers to.
	collect func(context.Context) error
	// sync makes unpacked layers outlive the machine's sudden end.
	sync  func() error
	close func() error
}

func openBackend(ctx context.Context, cfg *Config) (*backend, error) {
	if cfg.Address != "" {
		return dialContainerd(ctx, cfg.Address, cfg.Snapshotter)
	}
	return openEmbedded(ctx, cfg.Dir)
}

// lease begins a lease: what is made under the context that it gives is kept until done is called.
func (b *backend) lease(ctx context.Context) (context.Context, func(), error) {
	l, err := b.leases.Create(ctx, leases.WithRandomID(), leases.WithLabel(labelLease, "true"), leases.WithExpiration(leaseLife))
	if err != nil {
		return ctx, nil, fmt.Errorf("create lease: %w", err)
	}
	done := func() {
		// A lease that stays does no harm: it ends at the next start, or when its time is over.
		_ = b.leases.Delete(context.WithoutCancel(ctx), l)
	}
	return leases.WithLease(ctx, l.ID), done, nil
}

// dropLeases ends the leases of an earlier process of ours.
func (b *backend) dropLeases(ctx context.Context) error {
	list, err := b.leases.List(ctx, `labels."`+labelLease+`"==true`)
	if err != nil {
		return err
	}
	for _, l := range list {
		if err := b.leases.Delete(ctx, l); err != nil {
			return err
		}
	}
	return nil
}
