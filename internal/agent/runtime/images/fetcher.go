package images

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stalledError is a download that brought nothing for too long.
type stalledError struct{ after time.Duration }

func (e *stalledError) Error() string {
	return fmt.Sprintf("image pull inactivity time exceeded: nothing came for %v", e.after)
}

// counted is a fetcher that counts what comes, and gives up when nothing does.
type counted struct {
	remotes.Fetcher
	meter *meter
	idle  time.Duration
}

func (c counted) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	rc, err := c.Fetcher.Fetch(ctx, desc)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &blob{ReadCloser: rc, ctx: ctx, cancel: cancel, meter: c.meter, idle: c.idle}
	b.timer = time.AfterFunc(c.idle, func() { cancel(&stalledError{c.idle}) })
	if s, ok := rc.(io.Seeker); ok {
		return &seekable{b, s}, nil
	}
	return b, nil
}

// blob is one download.
type blob struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	meter  *meter
	idle   time.Duration
}

func (b *blob) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.meter.have.Add(int64(n))
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *blob) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// seekable is a download that can begin anywhere, by which one that was cut off goes on.
type seekable struct {
	*blob
	io.Seeker
}
