package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

var errClosed = errors.New("the image store is closed")

// progressEvery is how often a pull's progress is told.
const progressEvery = 200 * time.Millisecond

// Pull makes the image ready to run. An image that is ready and need not be asked for is given at once, from memory.
// See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html, ECS_IMAGE_PULL_BEHAVIOR.
func (s *Store) Pull(ctx context.Context, name string, opts runtime.PullOptions) (*runtime.Image, error) {
	full, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	cached := s.usable(full)
	if cached != nil && !s.ask(cached, opts.Policy) {
		return cached.as(name), nil
	}
	key := flightKey{full, opts.Username, opts.Password, cached != nil && opts.Policy == runtime.PullDefault}
	f := s.flights.join(s.base, key, func(ctx context.Context, m *meter) (*entry, error) { return s.pull(ctx, key, m) })
	defer s.flights.leave(key, f)
	e, err := await(ctx, f, opts.Progress)
	if err == nil {
		return e.as(name), nil
	}
	if ctx.Err() == nil && cached != nil && opts.Policy == runtime.PullDefault {
		s.log.Warn("using the image that is here, because it could not be pulled", "image", full, "err", err)
		return cached.as(name), nil
	}
	return nil, err
}

// ask tells whether the registry is to be asked for an image that is here.
func (s *Store) ask(e *entry, policy runtime.PullPolicy) bool {
	switch policy {
	case runtime.PullAlways:
		return true
	case runtime.PullDefault:
		// What is asked for by its digest cannot have changed, and what was imported is in no registry.
		return !e.imported && digestOf(e.record.Name) == ""
	default:
		return false
	}
}

// usable gives an image that is ready, if another than us cannot have taken it away.
func (s *Store) usable(name string) *entry {
	e := s.cached(name)
	if e == nil || !s.back.shared {
		return e
	}
	if _, err := os.Stat(e.image.Layers[0]); err != nil {
		return nil
	}
	return e
}

// await waits for a flight and tells of its progress, from the caller's own goroutine.
func await(ctx context.Context, f *flight, progress func(done, total int64)) (*entry, error) {
	var tick <-chan time.Time
	if progress != nil {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-tick:
			if total := f.meter.total.Load(); total > 0 {
				progress(min(f.meter.have.Load(), total), total)
			}
		case <-f.done:
			if total := f.meter.total.Load(); progress != nil && f.err == nil && total > 0 {
				progress(total, total)
			}
			return f.entry, f.err
		case <-ctx.Done():
			return nil, fmt.Errorf("pull: %w", context.Cause(ctx))
		}
	}
}

// pull asks the registry and fetches what is missing.
func (s *Store) pull(ctx context.Context, key flightKey, m *meter) (*entry, error) {
	p := &puller{store: s, name: key.name, meter: m, resolver: s.registry.resolver(key.name, key.username, key.password), attempts: s.cfg.Attempts}
	if key.fallback {
		// There is an image to fall back to, so a registry that does not answer is not waited for.
		p.attempts = 1
	}
	target, err := p.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if e := s.usable(key.name); e != nil && e.record.Target.Digest == target.Digest {
		return e, nil
	}
	p.attempts = s.cfg.Attempts
	var got *entry
	err = s.work(ctx, func(ctx context.Context) error {
		var err error
		got, err = p.install(ctx, target)
		if errdefs.IsNotFound(err) && s.back.shared {
			// Another's garbage collection took a layer between its being found and being held.
			got, err = p.install(ctx, target)
		}
		return err
	})
	if err != nil {
		return nil, explain(ctx, err)
	}
	return got, nil
}

// puller pulls one image.
type puller struct {
	store    *Store
	name     string
	resolver remotes.Resolver
	fetcher  remotes.Fetcher
	meter    *meter
	attempts int
}

// resolve asks the registry what the name stands for.
func (p *puller) resolve(ctx context.Context) (ocispec.Descriptor, error) {
	var desc ocispec.Descriptor
	tried, err := p.retry(ctx, func(ctx context.Context) (err error) {
		_, desc, err = p.resolver.Resolve(ctx, p.name)
		return err
	})
	if err != nil {
		return desc, explain(ctx, fmt.Errorf("pull image manifest has been retried %d time(s): failed to resolve ref %s: %w", tried, p.name, err))
	}
	if p.fetcher, err = p.resolver.Fetcher(ctx, p.name); err != nil {
		return desc, explain(ctx, fmt.Errorf("pull image manifest: %w", err))
	}
	return desc, nil
}

func (p *puller) install(ctx context.Context, target ocispec.Descriptor) (*entry, error) {
	c, err := p.store.choose(ctx, p.name, target, p.fetch)
	if err != nil {
		return nil, err
	}
	p.meter.total.Store(c.size())
	entries, err := p.store.install(ctx, []string{p.name}, c, nil, p.fetch)
	if err != nil {
		return nil, err
	}
	return entries[0], nil
}

// fetch makes a blob available in the store. What an attempt got is kept for the next.
func (p *puller) fetch(ctx context.Context, desc ocispec.Descriptor) error {
	desc = plain(desc)
	tried, err := p.retry(ctx, func(ctx context.Context) error {
		err := remotes.Fetch(ctx, p.store.back.content, counted{p.fetcher, p.meter, p.store.cfg.Inactivity}, desc)
		if errdefs.IsAlreadyExists(err) {
			return nil
		}
		if errdefs.IsFailedPrecondition(err) || noRanges(err) {
			// The bytes are not what they should be, or cannot be added to: the next attempt begins with none.
			err = errors.Join(err, ignoreNotFound(p.store.back.content.Abort(ctx, remotes.MakeRefKey(ctx, desc))))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ref pull has been retried %d time(s): failed to copy %s: %w", tried, desc.Digest, err)
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// retry calls f until it succeeds, fails for good or has been called often enough, and gives how often it was called: that
// is what "has been retried N time(s)" means where AWS says it.
func (p *puller) retry(ctx context.Context, f func(context.Context) error) (int, error) {
	for tried := 1; ; tried++ {
		err := f(ctx)
		if err == nil || ctx.Err() != nil || tried >= p.attempts || !transient(err) {
			return tried, err
		}
		p.store.log.Debug("registry is asked again", "image", p.name, "err", err)
		t := time.NewTimer(p.store.cfg.Backoff << (tried - 1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return tried, err
		}
	}
}
