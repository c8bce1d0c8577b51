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

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Config says what to run and where.
type Config struct {
	// DataDir is where all is kept; one process at a time uses it.
	DataDir string
	// Listen is the address of the API, HOST:PORT. Port 0 picks a free one.
	Listen string
	TLS    TLSConfig
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
func runOn(ctx context.Context, cfg Config, dir DataDir, tcp net.Listener, kv state.KV) error {
	keyFile := cfg.SecretsKey
	if keyFile == "" {
		keyFile = dir.SecretsKey()
	}
	keeper, err := secrets.Open(keyFile)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, cfg, kv)
	if err != nil {
		return err
	}
	if err := takeOver(dir, store.View(), keeper); err != nil {
		return err
	}
	ring, err := keyring.Open(dir.Keys(), cfg.Place.Account)
	if err != nil {
		return err
	}
	at, err := openEndpoint(cfg, dir, tcp)
	if err != nil {
		return err
	}
	info := Info{Endpoint: at.url, CABundle: at.ca, DataDir: dir, Place: cfg.Place}
	if err := dir.writeProfile(cfg.Place.Region, info.Endpoint, info.CABundle, ring.Root()); err != nil {
		return fmt.Errorf("write the AWS profile: %w", err)
	}
	plane, err := newPlane(ctx, cfg, foundation{
		kv: kv, store: store, logs: logstore.Config{Dir: dir.Logs()}, ring: ring, keys: ring, keeper: keeper, pin: at.pin,
	})
	if err != nil {
		return err
	}
	parts := append(plane.parts(), share(dir, store.Store, keeper), plane.office(dir), serving(at.listener, plane.handler, cfg.Log))
	if cfg.Admin != "" {
		l, err := openAdmin(cfg.Admin)
		if err != nil {
			return errors.Join(err, plane.close())
		}
		info.Admin, parts = "http://"+l.Addr().String(), append(parts, admin(l, cfg.Log))
	}
	if cfg.Node == nil {
		if cfg.Ready != nil {
			cfg.Ready(info)
		}
		return errors.Join(runStack(ctx, cfg.Log, parts), plane.close())
	}
	n, err := newNode(*cfg.Node, dir, info, at.client, ring.Root(), cfg.Log)
	if err != nil {
		return errors.Join(err, plane.close())
	}
	n.ready = func() {
		if cfg.Ready != nil {
			cfg.Ready(info)
		}
	}
	err = runStack(ctx, cfg.Log, append(parts, part{"node", n.run}))
	return errors.Join(err, n.close(), plane.close())
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
