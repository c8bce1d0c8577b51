// Package devcluster puts the parts together: a control plane, a node agent, or both in one process. It is what the
// commands run, and what tests run in place of them.
package devcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/nodelink"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
)

// Config says what to run and where.
type Config struct {
	// DataDir is where all is kept; one process at a time uses it.
	DataDir string
	// Listen is the address of the API, HOST:PORT. Port 0 picks a free one.
	Listen string
	TLS    TLSConfig
	// Advertise is the URL at which the other servers of the same etcd reach this one; empty is found out.
	Advertise string
	// Place is the account and region that the installation plays.
	Place ecs.Place
	// EtcdEndpoints are of an etcd that runs elsewhere; none means one of our own.
	EtcdEndpoints []string
	// SecretsKey is the file with the key of the secrets; empty is the data directory's. Servers of one etcd have the same.
	SecretsKey string
	// Admin is a loopback address for profiles; empty is none.
	Admin    string
	Settings Settings
	// Node is the agent's part; nil runs the control plane alone.
	Node *NodeConfig
	Log  *slog.Logger
	// Ready is called once, when clients can use the installation, its own node included.
	Ready func(Info)
}

// Info is what a user needs to know of a running installation.
type Info struct {
	Endpoint string
	// CABundle is the file of the CA that the endpoint's certificate is signed with; empty if clients need none.
	CABundle string
	// Admin is the URL of the admin address, if there is one.
	Admin   string
	DataDir DataDir
	Place   ecs.Place
}

// Run runs an installation until ctx ends or a part of it fails. Containers run on when it returns.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Settings.Check(); err != nil {
		return err
	}
	dir, lock, err := openDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := cfg.TLS.check(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w (say another --listen HOST:PORT)", err)
	}
	kv, err := openKV(ctx, cfg, dir)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	err = runOn(ctx, cfg, dir, listener, kv)
	return errors.Join(err, kv.Close(), ignoreClosed(listener.Close()))
}

// ignoreClosed is err, unless what was closed has been closed before.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// runOn runs an installation on an open store, which it does not close, no more than the listener if it fails early.
func runOn(ctx context.Context, cfg Config, dir DataDir, tcp net.Listener, kv *etcdkv.KV) error {
	s := &server{cfg: cfg, dir: dir, kv: kv}
	info, err := s.prepare(ctx, tcp)
	if err != nil {
		return err
	}
	parts := []part{{"control plane", s.lead}, serving(s.at.listener, s.relay, cfg.Log)}
	if cfg.Admin != "" {
		l, err := openAdmin(cfg.Admin)
		if err != nil {
			return err
		}
		info.Admin, parts = "http://"+l.Addr().String(), append(parts, admin(l, cfg.Log))
	}
	ready := func() {
		if cfg.Ready != nil {
			cfg.Ready(info)
		}
	}
	if cfg.Node == nil {
		return runStack(ctx, cfg.Log, append(parts, part{"readiness", func(ctx context.Context) error {
			if err := s.relay.ready(ctx); err != nil {
				return err
			}
			ready()
			<-ctx.Done()
			return ctx.Err()
		}}))
	}
	n, err := newNode(*cfg.Node, dir, info, s.at.client, s.ring.Root(), cfg.Log)
	if err != nil {
		return err
	}
	n.ready = ready
	err = runStack(ctx, cfg.Log, append(parts, part{"node", n.run}))
	return errors.Join(err, n.close())
}

// server is one of an installation, of which one leads. What it has to answer its clients is the same in all of them.
type server struct {
	cfg    Config
	dir    DataDir
	kv     *etcdkv.KV
	keeper *secrets.Keeper
	ring   *keyring.Ring
	at     *endpoint
	relay  *relay
	// links are the agents' sessions, once it has led.
	links atomic.Pointer[nodelink.Server]
}

// prepare does all that needs no leadership.
func (s *server) prepare(ctx context.Context, tcp net.Listener) (info Info, err error) {
	keyFile := s.cfg.SecretsKey
	if keyFile == "" {
		keyFile = s.dir.SecretsKey()
	}
	if s.keeper, err = secrets.Open(keyFile); err != nil {
		return info, err
	}
	stored, err := s.kv.Stored(ctx, state.SystemKeysTable)
	if err != nil {
		return info, err
	}
	keys, err := state.ReadSystemKeys(stored)
	if err != nil {
		return info, err
	}
	if err := takeOver(s.dir, keys, s.keeper); err != nil {
		return info, err
	}
	if s.ring, err = keyring.Open(s.dir.Keys(), s.cfg.Place.Account); err != nil {
		return info, err
	}
	if s.at, err = openEndpoint(s.cfg, s.dir, tcp); err != nil {
		return info, err
	}
	if s.relay, err = newRelay(s.ring.Secret("relay between servers", nil), s.at.authority, s.cfg.Log); err != nil {
		return info, err
	}
	url, err := s.at.advertised(s.cfg)
	if err != nil {
		return info, err
	}
	s.kv.Announce(url, s.follow)
	info = Info{Endpoint: s.at.url, CABundle: s.at.ca, DataDir: s.dir, Place: s.cfg.Place}
	if err := s.dir.writeProfile(s.cfg.Place.Region, info.Endpoint, info.CABundle, s.ring.Root()); err != nil {
		return info, fmt.Errorf("write the AWS profile: %w", err)
	}
	return info, nil
}

// follow is told that another server leads.
func (s *server) follow(leader string) {
	s.relay.follow(leader)
	if links := s.links.Load(); links != nil {
		links.EndAll("another server leads")
	}
}

// lead waits for the leadership and runs the control plane then, until ctx ends.
func (s *server) lead(ctx context.Context) error {
	store, err := openStore(ctx, s.cfg, s.kv)
	if err != nil {
		return err
	}
	// What the first server of an installation has made may have been made by another one at the same time.
	if err := takeOver(s.dir, store.View().SystemKeys, s.keeper); err != nil {
		return err
	}
	plane, err := newPlane(ctx, s.cfg, foundation{
		kv: s.kv, store: store, logs: logstore.Config{Dir: s.dir.Logs()}, ring: s.ring, keys: s.ring, keeper: s.keeper, pin: s.at.pin,
	})
	if err != nil {
		return err
	}
	s.links.Store(plane.links)
	s.relay.lead(plane.handler, store.Leading)
	return errors.Join(runStack(ctx, s.cfg.Log, append(plane.parts(), share(s.dir, store.Store, s.keeper), plane.office(s.dir))), plane.close())
}

// reachable is the address at which a listener is reached from its own machine.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}

// hostname names this machine for people.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
