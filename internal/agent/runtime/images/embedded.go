package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// leaseLife ends the lease of a pull whose process died, in a containerd that lives on. ECS ends pulls after two hours.
	leaseLife = 3 * time.Hour
	// lockWait is how long another process may take to close the store.
	lockWait = 2 * time.Second
)

// openEmbedded puts containerd's stores together in this process. One process at a time can have them open.
func openEmbedded(ctx context.Context, dir string) (_ *backend, err error) {
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if errors.Is(err, bolt.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	blobs, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "snapshots")
	layers, err := overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
	if err != nil {
		return nil, err
	}
	// The lock is held, so whoever was unpacking is gone.
	meta := metadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{overlayName: layers})
	if err := meta.Init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read metadata: %w", err), layers.Close())
	}
	return &backend{
		content:     meta.ContentStore(),
		images:      metadata.NewImageStore(meta),
		snapshots:   meta.Snapshotter(overlayName),
		snapshotter: overlayName,
		// Layers are unpacked beside each other and put in order afterwards.
		capabilities: []string{snapshots.RebaseCap},
		leases:       metadata.NewLeaseManager(meta),
		applier:      apply.NewFileSystemApplier(meta.ContentStore()),
		collect: func(ctx context.Context) error {
			_, err := meta.GarbageCollect(ctx)
			return err
		},
		sync:  func() error { return syncFilesystem(root) },
		close: func() error { return errors.Join(layers.Close(), db.Close()) },
	}, nil
}

// syncFilesystem writes everything of a directory's filesystem to its disk.
func syncFilesystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", dir, err)
	}
	return nil
}
