package simnode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
)

// images has every image there is, but for containers whose labels ask for a pull that takes its time or fails.
type images struct{ *fake.Images }

func newImages() *images {
	return &images{&fake.Images{Behave: func(string) fake.PullBehaviour { return fake.PullBehaviour{} }}}
}

// Pull implements runtime.Images.
func (im *images) Pull(ctx context.Context, name string, opts runtime.PullOptions) (*runtime.Image, error) {
	if delay := opts.Labels[labelPullDelay]; delay != "" {
		timer := time.NewTimer(duration(delay, 0))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("pull %s: %w", name, ctx.Err())
		}
	}
	if text, ok := opts.Labels[labelPullFail]; ok && text != "false" {
		return nil, errors.New(wording(text, fmt.Sprintf(
			"pull access denied for %s, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", name)))
	}
	return im.Images.Pull(ctx, name, opts)
}
