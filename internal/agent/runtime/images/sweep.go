package images

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// sweep removes what was written beside the metadata by a process that ended before it could write the metadata. containerd's
// own garbage collection looks for such snapshots only after one was removed, so one is made for that. A directory left over
// would be in the way of the next snapshot that gets its number.
func (e *embedded) sweep(ctx context.Context) error {
	const key = "roadstead-sweep"
	cleaner, ok := e.layers.(snapshots.Cleaner)
	if !ok {
		return errors.New("the snapshotter cannot clean up")
	}
	err := cleaner.Cleanup(ctx)
	if errdefs.IsNotFound(err) {
		// There never was a whole snapshot, so none of the directories is one's.
		err = emptyDir(filepath.Join(e.root, "snapshots"))
	}
	if err != nil {
		return err
	}
	sn := e.meta.Snapshotter(overlayName)
	if _, err := sn.Prepare(ctx, key, ""); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	if err := sn.Remove(ctx, key); err != nil {
		return err
	}
	known := e.meta.ContentStore()
	var stray []digest.Digest
	err = e.blobs.Walk(ctx, func(i content.Info) error {
		_, err := known.Info(ctx, i.Digest)
		if errdefs.IsNotFound(err) {
			stray = append(stray, i.Digest)
			return nil
		}
		return err
	})
	for _, d := range stray {
		err = errors.Join(err, e.blobs.Delete(ctx, d))
	}
	return err
}

func emptyDir(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.RemoveAll(filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}
