package netns

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestConnectivity walks every way that a packet can take: outwards, between containers, and to published ports from
// outside, from the host by each of its addresses, from another container and from the container itself.
func TestConnectivity(t *testing.T) {
	outside := newUplink(t)
	m := newManager(t, "conn")
	for _, protocol := range []string{"tcp", "udp"} {
		t.Run(protocol, func(t *testing.T) {
			_, a := setup(t, m, PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: protocol})
			_, b := setup(t, m, PortRequest{ContainerPort: 80, Protocol: protocol})
			port := int(*b.Bindings[0].HostPort)
			serve(t, a.Path, protocol, ":80", "a")
			serve(t, b.Path, protocol, ":80", "b")
			serve(t, outside.path, protocol, ":7", "outside")
			serve(t, "/proc/thread-self/ns/net", protocol, m.Gateway().String()+":7", "host")

			wantAnswer(t, a.Path, protocol, "192.0.2.2:7", "outside", "192.0.2.1")
			wantAnswer(t, a.Path, protocol, at(m.Gateway(), 7), "host", a.IP.String())
			wantAnswer(t, a.Path, protocol, at(b.IP, 80), "b", a.IP.String())
			wantAnswer(t, a.Path, protocol, "127.0.0.1:80", "a", "127.0.0.1")

			wantAnswer(t, outside.path, protocol, "192.0.2.1:8080", "a", "192.0.2.2")
			wantAnswer(t, outside.path, protocol, fmt.Sprintf("192.0.2.1:%d", port), "b", "192.0.2.2")
			wantAnswer(t, "", protocol, at(a.IP, 80), "a", m.Gateway().String())
			wantAnswer(t, "", protocol, "127.0.0.1:8080", "a", m.Gateway().String())
			wantAnswer(t, "", protocol, "192.0.2.1:8080", "a", "")
			wantAnswer(t, "", protocol, at(m.Gateway(), port), "b", "")
			wantAnswer(t, b.Path, protocol, "192.0.2.1:8080", "a", "")
			wantAnswer(t, b.Path, protocol, at(m.Gateway(), 8080), "a", "")
			wantAnswer(t, a.Path, protocol, "192.0.2.1:8080", "a", "")
		})
	}
}

// TestMetadataAddress: containers reach the agent's metadata server on the host's loopback by ECS's address.
func TestMetadataAddress(t *testing.T) {
	newUplink(t)
	m := newManager(t, "meta")
	_, n := setup(t, m)
	serve(t, "/proc/thread-self/ns/net", "tcp", "127.0.0.1:51679", "agent")
	must(t, m.ServeMetadata(netip.MustParseAddrPort("127.0.0.1:51679")))
	wantAnswer(t, n.Path, "tcp", "169.254.170.2:80", "agent", n.IP.String())
	must(t, m.ServeMetadata(netip.AddrPort{}))
	wantSilence(t, n.Path, "tcp", "169.254.170.2:80")
}

// TestClosedWays: what is not published cannot be reached from outside by a route to the subnet, and a container that
// sends packets to 127.0.0.1 by its gateway does not reach the host's loopback.
func TestClosedWays(t *testing.T) {
	outside := newUplink(t)
	m := newManager(t, "closed")
	_, n := setup(t, m, PortRequest{ContainerPort: 80, HostPort: 8080})
	serve(t, n.Path, "tcp", ":80", "a")
	serve(t, n.Path, "tcp", ":81", "a")
	subnet := &net.IPNet{IP: m.Subnet().Addr().AsSlice(), Mask: net.CIDRMask(m.Subnet().Bits(), 32)}
	must(t, inNamespace(outside.path, func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: subnet, Gw: net.ParseIP("192.0.2.1")})
	}))
	wantAnswer(t, outside.path, "tcp", "192.0.2.1:8080", "a", "192.0.2.2")
	wantSilence(t, outside.path, "tcp", at(n.IP, 80))
	wantSilence(t, outside.path, "tcp", at(n.IP, 81))

	serve(t, "/proc/thread-self/ns/net", "tcp", "127.0.0.1:9", "host")
	must(t, inNamespace(n.Path, func() error { return loopbackByGateway(m.Gateway()) }))
	wantSilence(t, n.Path, "tcp", "127.0.0.1:9")
}

// loopbackByGateway makes a namespace send packets for 127.0.0.0/8 to its gateway, as a container with NET_ADMIN could.
func loopbackByGateway(gateway netip.Addr) error {
	if err := setSysctl("net/ipv4/conf/eth0/route_localnet", "1"); err != nil {
		return err
	}
	filter := &netlink.Route{Table: unix.RT_TABLE_LOCAL, LinkIndex: 1}
	local, err := netlink.RouteListFiltered(unix.AF_INET, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	if err != nil {
		return err
	}
	for _, r := range local {
		if err := netlink.RouteDel(&r); err != nil {
			return err
		}
	}
	eth, err := netlink.LinkByName(containerInterface)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gateway.AsSlice(),
		Dst: &net.IPNet{IP: net.IPv4(127, 0, 0, 0), Mask: net.CIDRMask(8, 32)}})
}
