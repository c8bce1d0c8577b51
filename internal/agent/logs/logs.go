// Package logs ships what containers write to where their log driver says. The runtime writes each container's output to
// a file in Docker's json-file form, whether anybody ships it or not; this package follows those files and sends their
// lines to CloudWatch Logs, or to another target, as Docker's drivers do.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// LogsAPI is what is used of CloudWatch Logs; *cloudwatchlogs.Client has it.
type LogsAPI interface {
	CreateLogGroup(context.Context, *cwl.CreateLogGroupInput, ...func(*cwl.Options)) (*cwl.CreateLogGroupOutput, error)
	CreateLogStream(context.Context, *cwl.CreateLogStreamInput, ...func(*cwl.Options)) (*cwl.CreateLogStreamOutput, error)
	PutLogEvents(context.Context, *cwl.PutLogEventsInput, ...func(*cwl.Options)) (*cwl.PutLogEventsOutput, error)
}

var _ LogsAPI = (*cwl.Client)(nil)

// Config is what a Shipper is made of. The durations have defaults.
type Config struct {
	Client LogsAPI
	// StateDir keeps the cursors of sources that name no directory of their own.
	StateDir string
	Log      *slog.Logger
	// Interval is the least time between two batches of one container that are not full: 100 ms. A line that comes after
	// a longer silence is sent at once.
	Interval time.Duration
	// Poll is how often a file is looked at without being told of a change: 5 s.
	Poll time.Duration
	// MultilineWait is the silence after which an event of several lines is taken to be complete: 1 s.
	MultilineWait time.Duration
	// RetryMin and RetryMax bound the pause before a failed batch is sent again: 100 ms and 10 s.
	RetryMin, RetryMax time.Duration

	// watch is another way to be told of changes, for tests.
	watch watcher
}

// Shipper ships the output of many containers. All methods may be called at once from many goroutines.
type Shipper struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	attached map[string]*shipment
}

// Source is one container's output.
type Source struct {
	ContainerID, ContainerName, TaskID, Cluster string
	// Path is the file in Docker's json-file form, which the runtime renames to Path.1, Path.2... as it grows.
	Path    string
	Driver  string
	Options map[string]string
	// Secrets are options whose values are in no log and no error.
	Secrets map[string]string
	// GiveUp is how long, once the container has ended, a target that fails is tried; 0 is for ever.
	GiveUp time.Duration
	// Info is for the drivers that have tags and attributes.
	Info Info
	// State is a directory for the cursor, kept as long as the container.
	State string
}

// Shipment is one container's output on its way.
type Shipment interface {
	// Drain ships what is left once the container has ended and all its output is in the file. It returns when all has
	// arrived, or with an error when ctx ends; shipping goes on then, until Close.
	Drain(ctx context.Context) error
	// Close stops at once. How far it has come is kept: another Attach goes on from there.
	Close()
}

var errAttached = errors.New("the container's output is being shipped already")

// New makes a shipper; it does nothing until something is attached.
func New(cfg Config) *Shipper {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&cfg.Interval, 100*time.Millisecond)
	def(&cfg.Poll, 5*time.Second)
	def(&cfg.MultilineWait, time.Second)
	def(&cfg.RetryMin, 100*time.Millisecond)
	def(&cfg.RetryMax, 10*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.watch == nil {
		cfg.watch = &inotify{}
	}
	return &Shipper{cfg: cfg, attached: map[string]*shipment{}}
}

// Attach begins to follow a container's file, which need not be there yet. It fails, in the words of Docker's drivers, if
// the configuration cannot work: an unknown driver or option, or a log group that does not exist. For a container that was
// attached before, possibly by an earlier process, the server is not asked: it may be away.
func (s *Shipper) Attach(ctx context.Context, src Source) (Shipment, error) {
	hide := src.hider()
	src.Options = src.allOptions()
	opts, err := parseOptions(src.Driver, src.Options)
	if err != nil {
		return nil, initError(hide.error(err))
	}
	if src.Driver == driverNone || src.Driver == driverJSONFile {
		return nothing{}, nil
	}
	cursorPath, err := s.cursorPath(src)
	if err != nil {
		return nil, initError(err)
	}
	if !s.claim(cursorPath) {
		return nil, initError(errAttached)
	}
	sh, err := s.open(ctx, src, opts, cursorPath)
	if err != nil {
		s.release(cursorPath)
		return nil, initError(hide.error(err))
	}
	return sh, nil
}

// Close closes all shipments and lets go of what the shipper holds. Nothing may be attached afterwards.
func (s *Shipper) Close() error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.attached))
	s.mu.Unlock()
	for _, sh := range all {
		if sh != nil {
			sh.Close()
		}
	}
	return s.cfg.watch.close()
}

func (s *Shipper) open(ctx context.Context, src Source, opts options, cursorPath string) (*shipment, error) {
	for _, dir := range []string{filepath.Dir(src.Path), filepath.Dir(cursorPath)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	log := s.cfg.Log.With("container", src.ContainerName, "task", src.TaskID)
	cur, known, err := loadCursor(cursorPath)
	if err != nil {
		log.Warn("output may be sent twice: how far it was sent cannot be read", "error", err)
	}
	p := plan{path: src.Path, cursorPath: cursorPath, multiline: opts.multiline, at: cur, log: log, drain: make(chan struct{})}
	var wrong error
	if p.dest, p.shape, wrong = s.target(src, opts, log, p.drain); wrong != nil {
		return nil, wrong
	}
	if !known && err == nil {
		if err := p.dest.open(ctx); err != nil {
			return nil, err
		}
		if err := cur.save(cursorPath); err != nil {
			return nil, err
		}
	}
	sh := newShipment(s.cfg, p)
	sh.released = func() { s.release(cursorPath) }
	if err := sh.start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, running := s.attached[cursorPath]; running {
		s.attached[cursorPath] = sh
	}
	return sh, nil
}

// allOptions are the source's options with the secret ones.
func (s *Source) allOptions() map[string]string {
	all := map[string]string{}
	maps.Copy(all, s.Options)
	maps.Copy(all, s.Secrets)
	return all
}

func (s *Source) hider() hider { return slices.Collect(maps.Values(s.Secrets)) }

func (s *Shipper) cursorPath(src Source) (string, error) {
	dir := src.State
	if dir == "" {
		if s.cfg.StateDir == "" || src.ContainerID == "" || src.ContainerID != filepath.Base(src.ContainerID) {
			return "", errors.New("there is no directory for how far the output was sent")
		}
		dir = filepath.Join(s.cfg.StateDir, src.ContainerID)
	}
	return filepath.Join(dir, src.Driver+".cursor"), nil
}

// claim keeps two shipments from sending the same file.
func (s *Shipper) claim(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.attached[key]; taken {
		return false
	}
	s.attached[key] = nil // until it runs
	return true
}

func (s *Shipper) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attached, key)
}

// initError is what a container fails with that cannot be started for want of its log driver.
func initError(err error) error { return fmt.Errorf("failed to initialize logging driver: %w", err) }

// nothing is the shipment of a driver whose output stays where it is.
type nothing struct{}

func (nothing) Drain(context.Context) error { return nil }
func (nothing) Close()                      {}
