package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const (
	// leaseLife ends the lease of a pull whose process died, in a containerd that lives on. ECS ends pulls after two hours.
	leaseLife = 3 * time.Hour
	// lockWait is how long another process may take to close the store.
	lockWait = 2 * time.Second
	// uncleanMark is a file that is there while the store is open, and after a process that did not close it.
	uncleanMark = "open"
)

// openEmbedded puts containerd's stores together in this process. One process at a time can have them open.
func openEmbedded(ctx context.Context, dir string) (_ *backend, err error) {
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	e := &embedded{dir: dir, root: filepath.Join(dir, "snapshots"), db: db}
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.close(false))
	}
	return &backend{
		content:     e.meta.ContentStore(),
		images:      metadata.NewImageStore(e.meta),
		snapshots:   e.meta.Snapshotter(overlayName),
		snapshotter: overlayName,
		// Layers are unpacked beside each other and put in order afterwards.
		capabilities: []string{snapshots.RebaseCap},
		leases:       metadata.NewLeaseManager(e.meta),
		applier:      apply.NewFileSystemApplier(e.meta.ContentStore()),
		collect: func(ctx context.Context) error {
			_, err := e.meta.GarbageCollect(ctx)
			return err
		},
		sync:  func() error { return syncFilesystem(e.root) },
		close: func() error { return e.close(true) },
	}, nil
}

// embedded is containerd's stores in this process. db is locked, so nobody else has them.
type embedded struct {
	dir, root string
	db        *bolt.DB
	layers    snapshots.Snapshotter
	blobs     content.Store
	meta      *metadata.DB
}

func (e *embedded) open(ctx context.Context) error {
	unclean, err := e.mark()
	if err != nil {
		return err
	}
	if unclean {
		// Downloads that were under way. What is left of one may be unreadable, and none is gone on with.
		if err := os.RemoveAll(filepath.Join(e.dir, "content", "ingest")); err != nil {
			return err
		}
	}
	// The content store makes it with the first blob, and cannot be walked before.
	if err := os.MkdirAll(filepath.Join(e.dir, "content", "blobs"), 0o700); err != nil {
		return err
	}
	if e.blobs, err = local.NewStore(filepath.Join(e.dir, "content")); err != nil {
		return err
	}
	if e.layers, err = overlay.NewSnapshotter(e.root, overlay.AsynchronousRemove); err != nil {
		return err
	}
	e.meta = metadata.NewDB(e.db, e.blobs, map[string]snapshots.Snapshotter{overlayName: e.layers})
	if err := e.meta.Init(ctx); err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if !unclean {
		return nil
	}
	if err := e.sweep(namespaces.WithNamespace(ctx, Namespace)); err != nil {
		return fmt.Errorf("clear what a killed process left: %w", err)
	}
	return nil
}

// mark leaves a file that says that the store is open, and tells whether there was one already.
func (e *embedded) mark() (unclean bool, err error) {
	f, err := os.OpenFile(filepath.Join(e.dir, uncleanMark), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, errors.Join(f.Sync(), f.Close())
}

func (e *embedded) close(clean bool) error {
	var errs []error
	if e.layers != nil {
		errs = append(errs, e.layers.Close())
	}
	if clean {
		errs = append(errs, os.Remove(filepath.Join(e.dir, uncleanMark)))
	}
	return errors.Join(append(errs, e.db.Close())...)
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
