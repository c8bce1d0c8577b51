package netns

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Offsets of the addresses in an IPv4 header.
const (
	src uint32 = 12
	dst uint32 = 16
)

// rule joins the parts of a rule.
func rule(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func compare(equal bool, value []byte) expr.Any {
	op := expr.CmpOpNeq
	if equal {
		op = expr.CmpOpEq
	}
	return &expr.Cmp{Op: op, Register: 1, Data: value}
}

// interfaceName is the name as nftables compares it, padded with zeros.
func interfaceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func iifname(name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, compare(true, interfaceName(name))}
}

func oifname(name string, equal bool) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, compare(equal, interfaceName(name))}
}

// inPrefix matches an address of the IPv4 header by whether it is in p.
func inPrefix(offset uint32, p netip.Prefix, inside bool) []expr.Any {
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-p.Bits()))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		compare(inside, p.Masked().Addr().AsSlice()),
	}
}

// toThisHost matches packets to any of the host's own addresses.
func toThisHost() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		compare(true, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func anyBit(load expr.Any, bits uint32) []expr.Any {
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		compare(false, make([]byte, 4)),
	}
}

func ctState(bits uint32) []expr.Any {
	return anyBit(&expr.Ct{Register: 1, Key: expr.CtKeySTATE}, bits)
}

// destinationNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h: a connection that a published port caught.
const destinationNAT = 1 << 5

func ctStatus(bits uint32) []expr.Any {
	return anyBit(&expr.Ct{Register: 1, Key: expr.CtKeySTATUS}, bits)
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// Registers of four bytes, which a map's key and value of several parts lie in one after the other. The first is the
// start of register 1.
const (
	reg32First  = uint32(unix.NFT_REG32_00)
	reg32Second = uint32(unix.NFT_REG32_01)
)

// mapPorts is: dnat ip to meta l4proto . th dport map @ports.
func (t *table) mapPorts() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg32First},
		&expr.Payload{DestRegister: reg32Second, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: reg32First, DestRegister: reg32First, IsDestRegSet: true, SetName: t.ports.Name, SetID: t.ports.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg32First, RegProtoMin: reg32Second},
	}
}

// metadataRule sends connections that match from to ECS's metadata address to target.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
func metadataRule(from []expr.Any, target netip.AddrPort) []expr.Any {
	return rule(from, inPrefix(dst, netip.MustParsePrefix("169.254.170.2/32"), true), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		compare(true, []byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		compare(true, binaryutil.BigEndian.PutUint16(80)),
		&expr.Immediate{Register: 1, Data: target.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(target.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	})
}
