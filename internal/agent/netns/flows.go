package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
	for _, e := range rec.elements() {
		if e.protocol == "udp" {
			udp[e.hostPort] = true
		}
	}
	if len(udp) == 0 {
		return nil
	}
	return r.forgets.do(func(f *netlink.ConntrackFlow) bool {
		return f.Forward.Protocol == unix.IPPROTO_UDP && udp[f.Forward.DstPort]
	})
}

// forgetContainer ends the flows through a container's published ports, so that the next packet of such a connection is
// refused or goes to whoever has the port then.
func (r *rtnl) forgetContainer(rec record) error {
	if len(rec.Ports) == 0 && rec.Task == nil {
		return nil
	}
	return r.forgets.do(func(f *netlink.ConntrackFlow) bool {
		from, ok := netip.AddrFromSlice(f.Reverse.SrcIP)
		if ok && from.Unmap() == rec.IP {
			return true
		}
		// A task's address may be another's later: what it began must not be taken for that one's.
		from, ok = netip.AddrFromSlice(f.Forward.SrcIP)
		return rec.Task != nil && ok && from.Unmap() == rec.IP
	})
}

// forget ends the flows that any of the filters matches. The walk takes milliseconds even if there are none.
func (r *rtnl) forget(filters []flowFilter) []error {
	wanted := func(flow *netlink.ConntrackFlow) bool {
		return slices.ContainsFunc(filters, func(f flowFilter) bool { return f(flow) })
	}
	_, err := r.handle.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, flowFilter(wanted))
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		err = fmt.Errorf("forget tracked connections: %w", err)
	}
	return all(len(filters), err)
}
