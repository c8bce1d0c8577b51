// Package netns gives containers the network of ECS's bridge mode: a network namespace each, joined by a veth pair to a
// bridge of the node, with an address of their own, masquerading outwards and host ports inwards. It talks netlink and
// nftables itself; no process is started for a container.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-networking.html
package netns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"roadstead.dev/roadstead/internal/ecs"
)

// Config is what a Manager is made of.
type Config struct {
	// DataDir keeps the namespaces and what was given to whom, across restarts. Two managers never share one.
	DataDir string
	// Name tells this manager's bridge, interfaces and nftables table from those of others on the machine: one to six
	// lower-case letters or digits. The bridge is rs<Name> and the table roadstead_<Name>.
	Name string
	// Subnet is where the containers' addresses come from, /8 to /29. Zero picks a free /20 and remembers it in DataDir.
	Subnet netip.Prefix
	// Groups are the security groups' rules at the start; see SetGroups.
	Groups SecurityGroups
	// DynamicPorts is the first and the last host port given out where none was asked for. Zero reads the machine's
	// ip_local_port_range, as ECS does, or 32768 to 60999 without one.
	DynamicPorts [2]uint16
	Log          *slog.Logger
}

// PortRequest asks for one container port, or a range of them, to be reachable at the host.
type PortRequest struct {
	// HostPort 0 asks for any free port of the dynamic range.
	ContainerPort, HostPort int32
	// LastPort ends a range of container ports that begins with ContainerPort; they get host ports that follow one another. Zero
	// is no range.
	LastPort int32
	// Protocol is tcp or udp; empty is tcp.
	Protocol string
}

// Request is one container's network.
type Request struct {
	// ID is the container's runtime id: up to 128 letters, digits, dashes and underscores.
	ID    string
	Ports []PortRequest
}

// Network is what a container got.
type Network struct {
	// Path is the network namespace: a bind mount, seen in the mount namespace of this process and in those made from it
	// afterwards.
	Path string
	IP   netip.Addr
	// Bindings is in the order of the request, with BindIP 0.0.0.0.
	Bindings []ecs.NetworkBinding
}

// ErrPortAllocated is wrapped by Setup's error when a host port is taken by another container or by a program of the
// host, or when no dynamic port is left.
var ErrPortAllocated = errors.New("port is already allocated")

// ErrNoAddress is wrapped by Setup's error when every address of the subnet is in use.
var ErrNoAddress = errors.New("no available IPv4 addresses on this node's bridge")

// ErrBadRequest is wrapped by errors for a request that could never be met.
var ErrBadRequest = errors.New("bad network request")

// ErrClosed is returned by a Manager that was closed.
var ErrClosed = errors.New("network manager is closed")

// bindIP is the address that published ports are bound to: all of the host's IPv4 addresses.
const bindIP = "0.0.0.0"

// Manager owns one bridge, one nftables table and the namespaces in one data directory. All methods may be called at
// once from many goroutines; Setup and Teardown of one id wait for each other.
type Manager struct {
	cfg    Config
	log    *slog.Logger
	bridge bridge
	store  *store
	links  *rtnl
	table  *table
	// taskTable is for tasks with interfaces of their own.
	taskTable *taskTable
	forward   *forwardGuard
	mark      *mark
	ids       keyLocks

	mu       sync.Mutex // guards what follows
	closed   bool
	networks map[string]*allocation
	addrs    addrPool
	ports    *portPool
	// lastVeth is the number of the task's interface that was named last.
	lastVeth uint32

	subnetsMu sync.Mutex // guards subnets, and is held while one is claimed
	subnets   map[netip.Prefix]bool
}

// allocation is one container's share. Only published changes once it is in Manager.networks, under the id's lock.
type allocation struct {
	record
	reserved []*reservation
	// published says that the ports are in the table.
	published bool
}

var nameForm = regexp.MustCompile(`^[a-z0-9]{1,6}$`)
var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// New makes the bridge and the table, or takes over those of an earlier run with the same data directory, with the
// containers that still have their namespaces. Traffic of those is not interrupted.
func New(cfg Config) (*Manager, error) {
	if err := checkConfig(&cfg); err != nil {
		return nil, err
	}
	m := &Manager{
		cfg:      cfg,
		log:      cfg.Log,
		networks: map[string]*allocation{}, subnets: map[netip.Prefix]bool{},
		ids: keyLocks{held: map[string]*keyLock{}},
	}
	var err error
	if m.store, err = openStore(cfg.DataDir); err != nil {
		return nil, err
	}
	if m.ports, err = newPortPool(cfg.DynamicPorts); err != nil {
		return nil, err
	}
	if m.links, err = openRTNL(); err != nil {
		return nil, err
	}
	if err := m.start(); err != nil {
		m.release()
		return nil, err
	}
	return m, nil
}

// start takes over what is there, and makes what is missing.
func (m *Manager) start() error {
	var err error
	if m.mark, err = holdMark("rs" + m.cfg.Name); err != nil {
		m.log.Warn("another process seems to have this network", "name", m.cfg.Name, "error", err)
	}
	records, err := m.store.load()
	if err != nil {
		return err
	}
	live, stale := m.splitRecords(records)
	if m.bridge, err = m.links.ensureBridge(m.cfg, m.store, len(live) > 0); err != nil {
		return err
	}
	for _, r := range live { // if somebody removed the bridge, their interfaces hang on none
		if err := m.replug(r); err != nil {
			return err
		}
	}
	m.addrs = newAddrPool(m.bridge.subnet)
	elements := m.adopt(live)
	if m.table, err = openTable(m.cfg.Name, m.bridge, elements); err != nil {
		return err
	}
	if m.taskTable, err = openTaskTable(m.cfg.Name, m.bridge, m.cfg.Groups, m.endpoints()); err != nil {
		return err
	}
	for _, r := range stale {
		if err := m.removeKernel(r); err != nil {
			m.log.Warn("cannot remove the rest of a network", "id", r.ID, "error", err)
		}
	}
	m.forward, err = watchForward(m.table, m.taskTable, m.log)
	return err
}

// adopt puts the records of an earlier run in force and returns the ports they need in the table.
func (m *Manager) adopt(live []record) []element {
	var elements []element
	for _, r := range live {
		a := &allocation{record: r, published: true}
		if r.Task != nil {
			m.networks[r.ID] = a
			continue
		}
		if !m.addrs.take(r.IP) {
			m.log.Warn("address of a container of an earlier run is outside the subnet", "id", r.ID, "ip", r.IP)
		}
		for _, e := range r.elements() {
			res, err := m.ports.reserve(e.protocol, e.hostPort)
			if err != nil {
				m.log.Warn("host port of a running container was taken while the agent was away",
					"id", r.ID, "port", e.hostPort, "protocol", e.protocol, "error", err)
				continue
			}
			a.reserved = append(a.reserved, res)
		}
		elements = append(elements, r.elements()...)
		m.networks[r.ID] = a
	}
	return elements
}

// splitRecords tells networks that were finished and are whole from what a crash or a reboot left of others.
func (m *Manager) splitRecords(records []record) (live, stale []record) {
	for _, r := range records {
		if r.complete && isNamespace(m.store.netnsPath(r.ID)) && m.links.exists(r.Veth) {
			live = append(live, r)
		} else {
			stale = append(stale, r)
		}
	}
	return live, stale
}

// Bridge is the name of the bridge interface.
func (m *Manager) Bridge() string { return m.bridge.name }

// Gateway is the host's address on the bridge. It is where containers reach services of the node.
func (m *Manager) Gateway() netip.Addr { return m.bridge.gateway }

// Subnet is where the containers' addresses come from.
func (m *Manager) Subnet() netip.Prefix { return m.bridge.subnet }

// ServeMetadata sends containers' connections to 169.254.170.2 port 80, where the credentials and metadata endpoints of
// ECS are, to target, which may be on loopback. A zero target ends it. It is not remembered in the data directory.
func (m *Manager) ServeMetadata(target netip.AddrPort) error {
	if target.IsValid() && !target.Addr().Is4() {
		return fmt.Errorf("%w: the metadata server's address %v is not IPv4", ErrBadRequest, target)
	}
	return errors.Join(m.table.setMetadata(target), m.taskTable.changes.do(taskChange{metadata: &target}))
}

// Close lets go of what the process holds and leaves the containers' networks as they are. Host ports are no longer kept
// from programs of the host until the next New.
func (m *Manager) Close(context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	for _, a := range m.networks {
		releaseAll(a.reserved)
	}
	m.mu.Unlock()
	return m.release()
}

// Destroy removes everything: the containers' networks, the bridge, the table and what DataDir remembers. The manager is
// closed afterwards.
func (m *Manager) Destroy(ctx context.Context) error {
	err := m.Sweep(ctx, func(string) bool { return false })
	if errors.Is(err, ErrClosed) {
		return err
	}
	err = errors.Join(err, m.forward.close(), m.forward.remove(), m.table.remove(), removeTable(m.taskTable.table), m.links.deleteLink(m.bridge.name))
	if err == nil {
		err = m.store.remove()
	}
	return errors.Join(err, m.Close(ctx))
}

// release closes the sockets.
func (m *Manager) release() error {
	var errs []error
	if m.forward != nil {
		errs = append(errs, m.forward.close())
	}
	if m.table != nil {
		errs = append(errs, m.table.close())
	}
	if m.taskTable != nil {
		errs = append(errs, m.taskTable.close())
	}
	m.links.close()
	m.mark.release()
	return errors.Join(errs...)
}

func checkConfig(cfg *Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if !nameForm.MatchString(cfg.Name) {
		return fmt.Errorf("network name %q must be 1 to 6 lower-case letters or digits", cfg.Name)
	}
	if cfg.DataDir == "" {
		return errors.New("network needs a data directory")
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	cfg.DataDir = dir
	if s := cfg.Subnet; s.IsValid() && (!s.Addr().Is4() || s.Bits() < 8 || s.Bits() > 29) {
		return fmt.Errorf("subnet %v must be IPv4, /8 to /29", s)
	}
	cfg.Subnet = cfg.Subnet.Masked()
	if os.Geteuid() != 0 {
		return errors.New("making networks needs root")
	}
	return nil
}
