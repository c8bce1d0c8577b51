package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"golang.org/x/sync/errgroup"

	"roadstead.dev/roadstead/internal/agent"
	"roadstead.dev/roadstead/internal/agent/sdkhttp"
	"roadstead.dev/roadstead/internal/agent/simnode"
	domain "roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// insideURL is what simulated nodes call the control plane. Their connections do not go by it.
const insideURL = "http://roadstead"

// drainTime is how long requests under way may take when their world ends, before they are cut off.
const drainTime = time.Second

// world is a control plane in memory with its simulated nodes. A reset does not empty one: it makes another and lets the
// old one go, so that nothing can be forgotten, and whoever still talks to the old one sees it whole to its end.
type world struct {
	cfg    DevConfig
	plane  *plane
	inside pipe
	client *http.Client
	nodes  []*agent.Agent
	// full is closed when all nodes have joined.
	full chan struct{}
	// failed is told if it ends by itself.
	failed func(error)
	// end ends it; ended has how, once.
	end   context.CancelFunc
	ended chan error

	mu     sync.Mutex // guards what follows
	joined map[domain.InstanceID]bool
	// requests under way; over says that there will be no more, and idle is closed when none is left then.
	requests int
	over     bool
	idle     chan struct{}
	// cut ends the requests that are still under way.
	cut context.Context
}

// newWorld starts a world and waits until all nodes have joined.
func newWorld(ctx context.Context, cfg DevConfig, ring *keyring.Ring, failed func(error)) (*world, error) {
	base := foundation{
		kv: memkv.New(memkv.Unlimited), logs: logstore.Config{InMemory: true, CacheBytes: 8 << 20, MemTableBytes: 8 << 20}, ring: ring, keys: ring, keeper: secrets.New(),
	}
	if cfg.AnyKey {
		base.keys = anyKey{ring, cfg.Place.Account}
	}
	w := &world{
		cfg: cfg, inside: newPipe(), failed: failed, ended: make(chan error, 1), idle: make(chan struct{}),
		full: make(chan struct{}), joined: map[domain.InstanceID]bool{},
	}
	w.client, base.joined = w.inside.client(), w.hasJoined
	p, err := newPlane(ctx, Config{Place: cfg.Place, Settings: cfg.Settings, Log: cfg.Log}, base)
	if err != nil {
		return nil, err
	}
	w.plane = p
	if err := w.makeNodes(ring); err != nil {
		return nil, errors.Join(err, p.close())
	}
	w.start(ctx)
	if err := w.join(ctx, ring); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) makeNodes(ring *keyring.Ring) error {
	var all sync.Mutex
	var g errgroup.Group
	for i := range w.cfg.Nodes {
		g.Go(func() error {
			key := ring.NewAgent()
			n, err := simnode.New(simnode.Config{
				ServerURL: insideURL, HTTPClient: w.client, Region: w.cfg.Place.Region, Cluster: "default",
				Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
				Index:       i, Zone: i % w.cfg.Zones, CPU: w.cfg.CPU, MemoryMiB: w.cfg.MemoryMiB, Log: w.cfg.Log,
			})
			if err != nil {
				return fmt.Errorf("make a node: %w", err)
			}
			all.Lock()
			defer all.Unlock()
			w.nodes = append(w.nodes, n)
			return nil
		})
	}
	if w.cfg.Nodes == 0 {
		close(w.full)
	}
	return g.Wait()
}

// hasJoined counts the nodes in.
func (w *world) hasJoined(id domain.InstanceID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := len(w.joined); before < w.cfg.Nodes {
		if w.joined[id] = true; before < len(w.joined) && len(w.joined) == w.cfg.Nodes {
			close(w.full)
		}
	}
}

// start runs the world until its end, apart from ctx: close waits for it.
func (w *world) start(ctx context.Context) {
	ctx, w.end = context.WithCancel(context.WithoutCancel(ctx))
	cut, cutOff := context.WithCancel(context.Background())
	w.cut = cut
	parts := append(w.plane.parts(), serving(w.inside, w.plane.handler, w.cfg.Log), part{"nodes", w.runNodes}, part{"requests", func(ctx context.Context) error {
		<-ctx.Done()
		w.drain(cutOff)
		return nil
	}})
	go func() {
		err := runStack(ctx, w.cfg.Log, parts)
		if ctx.Err() == nil {
			w.failed(err)
		}
		cutOff()
		w.ended <- errors.Join(err, w.plane.close())
	}()
}

// join makes the first cluster, and waits for the nodes.
func (w *world) join(ctx context.Context, ring *keyring.Ring) error {
	root := ring.Root()
	api := ecs.New(ecs.Options{
		Region: w.cfg.Place.Region, Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretAccessKey, ""),
		BaseEndpoint: new(insideURL), HTTPClient: sdkhttp.New(w.client),
	})
	if _, err := api.CreateCluster(ctx, &ecs.CreateClusterInput{}); err != nil {
		return fmt.Errorf("make the default cluster: %w", err)
	}
	select {
	case <-w.full:
		return nil
	case err := <-w.ended:
		w.ended <- nil
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *world) runNodes(ctx context.Context) error {
	g, all := errgroup.WithContext(ctx)
	for _, n := range w.nodes {
		g.Go(func() error { return n.Run(all) })
	}
	err := g.Wait()
	// A connection that was made and never used would hold up the server's end.
	w.client.CloseIdleConnections()
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// close ends the world. It returns once nothing of it runs.
func (w *world) close() error {
	w.end()
	return <-w.ended
}

// enter counts a request in; false says that the world is at its end.
func (w *world) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.requests++
	}
	return !w.over
}

func (w *world) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests--; w.over && w.requests == 0 {
		close(w.idle)
	}
}

// drain lets no request in any more and waits for those under way, a while in peace and then cutting them off.
func (w *world) drain(cutOff context.CancelFunc) {
	w.mu.Lock()
	w.over = true
	if w.requests == 0 {
		close(w.idle)
	}
	w.mu.Unlock()
	patience := time.AfterFunc(drainTime, cutOff)
	defer patience.Stop()
	<-w.idle
}

// serve answers a request that was let in.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	defer w.leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(w.cut, cancel)()
	w.plane.handler.ServeHTTP(rw, r.WithContext(ctx))
}
