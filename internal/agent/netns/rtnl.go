package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// containerInterface is the interface's name inside of a container, as in Docker.
const containerInterface = "eth0"

// rtnl changes interfaces of the host's network namespace: that in which it was opened.
type rtnl struct {
	handle *netlink.Handle
	raw    map[int]*nl.SocketHandle
	// group is that of the interfaces that are being removed: the manager's own.
	group     uint32
	deletions batcher[string]
	forgets   batcher[flowFilter]
}

// groupBase keeps our interface groups apart from those that people give by hand; the bridge's index is added.
const groupBase = 0x52530000

func openRTNL() (*rtnl, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	r := &rtnl{handle: handle, raw: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}
	r.deletions.run, r.forgets.run = r.deleteLinks, r.forget
	return r, nil
}

func (r *rtnl) close() {
	r.handle.Close()
	r.raw[unix.NETLINK_ROUTE].Close()
}

// exists says whether there is an interface of that name.
func (r *rtnl) exists(name string) bool {
	_, err := r.handle.LinkByName(name)
	return err == nil
}

// deleteLink removes an interface; it is no error if there is none. Those that are removed at the same time are put in a
// group and removed together: the kernel takes tens of milliseconds for one and not much longer for all.
func (r *rtnl) deleteLink(name string) error { return r.deletions.do(name) }

func (r *rtnl) deleteLinks(names []string) []error {
	if len(names) == 1 {
		return []error{r.deleteBy(byName(names[0]))}
	}
	group := nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(r.group))
	errs := make([]error, len(names))
	for i, name := range names {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		req.Sockets = r.raw
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
		req.AddData(group)
		if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.ENODEV) {
			errs[i] = fmt.Errorf("remove interface %s: %w", name, err)
		}
	}
	err := r.deleteBy(group)
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

func byName(name string) *nl.RtAttr {
	return nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name))
}

// deleteBy removes what has the attribute; it is no error if nothing has.
func (r *rtnl) deleteBy(attr *nl.RtAttr) error {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.Sockets = r.raw
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(attr)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove interfaces: %w", err)
	}
	return nil
}

// addVeth makes a veth pair in one request: its host end up and in the bridge, its other end in the namespace. The
// netlink package needs four requests for it, each waiting for the kernel's one lock for interfaces.
func (r *rtnl) addVeth(name string, b bridge, peer net.HardwareAddr, ns *os.File) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Sockets = r.raw
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(b.index))))
	addVethEnd(req.AddData, b.mtu)
	req.AddData(vethInfo(b.mtu, peer, ns))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("make interface %s: %w", name, err)
	}
	return nil
}

// vethInfo describes a veth pair's other end, in a container's namespace.
func vethInfo(mtu int, peer net.HardwareAddr, ns *os.File) *nl.RtAttr {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	end := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(end, unix.AF_UNSPEC)
	end.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(containerInterface))
	end.AddRtAttr(unix.IFLA_ADDRESS, peer)
	end.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns.Fd())))
	addVethEnd(func(a nl.NetlinkRequestData) { end.AddChild(a) }, mtu)
	return info
}

// addVethEnd sets what both ends have. One queue is enough for a container, and cheaper to make than one for each core.
func addVethEnd(add func(nl.NetlinkRequestData), mtu int) {
	add(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
	add(nl.NewRtAttr(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1)))
	add(nl.NewRtAttr(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1)))
}

// plugIn puts an interface into the bridge if it is not there.
func (r *rtnl) plugIn(name string, b bridge) error {
	link, err := r.handle.LinkByName(name)
	if err == nil && link.Attrs().MasterIndex != b.index {
		if err = r.handle.LinkSetMasterByIndex(link, b.index); err == nil {
			err = errors.Join(r.handle.LinkSetHairpin(link, true), r.handle.LinkSetUp(link))
		}
	}
	if err != nil {
		return fmt.Errorf("put interface %s into bridge %s: %w", name, b.name, err)
	}
	return nil
}

// allowHairpin lets the bridge send back through a port what came in by it. Where bridged packets pass the IP firewall
// (bridge-nf-call-iptables, the kernel's default), a container's connection to a port that it publishes itself is turned
// round inside of the bridge.
func (r *rtnl) allowHairpin(veth string) error {
	link, err := r.handle.LinkByName(veth)
	if err == nil {
		err = r.handle.LinkSetHairpin(link, true)
	}
	if err != nil {
		return fmt.Errorf("set hairpin of %s: %w", veth, err)
	}
	return nil
}

// configureInside gives the container's end its address and route. It runs on a thread that is in the namespace.
func configureInside(ip netip.Addr, b bridge) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open rtnetlink in the container's namespace: %w", err)
	}
	defer h.Close()
	if err := h.LinkSetUp(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}}); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	eth, err := h.LinkByName(containerInterface)
	if err != nil {
		return fmt.Errorf("container's interface: %w", err)
	}
	subnet := &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(b.subnet.Bits(), 32)}
	if err := h.AddrAdd(eth, &netlink.Addr{IPNet: subnet}); err != nil {
		return fmt.Errorf("container's address: %w", err)
	}
	if err := h.LinkSetUp(eth); err != nil {
		return fmt.Errorf("container's interface up: %w", err)
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: b.gateway.AsSlice()}); err != nil {
		return fmt.Errorf("container's route: %w", err)
	}
	return nil
}

// vethName names an interface by its container's address: unique in this manager, and known from the record.
func (b bridge) vethName(ip netip.Addr) string {
	return fmt.Sprintf("%s%x", b.vethPrefix(), addrNumber(ip)-addrNumber(b.subnet.Addr()))
}

// vethPrefix begins the name of each of this manager's interfaces, and of nobody else's.
func (b bridge) vethPrefix() string { return b.name + "v" }

// veths lists this manager's interfaces.
func (r *rtnl) veths(b bridge) ([]string, error) {
	links, err := r.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []string
	for _, l := range links {
		name := l.Attrs().Name
		bridged := l.Attrs().MasterIndex == b.index && strings.HasPrefix(name, b.vethPrefix())
		if l.Type() == "veth" && (bridged || strings.HasPrefix(name, b.taskPrefix())) {
			out = append(out, l.Attrs().Name)
		}
	}
	return out, nil
}
