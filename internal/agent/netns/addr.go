package netns

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// addrPool gives out a subnet's addresses. The first is the gateway; network and broadcast address are never given. It
// goes round the subnet, so that an address is used again as late as possible and nobody's open connection ends up at
// another container. Not safe for use by several goroutines.
type addrPool struct {
	first, last uint32 // inclusive
	next        uint32
	used        map[uint32]bool
}

func newAddrPool(subnet netip.Prefix) addrPool {
	base := addrNumber(subnet.Addr())
	size := uint32(1) << (32 - subnet.Bits())
	return addrPool{first: base + 2, last: base + size - 2, next: base + 2, used: map[uint32]bool{}}
}

// get returns a free address, or false when there is none.
func (p *addrPool) get() (netip.Addr, bool) {
	for range p.last - p.first + 1 {
		n := p.next
		if p.next++; p.next > p.last {
			p.next = p.first
		}
		if !p.used[n] {
			p.used[n] = true
			return numberAddr(n), true
		}
	}
	return netip.Addr{}, false
}

// take marks an address as used, and says whether it was free and of this subnet.
func (p *addrPool) take(a netip.Addr) bool {
	n := addrNumber(a)
	if n < p.first || n > p.last || p.used[n] {
		return false
	}
	p.used[n] = true
	if p.next = n + 1; p.next > p.last {
		p.next = p.first
	}
	return true
}

func (p *addrPool) put(a netip.Addr) { delete(p.used, addrNumber(a)) }

func addrNumber(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func numberAddr(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// macOf derives an interface's hardware address from its IPv4 address, so that a neighbour's ARP cache is right even
// when the address is used again. The first byte marks it as locally administered.
func macOf(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x52, b[0], b[1], b[2], b[3]}
}
