package devcluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"roadstead.dev/roadstead/internal/access"
	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/admission"
	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	logsapi "roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/control/daemons"
	"roadstead.dev/roadstead/internal/control/definitions"
	"roadstead.dev/roadstead/internal/control/deploy"
	"roadstead.dev/roadstead/internal/control/hooks"
	"roadstead.dev/roadstead/internal/control/liveness"
	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/control/orphans"
	"roadstead.dev/roadstead/internal/control/reap"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/deliver"
	"roadstead.dev/roadstead/internal/execlink"
	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/nodelink"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
	"roadstead.dev/roadstead/internal/wire"
)

// plane is a control plane, put together and not running yet.
type plane struct {
	cfg   Config
	store *state.Store
	logs  *logstore.Store
	links *nodelink.Server
	execs *execlink.Broker
	desk  *admission.Desk
	// agents is rung when one connects.
	agents loop.Bell
	// newcomers is the daemons' bell, rung as agents is.
	newcomers loop.Bell
	large     loop.Large
	handler   http.Handler
	limits    state.Limits
	events    deliver.Config
}

// foundation is what a control plane stands on: where it keeps what it knows, and whom it knows.
type foundation struct {
	kv state.KV
	// store is the open one on kv; nil has newPlane open it.
	store *openedStore
	logs  logstore.Config
	ring  *keyring.Ring
	// keeper has the keys of the secrets.
	keeper *secrets.Keeper
	// keys are whose requests are taken: those of the ring, or more.
	keys wire.KeySource
	// pin is what join tokens say of the endpoint's certificate.
	pin string
	// joined, if set, is told of each agent's session that begins.
	joined func(ecs.InstanceID)
}

// openedStore is an open store with what notes its events.
type openedStore struct {
	*state.Store
	outbox *events.Outbox
}

func openStore(ctx context.Context, cfg Config, kv state.KV) (*openedStore, error) {
	outbox := events.NewOutbox(cfg.Place, nil)
	store, err := state.Open(ctx, state.Config{KV: kv, Log: cfg.Log, Outbox: outbox.Note})
	if err != nil {
		return nil, err
	}
	return &openedStore{store, outbox}, nil
}

func newPlane(ctx context.Context, cfg Config, base foundation) (_ *plane, err error) {
	p := &plane{cfg: cfg, limits: base.kv.Limits()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if base.store == nil {
		if base.store, err = openStore(ctx, cfg, base.kv); err != nil {
			return nil, err
		}
	}
	p.store = base.store.Store
	base.logs.Log = cfg.Log
	if p.logs, err = logstore.Open(base.logs); err != nil {
		return nil, err
	}
	p.execs = execlink.New(execlink.Config{Log: cfg.Log, Tell: func(id ecs.InstanceID, hold []acs.ExecSession, end []string) bool {
		return p.links.TellExec(id, hold, end)
	}})
	api, err := ecsapi.New(ecsapi.Config{
		Store: p.store, Place: cfg.Place, Log: cfg.Log,
		Connected: func(id ecs.InstanceID) bool { return p.links.Connected(id) },
		Health:    func(id ecs.InstanceID) ecs.InstanceHealth { return p.links.Health(id) },
		Endpoint:  agentEndpoints, MaxRunCount: cfg.Settings.MaxRunTasks, Subnets: cfg.Settings.subnets(cfg.Place),
		HookURLs: cfg.Settings.HookURLs, AgentRelease: cfg.Settings.AgentRelease,
		Exec:        execs{p.execs},
		Caller:      func(ctx context.Context) string { return wire.CallerFrom(ctx).ARN },
		ClientToken: func(ctx context.Context) string { return wire.Extra(ctx, "clientToken") },
		Agent:       func(ctx context.Context) string { return agentKey(wire.CallerFrom(ctx)) },
	})
	if err != nil {
		return nil, err
	}
	logs, err := logsapi.New(logsapi.Config{Store: p.logs, Region: cfg.Place.Region, Account: cfg.Place.Account})
	if err != nil {
		return nil, err
	}
	sts, err := newSTS(cfg, base.ring, p.store)
	if err != nil {
		return nil, err
	}
	vault, err := newSecrets(cfg, base.ring, base.keeper, p.store, p.execs)
	if err != nil {
		return nil, err
	}
	p.desk = admission.New(admission.Config{Store: p.store, Ring: base.ring, Keys: base.keys, Pin: base.pin, Region: cfg.Place.Region, Log: cfg.Log})
	bridge, err := p.newEvents(api, base.store.outbox, base.keeper)
	if err != nil {
		return nil, err
	}
	srv, err := wire.New(wire.Config{
		Services: append(vault, api.Service(), logs.Register(), sts.Service(), bridge),
		Keys:     p.desk, Region: cfg.Place.Region, Account: cfg.Place.Account, Authorize: access.Authorize, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	p.links = nodelink.New(nodelink.Config{Store: p.store, Place: cfg.Place, Auth: srv, Agent: agentKey, Lend: lender(base.ring), AgentRelease: cfg.Settings.AgentRelease, Exec: p.execs, Placing: p.large.Applying, Log: cfg.Log, Joined: func(id ecs.InstanceID) {
		p.agents.Ring(id.String())
		p.newcomers.Ring(id.String())
		if base.joined != nil {
			base.joined(id)
		}
	}})
	mux := http.NewServeMux()
	mux.Handle("GET /acs/ws", p.links)
	mux.Handle("GET /acs/exec", p.links.ExecConnections())
	mux.Handle("GET "+execlink.ClientPath+"{session}", p.execs)
	mux.Handle("GET /tcs/ws", p.links.Telemetry())
	// What is not AWS's has a place of its own, where what is not there is not taken for a call of AWS's.
	mux.HandleFunc("GET /_roadstead/health", health)
	mux.Handle("POST "+join.Path, p.desk)
	mux.Handle("/_roadstead/", http.NotFoundHandler())
	mux.Handle("/", srv)
	p.handler = mux
	return p, nil
}

// agentKey is the id of a caller's key if that is an agent's, else "".
func agentKey(c wire.Caller) string {
	if c.Type == wire.CallerAgent {
		return c.AccessKeyID
	}
	return ""
}

// leaseTTL is how long the next leader waits for one that was killed: the shortest that an etcd of the usual configuration gives.
const leaseTTL = 2 * time.Second

// openKV opens where the state is kept.
func openKV(ctx context.Context, cfg Config, dir DataDir) (*etcdkv.KV, error) {
	common := etcdkv.Common{Name: hostname(), Log: cfg.Log}
	if len(cfg.EtcdEndpoints) > 0 {
		common.LeaseTTL = leaseTTL
		return etcdkv.External(ctx, etcdkv.ExternalConfig{Common: common, Endpoints: cfg.EtcdEndpoints})
	}
	return etcdkv.Embedded(ctx, etcdkv.EmbeddedConfig{Common: common, Dir: dir.Etcd()})
}

// parts are in the order in which each needs those before it.
func (p *plane) parts() []part {
	return []part{
		{"state", p.store.Run},
		{"log store", p.logs.Run},
		{"ECS Exec", p.execs.Run},
		{"orphans", func(ctx context.Context) error {
			return orphans.Run(ctx, orphans.Config{Store: p.store, Log: p.cfg.Log})
		}},
		{"reaper", func(ctx context.Context) error {
			return reap.Run(ctx, reap.Config{Store: p.store, Keep: p.cfg.Settings.StoppedTaskRetention, KeepHistory: p.cfg.Settings.ServiceHistoryRetention, Log: p.cfg.Log})
		}},
		{"services", func(ctx context.Context) error {
			return deploy.Run(ctx, deploy.Config{
				Store: p.store, Connected: func(id ecs.InstanceID) bool { return p.links.Connected(id) }, Agents: &p.agents, MaxTasks: p.maxTasks(), Large: &p.large,
				Subnets: p.cfg.Settings.subnets(p.cfg.Place), Log: p.cfg.Log,
			})
		}},
		{"daemons", func(ctx context.Context) error {
			return daemons.Run(ctx, daemons.Config{
				Store: p.store, Connected: func(id ecs.InstanceID) bool { return p.links.Connected(id) }, Bell: &p.newcomers, MaxTasks: p.maxTasks(), Log: p.cfg.Log,
			})
		}},
		{"lost instances", func(ctx context.Context) error {
			after := p.cfg.Settings.lostAfter()
			if after == 0 {
				<-ctx.Done()
				return ctx.Err()
			}
			return liveness.Run(ctx, liveness.Config{Store: p.store, Connected: func(id ecs.InstanceID) bool { return p.links.Connected(id) }, After: after, Log: p.cfg.Log})
		}},
		{"deployment hooks", func(ctx context.Context) error {
			return hooks.Run(ctx, hooks.Config{Store: p.store, Place: p.cfg.Place, Log: p.cfg.Log})
		}},
		{"events", func(ctx context.Context) error { return deliver.Run(ctx, p.events) }},
		{"definitions", func(ctx context.Context) error {
			return definitions.Run(ctx, definitions.Config{Store: p.store, Log: p.cfg.Log})
		}},
		{"agent sessions", p.links.Run},
	}
}

// maxTasks is how many tasks an update of a service's may make: what fits in one transaction of the store beside the service,
// its events and a subnet, and no more than keeps other updates waiting for long.
func (p *plane) maxTasks() int {
	const beside, most = 16, 500
	return max(1, min(most, p.limits.Ops-beside))
}

// serving answers requests of clients and agents.
func serving(l net.Listener, h http.Handler, log *slog.Logger) part {
	srv := &http.Server{Handler: withHost(h), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: newErrorLog(log)}
	return part{"API", func(ctx context.Context) error { return serveUntil(ctx, srv, l) }}
}

// close closes what newPlane opened, once no part runs any more.
func (p *plane) close() error {
	if p.logs == nil {
		return nil
	}
	return p.logs.Close()
}
