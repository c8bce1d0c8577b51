package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// TaskRequest is the network interface of a task in ECS's mode awsvpc. Address, hardware address and subnet are the
// control plane's choice.
type TaskRequest struct {
	// ID is the task's id, in the form of Request.ID.
	ID      string
	Address netip.Addr
	MAC     net.HardwareAddr
	// Subnet is the range that Address is of. Its first address is the gateway.
	Subnet netip.Prefix
	// Groups are ids of security groups; none is the default group.
	Groups []string
}

// ErrSubnetTaken is wrapped by SetupTask's error for a subnet that the machine routes elsewhere: it is another
// installation's, or that of a network of the machine.
var ErrSubnetTaken = errors.New("the subnet overlaps a network of this machine")

// taskInterface is the part of a record that a network of the mode awsvpc has.
type taskInterface struct {
	MAC    string       `json:"mac"`
	Subnet netip.Prefix `json:"subnet"`
	Groups []string     `json:"groups"`
}

// SetupTask makes the namespace that all containers of a task share, joined to the host by a veth pair of its own and
// not by a bridge: all that a task sends passes the host's routing, where security groups are enforced, on this machine
// and later between machines. Asked again for an id that has the same interface, it returns that. On an error nothing of it
// is left. Teardown and Sweep are as for bridge networks.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-networking-awsvpc.html
func (m *Manager) SetupTask(ctx context.Context, req TaskRequest) (*Network, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer m.ids.lock(req.ID)()
	want := taskInterface{MAC: req.MAC.String(), Subnet: req.Subnet.Masked(), Groups: sortedGroups(req.Groups)}
	if n := m.existingTask(req, want); n != nil {
		return n, nil
	}
	if err := m.teardown(req.ID); err != nil {
		return nil, err
	}
	if err := m.claimSubnet(want.Subnet); err != nil {
		return nil, err
	}
	a, err := m.allocateTask(req, want)
	if err != nil {
		return nil, err
	}
	if err := m.buildTask(a, req.MAC); err != nil {
		err = fmt.Errorf("set up the network interface of task %s: %w", req.ID, err)
		return nil, errors.Join(err, m.teardown(req.ID))
	}
	return m.describe(a.record), nil
}

// SetGroups puts other rules of security groups in force for all tasks, at once. Connections that are established go on.
func (m *Manager) SetGroups(groups SecurityGroups) error {
	return m.taskTable.changes.do(taskChange{groups: &groups})
}

func (r TaskRequest) check() error {
	switch {
	case !idForm.MatchString(r.ID):
		return fmt.Errorf("%w: id %q", ErrBadRequest, r.ID)
	case !r.Subnet.IsValid() || !r.Subnet.Addr().Is4() || r.Subnet.Bits() < 8 || r.Subnet.Bits() > 30:
		return fmt.Errorf("%w: subnet %v must be IPv4, /8 to /30", ErrBadRequest, r.Subnet)
	case !r.Subnet.Contains(r.Address) || r.Address == gatewayOf(r.Subnet):
		return fmt.Errorf("%w: %v is no task's address in %v", ErrBadRequest, r.Address, r.Subnet)
	case len(r.MAC) != 6 || r.MAC[0]&1 != 0:
		return fmt.Errorf("%w: %v is no interface's hardware address", ErrBadRequest, r.MAC)
	}
	for _, g := range r.Groups {
		if !idForm.MatchString(g) {
			return fmt.Errorf("%w: security group %q", ErrBadRequest, g)
		}
	}
	return nil
}

func gatewayOf(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// existingTask returns the finished network of an id that is as asked for.
func (m *Manager) existingTask(req TaskRequest, want taskInterface) *Network {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.networks[req.ID]
	if m.closed || a == nil || a.Task == nil || a.IP != req.Address || a.Task.MAC != want.MAC || a.Task.Subnet != want.Subnet ||
		groupKey(a.Task.Groups) != groupKey(want.Groups) {
		return nil
	}
	return m.describe(a.record)
}

// allocateTask enters a task's interface among the networks, and names its host's end.
func (m *Manager) allocateTask(req TaskRequest, want taskInterface) (*allocation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	for _, other := range m.networks {
		if other.Task != nil && other.IP == req.Address {
			return nil, fmt.Errorf("%w: %v is the address of task %s", ErrBadRequest, req.Address, other.ID)
		}
	}
	a := &allocation{record: record{ID: req.ID, IP: req.Address, Veth: m.freeTaskVeth(), Task: &want}}
	m.networks[req.ID] = a
	return a, nil
}

// freeTaskVeth goes round the names, so that one is used again as late as possible. m.mu is held.
func (m *Manager) freeTaskVeth() string {
	used := make(map[string]bool, len(m.networks))
	for _, a := range m.networks {
		used[a.Veth] = true
	}
	for {
		m.lastVeth = m.lastVeth%maxTaskVeth + 1
		if name := fmt.Sprintf("%s%x", m.bridge.taskPrefix(), m.lastVeth); !used[name] {
			return name
		}
	}
}

// maxTaskVeth is the largest number that fits in an interface's name, in hex.
const maxTaskVeth = 0xffffff

// taskPrefix begins the names of the host's ends of tasks' interfaces. The hyphen, which no manager's name has, keeps them
// apart from those of a manager whose name begins with this one's.
func (b bridge) taskPrefix() string { return b.name + "-" }

// claimSubnet puts a subnet's gateway on the bridge, where it stays as long as the bridge does: tasks reach the host by
// it, and no other manager of the machine takes a subnet that overlaps.
func (m *Manager) claimSubnet(subnet netip.Prefix) error {
	m.subnetsMu.Lock()
	defer m.subnetsMu.Unlock()
	if m.subnets[subnet] {
		return nil
	}
	unlock, err := lockFile(lockPath)
	if err != nil {
		return err
	}
	defer unlock()
	routes, err := m.links.routesOfOthers(m.bridge)
	if err != nil {
		return err
	}
	if clash, ok := overlapping(subnet, routes); ok {
		return fmt.Errorf("%w: %v and %v", ErrSubnetTaken, subnet, clash)
	}
	if subnet.Overlaps(m.bridge.subnet) {
		return fmt.Errorf("%w: %v and the bridge's %v", ErrSubnetTaken, subnet, m.bridge.subnet)
	}
	if err := m.links.addGateway(m.bridge, subnet); err != nil {
		return err
	}
	m.subnets[subnet] = true
	return nil
}

// routesOfOthers are the machine's routes that lead to no interface of this manager.
func (r *rtnl) routesOfOthers(b bridge) ([]netip.Prefix, error) {
	tasks, err := r.taskLinks(b)
	if err != nil {
		return nil, err
	}
	routes, _, err := r.routes(func(link int) bool { return link == b.index || tasks[link] })
	return routes, err
}

// taskLinks are the host's ends of tasks' interfaces.
func (r *rtnl) taskLinks(b bridge) (map[int]bool, error) {
	links, err := r.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := map[int]bool{}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, b.taskPrefix()) {
			out[l.Attrs().Index] = true
		}
	}
	return out, nil
}

func (r *rtnl) addGateway(b bridge, subnet netip.Prefix) error {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: b.name, Index: b.index}}
	addr := &netlink.Addr{IPNet: host(gatewayOf(subnet))}
	if err := r.handle.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("gateway of %v: %w", subnet, err)
	}
	return nil
}

func host(a netip.Addr) *net.IPNet { return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)} }

// buildTask makes the kernel's side of a task's interface.
func (m *Manager) buildTask(a *allocation, mac net.HardwareAddr) error {
	if err := m.store.begin(a.record); err != nil {
		return err
	}
	gateway := gatewayOf(a.Task.Subnet)
	err := makeNamespace(m.store.netnsPath(a.ID), func(ns *os.File) error {
		if err := setSysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := m.links.addTaskVeth(a.Veth, macOf(gateway), m.bridge.mtu, mac, ns); err != nil {
			return err
		}
		return configureTaskInside(a.IP, a.Task.Subnet)
	})
	if err != nil {
		return err
	}
	if err := m.links.routeTo(a.Veth, a.IP, gateway, mac); err != nil {
		return err
	}
	if err := m.taskTable.changes.do(taskChange{add: a.endpoint()}); err != nil {
		return err
	}
	a.published = true
	return m.store.finish(a.ID)
}

func (a *allocation) endpoint() *endpoint { return &endpoint{a.IP, a.Task.Groups} }

// addTaskVeth makes a veth pair in one request: its host end up, its other end in the namespace.
func (r *rtnl) addTaskVeth(name string, mac net.HardwareAddr, mtu int, peer net.HardwareAddr, ns *os.File) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Sockets = r.raw
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	addVethEnd(req.AddData, mtu)
	req.AddData(vethInfo(mtu, peer, ns))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("make interface %s: %w", name, err)
	}
	return nil
}

// routeTo leads packets for a task to its interface. The neighbour's address is known and never asked for.
func (r *rtnl) routeTo(veth string, ip, gateway netip.Addr, mac net.HardwareAddr) error {
	// A program of the host may listen on 127.0.0.1 for the metadata address; the guard chain keeps tasks from the rest.
	if err := setSysctl("net/ipv4/conf/"+veth+"/route_localnet", "1"); err != nil {
		return err
	}
	link, err := r.handle.LinkByName(veth)
	if err != nil {
		return fmt.Errorf("look for interface %s: %w", veth, err)
	}
	index := link.Attrs().Index
	neigh := &netlink.Neigh{LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac}
	if err := r.handle.NeighSet(neigh); err != nil {
		return fmt.Errorf("neighbour %v: %w", ip, err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: host(ip), Scope: netlink.SCOPE_LINK, Src: gateway.AsSlice()}
	if err := r.handle.RouteReplace(route); err != nil {
		return fmt.Errorf("route to %v: %w", ip, err)
	}
	return nil
}

// configureTaskInside gives the task's end its address and routes. It runs on a thread that is in the namespace. The
// subnet's other addresses are behind the gateway as well.
func configureTaskInside(ip netip.Addr, subnet netip.Prefix) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open rtnetlink in the task's namespace: %w", err)
	}
	defer h.Close()
	if err := h.LinkSetUp(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}}); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	eth, err := h.LinkByName(containerInterface)
	if err != nil {
		return fmt.Errorf("task's interface: %w", err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(subnet.Bits(), 32)}, Flags: unix.IFA_F_NOPREFIXROUTE}
	if err := h.AddrAdd(eth, addr); err != nil {
		return fmt.Errorf("task's address: %w", err)
	}
	if err := h.LinkSetUp(eth); err != nil {
		return fmt.Errorf("task's interface up: %w", err)
	}
	gateway, index := gatewayOf(subnet), eth.Attrs().Index
	neigh := &netlink.Neigh{LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: gateway.AsSlice(), HardwareAddr: macOf(gateway)}
	if err := h.NeighSet(neigh); err != nil {
		return fmt.Errorf("task's gateway: %w", err)
	}
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Dst: host(gateway), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Gw: gateway.AsSlice()},
	} {
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("task's routes: %w", err)
		}
	}
	return nil
}

// replug connects a network of an earlier run with a bridge that may be new.
func (m *Manager) replug(r record) error {
	if r.Task == nil {
		return m.links.plugIn(r.Veth, m.bridge)
	}
	mac, err := net.ParseMAC(r.Task.MAC)
	if err != nil {
		return fmt.Errorf("record of task %s: %w", r.ID, err)
	}
	m.subnets[r.Task.Subnet] = true
	if err := m.links.addGateway(m.bridge, r.Task.Subnet); err != nil {
		return err
	}
	// The kernel drops routes with the address of an interface that goes.
	return m.links.routeTo(r.Veth, r.IP, gatewayOf(r.Task.Subnet), mac)
}

// endpoints are the tasks' interfaces that there are at the start.
func (m *Manager) endpoints() []endpoint {
	var out []endpoint
	for _, a := range m.networks {
		if a.Task != nil {
			out = append(out, *a.endpoint())
		}
	}
	return out
}
