package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"roadstead.dev/roadstead/internal/fault"
)

// EmbeddedConfig is for an etcd in this process.
type EmbeddedConfig struct {
	Common
	// Dir is where it keeps everything. It belongs to one process at a time.
	Dir string
	// MinFree is how many bytes of Dir's disk must be free for a write to be tried: etcd does not survive an attempt to
	// write to a full disk. 256 MiB if 0, and never less than 96 MiB: a new file of its log takes 64 at once.
	MinFree int64
	// Quota is how large the database may become, in bytes. 8 GiB if 0.
	Quota int64
	// MaxTxnOps and MaxRequestBytes bound one transaction. 65,536 and 64 MiB if 0.
	MaxTxnOps, MaxRequestBytes int
	// StartTimeout is how long a start may take, which replays what was not in a snapshot yet. A minute if 0.
	StartTimeout time.Duration
}

// embeddedLeaseTTL is long: nobody waits for it, and a stalled machine should not lose its leadership to itself.
const embeddedLeaseTTL = time.Minute

func (c *EmbeddedConfig) setDefaults() {
	if c.LeaseTTL == 0 {
		c.LeaseTTL = embeddedLeaseTTL
	}
	c.Common.setDefaults()
	if c.MinFree == 0 {
		c.MinFree = 256 << 20
	}
	c.MinFree = max(c.MinFree, 96<<20)
	if c.Quota == 0 {
		c.Quota = 8 << 30
	}
	if c.MaxTxnOps == 0 {
		c.MaxTxnOps = 1 << 16
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = 64 << 20
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
}

// Embedded starts an etcd in this process, on its own and listening nowhere.
func Embedded(ctx context.Context, cfg EmbeddedConfig) (*KV, error) {
	cfg.setDefaults()
	if cfg.Dir == "" {
		return nil, errors.New("etcdkv: no directory configured")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd's directory: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := spaceError(cfg.Dir, cfg.MinFree, 0); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	log := newLogger(cfg.Log)
	server, err := start(ctx, cfg, log)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	client := v3client.New(server.Server)
	stop := func() error {
		err := client.Close()
		server.Close()
		if errors.Is(err, context.Canceled) {
			err = nil // It has no connection to close.
		}
		return errors.Join(err, lock.Close())
	}
	kv := newKV(cfg.Common, log, client, limitsOf(cfg.MaxTxnOps, cfg.MaxRequestBytes), stop)
	kv.owner = true
	reserve := &dbReserve{path: filepath.Join(etcdDir(cfg), "member", "snap", "db"), ahead: 32 << 20}
	kv.writable = func(bytes int) error {
		if err := spaceError(cfg.Dir, cfg.MinFree, int64(bytes)); err != nil {
			return err
		}
		return reserve.keep()
	}
	r := &reclaimer{kv: kv, server: server}
	kv.noSpace = r.ask
	return kv, nil
}

func start(ctx context.Context, cfg EmbeddedConfig, log *logger) (*embed.Etcd, error) {
	server, err := embed.StartEtcd(etcdConfig(cfg, log))
	if err != nil {
		return nil, fmt.Errorf("start etcd in %s: %w", cfg.Dir, err)
	}
	timeout := time.NewTimer(cfg.StartTimeout)
	defer timeout.Stop()
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case err = <-server.Err():
	case <-server.Server.StopNotify():
		err = errors.New("it has stopped")
	case <-timeout.C:
		err = fmt.Errorf("it was not ready after %v", cfg.StartTimeout)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	server.Close()
	return nil, fmt.Errorf("start etcd in %s: %w", cfg.Dir, err)
}

func etcdDir(cfg EmbeddedConfig) string { return filepath.Join(cfg.Dir, "etcd") }

// etcdConfig is etcd's configuration for a single member that nobody else speaks to.
func etcdConfig(cfg EmbeddedConfig, log *logger) *embed.Config {
	c := embed.NewConfig()
	c.Name = "roadstead"
	c.Dir = etcdDir(cfg)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log.zap())
	// Nothing listens: the client is in this process. etcd wants an address of its member all the same.
	c.ListenClientUrls, c.ListenPeerUrls, c.AdvertiseClientUrls = nil, nil, nil
	nowhere := url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	c.AdvertisePeerUrls = []url.URL{nowhere}
	c.InitialCluster = c.Name + "=" + nowhere.String()
	c.EnableGRPCGateway = false
	// A single member elects itself: the sooner the better.
	c.TickMs, c.ElectionMs = 20, 100
	c.QuotaBackendBytes = cfg.Quota
	c.MaxTxnOps, c.MaxRequestBytes = uint(cfg.MaxTxnOps), uint(cfg.MaxRequestBytes)
	// The entries since the last snapshot are replayed at the start, and batches are large: up to MaxRequestBytes.
	c.SnapshotCount = 500
	// The entries kept in memory for slow followers: there are none.
	c.SnapshotCatchUpEntries = 10
	c.MaxWalFiles, c.MaxSnapFiles = 2, 2
	c.BackendFreelistType = "map"
	c.WarningApplyDuration = time.Second
	c.WarningUnaryRequestDuration = 2 * time.Second
	return c
}

// reclaimer makes room when the quota is reached: old versions go, the file shrinks, and the alarm is disarmed.
type reclaimer struct {
	kv     *KV
	server *embed.Etcd
	mu     sync.Mutex
	busy   bool
}

// ask starts it, unless it is at work.
func (r *reclaimer) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy || r.kv.ctx.Err() != nil {
		return
	}
	r.busy = true
	r.kv.tasks.Go(func() {
		if err := r.reclaim(r.kv.ctx); err != nil {
			r.kv.cfg.Log.Error("no room was made in etcd's database", "error", err)
		}
		r.mu.Lock()
		r.busy = false
		r.mu.Unlock()
	})
}

func (r *reclaimer) reclaim(ctx context.Context) error {
	before := r.server.Server.Backend().Size()
	revision := r.server.Server.KV().Rev()
	if err := r.kv.compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact: %w", err)
	}
	if err := r.server.Server.Backend().Defrag(); err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	after, quota := r.server.Server.Backend().Size(), r.server.Config().QuotaBackendBytes
	r.kv.cfg.Log.Warn("etcd's database had reached its quota and was compacted", "bytes_before", before, "bytes_after", after, "quota", quota)
	if after > quota-quota/20 {
		return fault.New(fault.Unavailable, "the database has %d bytes of a quota of %d that are all in use", after, quota)
	}
	_, err := r.kv.client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	return err
}
