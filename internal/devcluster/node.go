package devcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"roadstead.dev/roadstead/internal/agent"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/agent/runtime/images"
	"roadstead.dev/roadstead/internal/agent/runtime/oci"
	"roadstead.dev/roadstead/internal/agent/sdkhttp"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/keyring"
)

// NodeConfig says how this machine is a container instance.
type NodeConfig struct {
	Cluster string
	// Containerd is the address of one that runs already; empty keeps images in stores of our own.
	Containerd string
	// Imports are archives whose images shall be there before tasks run.
	Imports []string
	// InsecureRegistries speak plain HTTP. Loopback ones may always.
	InsecureRegistries []string
	// ReservedMiB is memory that tasks don't get.
	ReservedMiB int32
	// Attributes are custom ones that the machine registers with for the first time.
	Attributes map[string]string
	// CapacityProvider is the one, of the cluster's, that the machine belongs to; empty is none.
	CapacityProvider string
}

// attributes are what the machine's owner says of it, in an order that is always the same.
func (c *NodeConfig) attributes() []ecs.Attribute {
	var out []ecs.Attribute
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		out = append(out, ecs.Attribute{Name: name, Value: c.Attributes[name]})
	}
	if c.CapacityProvider != "" {
		out = append(out, ecs.Attribute{Name: ecs.AttributeCapacityProvider, Value: c.CapacityProvider})
	}
	return out
}

// AgentConfig is for a node whose control plane is elsewhere.
type AgentConfig struct {
	DataDir, Server, Region string
	// Key is the agent's, unless it has joined with a token. Server and Region may be empty if it has.
	Key keyring.Pair
	// Token is a join token; it is needed once.
	Token string
	// CA is that of the server's certificate, in PEM; empty is the one that came with the token, or the machine's own roots.
	CA   []byte
	Node NodeConfig
	Log  *slog.Logger
	// Ready is called once, when the node has joined.
	Ready func(server string)
}

// RunAgent runs a node until ctx ends. Its containers run on.
func RunAgent(ctx context.Context, cfg AgentConfig) error {
	dir, lock, err := openDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := joinServer(ctx, &cfg, dir); err != nil {
		return err
	}
	client, err := join.Client(cfg.CA)
	if err != nil {
		return err
	}
	n, err := newNode(cfg.Node, dir, Info{Endpoint: cfg.Server, Place: ecs.Place{Region: cfg.Region}}, client, cfg.Key, cfg.Log)
	if err != nil {
		return err
	}
	n.ready = func() {
		if cfg.Ready != nil {
			cfg.Ready(cfg.Server)
		}
	}
	return errors.Join(n.run(ctx), n.close())
}

// node is an agent with all it works with.
type node struct {
	cfg     NodeConfig
	dir     DataDir
	log     *slog.Logger
	images  *images.Store
	runtime *oci.Runtime
	shipper *logs.Shipper
	agent   *agent.Agent
	ready   func()
}

func newNode(cfg NodeConfig, dir DataDir, info Info, web *http.Client, key keyring.Pair, log *slog.Logger) (_ *node, err error) {
	n := &node{cfg: cfg, dir: dir, log: log}
	if web == nil {
		web = &http.Client{}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := os.MkdirAll(dir.Node(), 0o700); err != nil {
		return nil, err
	}
	n.images, err = images.Open(context.Background(), images.Config{Dir: dir.path("node/images"), Address: cfg.Containerd, InsecureRegistries: cfg.InsecureRegistries, Log: log})
	if err != nil {
		return nil, fmt.Errorf("open the images: %w", err)
	}
	if n.runtime, err = oci.New(ociConfig(dir, log)); err != nil {
		return nil, fmt.Errorf("start the container runtime: %w", err)
	}
	network, err := netns.New(netnsConfig(dir, log))
	if err != nil {
		return nil, fmt.Errorf("start the network: %w", err)
	}
	endpoint, err := listenMetadata(dir, network, log)
	if err != nil {
		return nil, err
	}
	creds := credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, "")
	client := cloudwatchlogs.New(cloudwatchlogs.Options{Region: info.Place.Region, Credentials: creds, BaseEndpoint: &info.Endpoint, HTTPClient: sdkhttp.New(web)})
	n.shipper = logs.New(logs.Config{Client: client, Log: log})
	var once sync.Once
	n.agent, err = agent.New(agent.Config{
		HTTPClient: web,
		ServerURL:  info.Endpoint, Cluster: cfg.Cluster, MakeCluster: true, Region: info.Place.Region, Credentials: creds, DataDir: dir.path("node/agent"), RunDir: dir.Run(),
		ReservedMemoryMiB: cfg.ReservedMiB, Attributes: cfg.attributes(),
		Images: n.images, Runtime: n.runtime, Network: network, Logs: n.shipper, ExecLogs: client, Metadata: endpoint,
		Log: log,
		OnConnected: func() {
			once.Do(func() {
				if n.ready != nil {
					n.ready()
				}
			})
		},
	})
	return n, err
}

// run runs the node until ctx ends.
func (n *node) run(ctx context.Context) error {
	if err := n.importImages(ctx); err != nil {
		return err
	}
	socket, err := listenUnix(n.dir.Socket())
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: images.Handler(n.images), ErrorLog: newErrorLog(n.log)}
	return runStack(ctx, n.log, []part{
		{"image requests", func(ctx context.Context) error { return serveUntil(ctx, srv, socket) }},
		{"agent", n.agent.Run},
	})
}

// importImages imports the archives whose images are not there yet.
func (n *node) importImages(ctx context.Context) error {
	for _, path := range n.cfg.Imports {
		if err := n.importImage(ctx, path); err != nil {
			return fmt.Errorf("import %s: %w", path, err)
		}
	}
	return nil
}

func (n *node) importImage(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = n.images.Import(ctx, f)
	return err
}

func (n *node) close() error {
	var errs []error
	if n.shipper != nil {
		n.shipper.Close()
	}
	if n.runtime != nil {
		errs = append(errs, n.runtime.Close())
	}
	if n.images != nil {
		errs = append(errs, n.images.Close())
	}
	return errors.Join(errs...)
}

// listenUnix listens on a socket that only this user may use. One that a killed process has left is removed; the data
// directory's lock says that nobody else uses it.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// Images gives the images of the node in a data directory, through its agent if that runs. Without one they are looked
// for in the containerd at an address, or, if that is empty, in the node's own stores.
func Images(ctx context.Context, path, address string, log *slog.Logger) (images.Manager, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the data directory: %w (start `roadstead up` once, or say --data-dir)", err)
	}
	d := DataDir(path)
	if err := os.MkdirAll(d.Node(), 0o700); err != nil {
		return nil, err
	}
	return images.Manage(ctx, d.Socket(), images.Config{Dir: d.path("node/images"), Address: address, Log: log})
}
