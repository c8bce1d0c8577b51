package images

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
	"github.com/containerd/platforms"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Namespace is where everything of this project is kept in containerd.
const Namespace = "roadstead"

// ErrInUse is wrapped by what is returned for an image that cannot be removed because of its containers.
var ErrInUse = errors.New("image is in use")

// ErrLocked is wrapped by what Open returns when another process, an agent most likely, has the store open.
var ErrLocked = errors.New("the image store is open in another process")

// Config says where images are kept and how registries are spoken to. Only Dir is needed.
type Config struct {
	// Dir is the store's own directory, made if missing.
	Dir string
	// Address is that of a containerd that runs already, a socket's path; empty keeps images in this process.
	Address string
	// Snapshotter is used with Address: "overlayfs" if empty. It must give overlay mounts.
	Snapshotter string
	// InsecureRegistries are hosts, with their port if it isn't the usual one, that are spoken to without TLS, or with an
	// "https://" before them, with TLS but whatever their certificate. Registries on loopback need not be named.
	InsecureRegistries []string
	// Attempts at most for what a registry or the network may get right the next time; 0 is 5.
	Attempts int
	// Backoff before the second attempt, doubled for each one after it; 0 is 500 ms.
	Backoff time.Duration
	// Inactivity ends a download that brings no byte for so long; 0 is a minute (ECS_IMAGE_PULL_INACTIVITY_TIMEOUT).
	Inactivity time.Duration
	// Grace is how long an image that lost its name to a newer one is kept though nobody holds it; 0 is a minute.
	Grace time.Duration
	Log   *slog.Logger
}

// Store is a runtime.Images. It is safe for concurrent use.
type Store struct {
	cfg      Config
	back     *backend
	platform platforms.MatchComparer
	registry *registries
	locks    *keyLocks
	log      *slog.Logger
	// base ends when the store is closed; pulls run under it.
	base  context.Context
	close context.CancelFunc
	// closed is done by the first Close.
	closed   sync.Once
	closeErr error

	holds   holds
	flights flights
	busy    activity

	mu sync.RWMutex
	// ready holds every image, by its normalised name. An entry never changes; a newer one replaces it.
	ready map[string]*entry
}

var _ runtime.Images = (*Store)(nil)

// Open opens the store in cfg.Dir, or makes it, and clears away what a killed process left half done.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	// containerd's libraries log to a logger of their own, which writes to standard error. What goes wrong comes back as an
	// error, too; the rest is for its developers.
	if err := log.SetLevel(log.FatalLevel); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	back, err := openBackend(ctx, &cfg)
	if err != nil {
		return nil, fmt.Errorf("open image store %s: %w", cfg.Dir, err)
	}
	s := &Store{
		cfg: cfg, back: back, log: cfg.Log,
		platform: thisMachine(),
		registry: newRegistries(cfg.InsecureRegistries, cfg.Inactivity),
		locks:    newKeyLocks(),
		ready:    map[string]*entry{},
	}
	s.busy.init()
	s.base, s.close = context.WithCancel(namespaces.WithNamespace(context.WithoutCancel(ctx), Namespace))
	if err := s.recover(ctx); err != nil {
		return nil, fmt.Errorf("open image store %s: %w", cfg.Dir, errors.Join(err, s.Close()))
	}
	return s, nil
}

func (c *Config) complete() error {
	if c.Dir == "" {
		return errors.New("image store: no directory")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	// An overlay's lower directories are given to the kernel as one string with colons between them.
	if strings.ContainsAny(dir, ":,\\\n") {
		return fmt.Errorf("image store: directory %q: colons, commas, backslashes and newlines are not supported in its path", dir)
	}
	c.Dir = dir
	if c.Snapshotter == "" {
		c.Snapshotter = overlayName
	}
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	if c.Backoff <= 0 {
		c.Backoff = 500 * time.Millisecond
	}
	if c.Inactivity <= 0 {
		c.Inactivity = time.Minute
	}
	if c.Grace <= 0 {
		c.Grace = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return os.MkdirAll(dir, 0o700)
}

// recover forgets what was under way when an earlier process ended, and reads the images that are complete.
func (s *Store) recover(ctx context.Context) error {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	if err := s.holds.open(filepath.Join(s.cfg.Dir, "holds"), s.log); err != nil {
		return err
	}
	if err := s.back.dropLeases(ctx); err != nil {
		return fmt.Errorf("drop leases: %w", err)
	}
	records, err := s.back.images.List(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	for _, r := range records {
		if r.Labels[labelView] == "" {
			continue // somebody else's, in a containerd that is shared
		}
		e, err := s.load(ctx, r)
		if err != nil {
			s.log.Warn("image cannot be used and has to be pulled again", "image", r.Name, "err", err)
			continue
		}
		s.ready[r.Name] = e
	}
	return s.back.collect(ctx)
}

// Close ends the pulls that are under way and closes the store. Containers are not touched. Closing again does nothing.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.close()
		s.flights.wait()
		s.busy.stop()
		s.holds.close()
		s.registry.close()
		s.closeErr = s.back.close()
	})
	return s.closeErr
}

// context gives what is under way for a caller the store's namespace, and ends it when the store closes.
func (s *Store) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(ctx, Namespace))
	stop := context.AfterFunc(s.base, cancel)
	return ctx, func() { stop(); cancel() }
}

func (s *Store) cached(name string) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ready[name]
}
