package netns

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A connection that the kernel tracks keeps the destination that was chosen at its first packet. So flows that began
// before a port was published, or go to a container that is gone, must be forgotten, or they would never arrive.

// flowFilter matches tracked connections.
type flowFilter func(*netlink.ConntrackFlow) bool

// MatchConntrackFlow is what the netlink package calls.
func (f flowFilter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool { return f(flow) }

// forgetPorts ends UDP flows to host ports that are published now. TCP needs it not: a connection's first packet to a
// port that was closed was refused.
func (r *rtnl) forgetPorts(rec record) error {
	udp := map[uint16]bool{}
	for _, p := range rec.Ports {
		if p.Protocol == "udp" {
			udp[p.Host] = true
		}
	}
	if len(udp) == 0 {
		return nil
	}
	return r.forget(func(f *netlink.ConntrackFlow) bool {
		return f.Forward.Protocol == unix.IPPROTO_UDP && udp[f.Forward.DstPort]
	})
}

// forgetContainer ends the flows through a container's published ports, so that the next packet of such a connection is
// refused or goes to whoever has the port then.
func (r *rtnl) forgetContainer(rec record) error {
	if len(rec.Ports) == 0 {
		return nil
	}
	return r.forget(func(f *netlink.ConntrackFlow) bool {
		from, ok := netip.AddrFromSlice(f.Reverse.SrcIP)
		return ok && from.Unmap() == rec.IP
	})
}

func (r *rtnl) forget(filter flowFilter) error {
	_, err := r.handle.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filter)
	if err != nil {
		return fmt.Errorf("forget tracked connections: %w", err)
	}
	return nil
}
