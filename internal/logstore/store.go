package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"roadstead.dev/roadstead/internal/fault"
)

// Config says where and how a Store keeps its events. Only Dir is required, or InMemory.
type Config struct {
	Dir string
	// InMemory keeps everything in memory, where nothing outlives the Store, and leaves Dir alone.
	InMemory bool
	// Now is the clock of ingestion times and of retention; time.Now if nil.
	Now func() time.Time
	Log *slog.Logger
	// CacheBytes bounds Pebble's block cache (64 MiB), MemTableBytes one of its two write buffers (32 MiB).
	CacheBytes, MemTableBytes int64
	// ReserveBytes is the free disk space below which events are refused (256 MiB): room for Pebble's own work, and for
	// the other things that live on the disk.
	ReserveBytes int64
	// SweepEvery is how often expired and deleted events are cleared away (1 min).
	SweepEvery time.Duration

	// The tests' own.
	fs         vfs.FS
	scanEvents int // as maxScanEvents
}

func (c *Config) fill() error {
	if c.InMemory {
		c.Dir, c.fs = "logs", vfs.NewMem()
	}
	if c.Dir == "" {
		return errors.New("logstore: no directory")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		field *int64
		value int64
	}{{&c.CacheBytes, 64 << 20}, {&c.MemTableBytes, 32 << 20}, {&c.ReserveBytes, 256 << 20}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.scanEvents == 0 {
		c.scanEvents = maxScanEvents
	}
	if c.fs == nil {
		c.fs = vfs.Default
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = time.Minute
	}
	return nil
}

// Store keeps log events. Its methods may be called from many goroutines. Writes wait until Run is running.
type Store struct {
	cfg  Config
	db   *pebble.DB
	disk *roomFS
	tail hub

	requests chan *request
	unacked  chan *commit
	stopped  chan struct{} // closed when Run has answered its last request
	broken   chan struct{} // closed by fail
	failure  atomic.Pointer[error]

	mu     sync.RWMutex
	groups map[string]*Group // guarded by mu; a *Group in it is never changed, only replaced

	// Of the writer alone.
	seq, id uint64
	streams map[streamRef]*Stream // records of streams written lately, nil for a deleted one
	bytes   map[uint64]int64      // bytes held, by group id
}

type streamRef struct {
	group uint64
	name  string
}

const formatVersion = 1

// Open opens the store in cfg.Dir, making it if need be. Close it after Run has returned.
func Open(cfg Config) (*Store, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg:      cfg,
		disk:     newRoomFS(cfg.fs, cfg.Log),
		requests: make(chan *request, 1024),
		unacked:  make(chan *commit, 64),
		stopped:  make(chan struct{}),
		broken:   make(chan struct{}),
		groups:   map[string]*Group{},
		streams:  map[streamRef]*Stream{},
		bytes:    map[uint64]int64{},
	}
	cache := pebble.NewCache(cfg.CacheBytes)
	defer cache.Unref()
	db, err := pebble.Open(cfg.Dir, s.options(cache))
	if err != nil {
		return nil, fmt.Errorf("logstore: open %s: %w", cfg.Dir, err)
	}
	s.db = db
	if err := s.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *Store) options(cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.disk,
		Cache:                       cache,
		MemTableSize:                uint64(s.cfg.MemTableBytes),
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      pebbleLog{s},
		EventListener:               &pebble.EventListener{BackgroundError: s.backgroundError},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 16 << 10
		if i > 0 {
			o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.ZstdCompression }
		}
	}
	return o
}

// load reads the counters and the groups; streams and events stay on disk.
func (s *Store) load() error {
	format, err := s.counter("format")
	if err != nil {
		return err
	}
	if format > formatVersion {
		return fmt.Errorf("logstore: %s was written by a later version (format %d, known %d)", s.cfg.Dir, format, formatVersion)
	}
	if s.seq, err = s.counter("seq"); err != nil {
		return err
	}
	if s.id, err = s.counter("id"); err != nil {
		return err
	}
	return s.scan([]byte{tagGroup}, func(k, v []byte) error {
		g, err := decodeGroup(string(k[1:]), v)
		if err != nil {
			return err
		}
		n, err := s.number(prefixKey(tagBytes, g.ID))
		if err != nil {
			return err
		}
		g.Bytes, s.bytes[g.ID], s.groups[g.Name] = int64(n), int64(n), g
		return nil
	})
}

func (s *Store) counter(name string) (uint64, error) { return s.number(metaKey(name)) }

// number reads a stored number, 0 if there is none.
func (s *Store) number(key []byte) (uint64, error) {
	v, ok, err := s.get(key)
	if err != nil || !ok {
		return 0, err
	}
	n, w := binary.Uvarint(v)
	if w <= 0 {
		return 0, fmt.Errorf("number %q: %w", key, errDamaged)
	}
	return n, nil
}

// get reads one value.
func (s *Store) get(key []byte) ([]byte, bool, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("logstore: read: %w", err)
	}
	v = append([]byte(nil), v...)
	return v, true, closer.Close()
}

// scan calls fn for each key that starts with prefix, in order, until it returns an error.
func (s *Store) scan(prefix []byte, fn func(k, v []byte) error) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("logstore: read: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the files. Run must have returned, and no other method may be under way.
func (s *Store) Close() error {
	s.disk.release()
	if s.failed() != nil {
		return nil // Pebble's own goroutines may be gone; the files are as a crash leaves them, and so they open again
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("logstore: close: %w", err)
	}
	return nil
}

// Run writes what is asked and sweeps away what expired, until ctx ends or the files fail it. Requests that come later are
// refused.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { defer s.rescue(); s.acknowledge() })
	wg.Go(func() { defer s.rescue(); defer close(s.unacked); s.write(ctx) })
	wg.Go(func() { defer s.rescue(); s.sweepAlways(ctx) })
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-s.broken: // those still in Pebble may never come back
	}
	close(s.stopped)
	s.tail.close()
	return s.failed()
}

// rescue makes a panic of Pebble's, which is its way to report some failures of the disk, a failure of this store alone.
func (s *Store) rescue() {
	if p := recover(); p != nil {
		s.fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
}

// fail marks the store as broken: everything is refused until it is opened anew.
func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		close(s.broken)
		s.cfg.Log.Error("log store failed; it answers nothing until the next start", "error", err)
	}
}

func (s *Store) failed() error {
	if p := s.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// usable is the error of a store that broke, in the caller's terms.
func (s *Store) usable() error {
	if err := s.failed(); err != nil {
		return fault.Wrap(err, fault.Unavailable, "The log store failed and waits for a restart.")
	}
	return nil
}

func (s *Store) now() int64 { return s.cfg.Now().UnixMilli() }
