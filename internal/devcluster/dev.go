package devcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"roadstead.dev/roadstead/internal/agent/simnode"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/wire"
)

// DevConfig says what to simulate.
type DevConfig struct {
	// Listen is the address of the API, HOST:PORT. Port 0 picks a free one.
	Listen string
	Place  ecs.Place
	// Nodes are the instances of the cluster default, spread over as many availability zones. Each has CPU units (1024 to a
	// core) and memory.
	Nodes, Zones   int
	CPU, MemoryMiB int32
	// AnyKey takes requests of keys that are not known, whatever their signature.
	AnyKey   bool
	Settings Settings
	Log      *slog.Logger
	// Ready is called once, when all nodes have joined.
	Ready func(DevInfo)
}

// DevInfo is what a user needs to know of a running simulation.
type DevInfo struct {
	Endpoint string
	Place    ecs.Place
	Root     keyring.Pair
	// NewAgent makes a key for an agent that is to join.
	NewAgent func() keyring.Pair
}

// MaxNodes bounds DevConfig.Nodes.
const MaxNodes = 10_000

func (c *DevConfig) check() error {
	switch {
	case c.Nodes < 0 || c.Nodes > MaxNodes:
		return fmt.Errorf("from 0 to %d nodes can be simulated, not %d", MaxNodes, c.Nodes)
	case c.Zones < 1 || c.Zones > simnode.MaxZones:
		return fmt.Errorf("there can be 1 to %d zones, not %d", simnode.MaxZones, c.Zones)
	case c.CPU < 1 || c.MemoryMiB < 1:
		return errors.New("a node has at least one CPU unit and one MiB of memory")
	}
	return nil
}

// Dev runs a control plane in memory with simulated nodes until ctx ends. Nothing is written to disk and nothing is left of it.
func Dev(ctx context.Context, cfg DevConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w (say another --listen HOST:PORT)", err)
	}
	d := &dev{cfg: cfg, ring: keyring.New(cfg.Place.Account), failed: make(chan error, 1)}
	first, err := newWorld(ctx, cfg, d.ring, d.fail)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	d.world.Store(first)
	if cfg.Ready != nil {
		cfg.Ready(DevInfo{Endpoint: "http://" + reachable(listener.Addr()), Place: cfg.Place, Root: d.ring.Root(), NewAgent: d.ring.NewAgent})
	}
	return runStack(ctx, cfg.Log, []part{{"simulation", d.run}, serving(listener, d.handler(), cfg.Log)})
}

// dev is a succession of worlds.
type dev struct {
	cfg   DevConfig
	ring  *keyring.Ring
	world atomic.Pointer[world]
	// failed has why a world that was ended by nobody ended.
	failed chan error

	// resetting is held while a world takes the place of another.
	resetting sync.Mutex
	// past counts the worlds that are ending.
	past sync.WaitGroup
}

// run waits for the end, or for a world that fails.
func (d *dev) run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-d.failed:
	}
	d.resetting.Lock()
	defer d.resetting.Unlock()
	err = errors.Join(err, d.world.Load().close())
	d.past.Wait()
	return err
}

// fail keeps the first reason.
func (d *dev) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

func (d *dev) handler() http.Handler {
	mux := http.NewServeMux()
	// A page that a browser shows must not reset what runs on the same machine.
	mux.Handle("POST /_roadstead/reset", http.NewCrossOriginProtection().Handler(http.HandlerFunc(d.reset)))
	mux.HandleFunc("/", d.serve)
	return mux
}

// serve lets the present world answer.
func (d *dev) serve(w http.ResponseWriter, r *http.Request) {
	for {
		now := d.world.Load()
		if now.enter() {
			now.serve(w, r)
			return
		}
		// It is over because another has taken its place.
		if now == d.world.Load() {
			http.Error(w, "the simulation is ending", http.StatusServiceUnavailable)
			return
		}
	}
}

// reset puts a new world in the place of the present one. When it has answered, nothing that was is seen any more; requests
// that were under way are answered by the world that they were sent to.
func (d *dev) reset(w http.ResponseWriter, r *http.Request) {
	d.resetting.Lock()
	defer d.resetting.Unlock()
	begin := time.Now()
	next, err := newWorld(r.Context(), d.cfg, d.ring, d.fail)
	if err != nil {
		d.cfg.Log.Error("reset failed", "err", err)
		http.Error(w, "reset failed; the log says why", http.StatusInternalServerError)
		return
	}
	old := d.world.Swap(next)
	d.past.Go(func() {
		if err := old.close(); err != nil {
			d.cfg.Log.Error("the simulation before the reset did not end well", "err", err)
		}
	})
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{"nodes": d.cfg.Nodes, "millis": time.Since(begin).Milliseconds()}); err != nil {
		d.cfg.Log.Debug("a reset's answer was not taken", "err", err)
	}
}

// anyKey lets in whoever has a key, the keys that are known with their signature and others without.
type anyKey struct {
	ring    *keyring.Ring
	account string
}

// Key implements wire.KeySource.
func (a anyKey) Key(ctx context.Context, id, token string) (wire.Key, error) {
	k, err := a.ring.Key(ctx, id, token)
	if !fault.Is(err, fault.ResourceNotFound) {
		return k, err
	}
	return wire.Key{Unchecked: true, SessionToken: token, Caller: wire.Caller{
		AccessKeyID: id, Account: a.account, UserID: a.account, ARN: "arn:aws:iam::" + a.account + ":root", Type: wire.CallerRoot,
	}}, nil
}
