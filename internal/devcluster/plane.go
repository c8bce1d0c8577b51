package devcluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"roadstead.dev/roadstead/internal/access"
	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	logsapi "roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/control/orphans"
	"roadstead.dev/roadstead/internal/control/reap"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/nodelink"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
	"roadstead.dev/roadstead/internal/wire"
)

// plane is a control plane, put together and not running yet.
type plane struct {
	cfg      Config
	kv       *etcdkv.KV
	store    *state.Store
	logs     *logstore.Store
	links    *nodelink.Server
	listener net.Listener
	handler  http.Handler
}

func newPlane(ctx context.Context, cfg Config, dir DataDir, ring *keyring.Ring, listener net.Listener) (_ *plane, err error) {
	p := &plane{cfg: cfg, listener: listener}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.kv, err = openKV(ctx, cfg, dir); err != nil {
		return nil, err
	}
	if p.store, err = state.Open(ctx, state.Config{KV: p.kv, Log: cfg.Log}); err != nil {
		return nil, err
	}
	if p.logs, err = logstore.Open(logstore.Config{Dir: dir.Logs(), Log: cfg.Log}); err != nil {
		return nil, err
	}
	api, err := ecsapi.New(ecsapi.Config{
		Store: p.store, Place: cfg.Place, Log: cfg.Log,
		Connected: func(id ecs.InstanceID) bool { return p.links.Connected(id) },
		Endpoint:  agentEndpoints,
		Caller:    func(ctx context.Context) string { return wire.CallerFrom(ctx).ARN },
	})
	if err != nil {
		return nil, err
	}
	logs, err := logsapi.New(logsapi.Config{Store: p.logs, Region: cfg.Place.Region, Account: cfg.Place.Account})
	if err != nil {
		return nil, err
	}
	sts, err := newSTS(cfg, ring, p.store)
	if err != nil {
		return nil, err
	}
	srv, err := wire.New(wire.Config{
		Services: []*wire.Service{api.Service(), logs.Register(), sts.Service()},
		Keys:     ring, Region: cfg.Place.Region, Account: cfg.Place.Account, Authorize: access.Authorize, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	p.links = nodelink.New(nodelink.Config{Store: p.store, Place: cfg.Place, Auth: srv, Log: cfg.Log})
	mux := http.NewServeMux()
	mux.Handle("GET /acs/ws", p.links)
	mux.Handle("/", srv)
	p.handler = mux
	return p, nil
}

// openKV opens where the state is kept.
func openKV(ctx context.Context, cfg Config, dir DataDir) (*etcdkv.KV, error) {
	common := etcdkv.Common{Name: hostname(), Log: cfg.Log}
	if len(cfg.EtcdEndpoints) > 0 {
		return etcdkv.External(ctx, etcdkv.ExternalConfig{Common: common, Endpoints: cfg.EtcdEndpoints})
	}
	return etcdkv.Embedded(ctx, etcdkv.EmbeddedConfig{Common: common, Dir: dir.Etcd()})
}

// parts are in the order in which each needs those before it.
func (p *plane) parts() []part {
	return []part{
		{"state", p.store.Run},
		{"log store", p.logs.Run},
		{"orphans", func(ctx context.Context) error {
			return orphans.Run(ctx, orphans.Config{Store: p.store, Log: p.cfg.Log})
		}},
		{"reaper", func(ctx context.Context) error {
			return reap.Run(ctx, reap.Config{Store: p.store, Log: p.cfg.Log})
		}},
		{"agent sessions", p.links.Run},
		{"API", p.serve},
	}
}

// serve answers requests until ctx ends; those under way then have five seconds more.
func (p *plane) serve(ctx context.Context) error {
	srv := &http.Server{
		Handler:           withHost(p.handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          newErrorLog(p.cfg.Log),
	}
	return serveUntil(ctx, srv, p.listener)
}

func (p *plane) close() error {
	var errs []error
	if p.logs != nil {
		errs = append(errs, p.logs.Close())
	}
	if p.kv != nil {
		errs = append(errs, p.kv.Close())
	}
	return errors.Join(errs...)
}
