package netns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// SecurityGroups are the rules of security groups by id. A value that was given to a Manager is never modified: who
// changes a rule gives a new one. The network's default group, if it is not in it, is as AWS makes it (DefaultGroup). Of any other
// group that is not in it nothing is known, and it admits everything.
type SecurityGroups map[string]SecurityGroup

// SecurityGroup says what may go to tasks of the group, and what they may send; answers always pass.
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html
type SecurityGroup struct {
	Ingress, Egress []GroupRule
}

// GroupRule admits one kind of traffic.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
type GroupRule struct {
	// Protocol is tcp, udp or icmp; empty is all, and ports play no part.
	Protocol string
	// From and To are ports; of icmp the type and the code, where -1 is any.
	From, To int
	// Prefix is the other side's range; or, if Group is set, it is any interface in that group.
	Prefix netip.Prefix
	Group  string
}

// anywhere is all of IPv4.
var anywhere = netip.MustParsePrefix("0.0.0.0/0")

// DefaultGroupID is the group of tasks that name none: the default one of the network.
const DefaultGroupID = "default"

// DefaultGroup is what AWS makes with a new VPC: everything from the same group may come in, everything may go out.
// https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html
func DefaultGroup(id string) SecurityGroup {
	return SecurityGroup{Ingress: []GroupRule{{Group: id}}, Egress: []GroupRule{{Prefix: anywhere}}}
}

func (s SecurityGroups) get(id string) SecurityGroup {
	if g, ok := s[id]; ok {
		return g
	}
	if id == DefaultGroupID {
		return DefaultGroup(id)
	}
	all := []GroupRule{{Prefix: anywhere}}
	return SecurityGroup{Ingress: all, Egress: all}
}

// sortedGroups are a task's groups, each once.
func sortedGroups(ids []string) []string {
	if len(ids) == 0 {
		return []string{DefaultGroupID}
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// groupKey names a combination of groups: interfaces with the same share their rules.
func groupKey(ids []string) string { return strings.Join(ids, ",") }

// memberSet is the name of the set of a group's addresses.
func memberSet(id string) string { return "group_" + id }

// groupRule is the rule in nftables; other is the offset of the other side's address. Of a rule that cannot be met, as
// one with a group that nobody is in, there is none.
func (r GroupRule) exprs(other uint32, members *nftables.Set) ([]expr.Any, bool) {
	var out []expr.Any
	switch {
	case r.Group != "" && members == nil:
		return nil, false
	case r.Group != "":
		out = append(out, inSet(other, members)...)
	case !r.Prefix.Addr().Is4():
		return nil, false
	case r.Prefix.Bits() > 0:
		out = append(out, inPrefix(other, r.Prefix, true)...)
	}
	number, known := map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "icmp": unix.IPPROTO_ICMP}[r.Protocol]
	switch {
	case r.Protocol == "":
		return append(out, &expr.Verdict{Kind: expr.VerdictReturn}), true
	case !known:
		return nil, false
	}
	out = append(out, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, compare(true, []byte{number}))
	if r.Protocol == "icmp" {
		out = append(out, icmpField(0, r.From)...)
		out = append(out, icmpField(1, r.To)...)
	} else {
		out = append(out, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(r.From))},
			&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(r.To))})
	}
	return append(out, &expr.Verdict{Kind: expr.VerdictReturn}), true
}

// icmpField compares the type or the code; a negative value is any.
func icmpField(offset uint32, value int) []expr.Any {
	if value < 0 {
		return nil
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1}, compare(true, []byte{byte(value)}),
	}
}

// inSet matches an address of the IPv4 header that is in a set.
func inSet(offset uint32, set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
	}
}

// byAddress jumps to the chain that a map has for an address of the header, and comes back if that admits the packet.
func byAddress(offset uint32, chains *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: chains.Name, SetID: chains.ID},
	}
}
