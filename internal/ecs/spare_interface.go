package ecs

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// AttributeInterface begins the names of the attributes by which the operator of a host with Amazon's agent offers its network interfaces
// to tasks in the network mode awsvpc, one each: roadstead.network-interface.1 and so on.
const AttributeInterface = "roadstead.network-interface."

// SpareInterface is a network interface of a host's that a task can have for itself.
type SpareInterface struct {
	// MAC is six bytes in lower-case hex, with colons.
	MAC string
	// Prefix is the interface's address with the size of its subnet.
	Prefix   netip.Prefix
	Gateway  netip.Addr
	SubnetID string
}

// ParseSpareInterface reads an attribute's value: MAC ADDRESS/BITS GATEWAY SUBNET, with a space between, all IPv4.
func ParseSpareInterface(value string) (s SpareInterface, err error) {
	words := strings.Fields(value)
	if len(words) != 4 {
		return s, fmt.Errorf("%q is not of the form MAC ADDRESS/BITS GATEWAY SUBNET", value)
	}
	mac, err := net.ParseMAC(words[0])
	if err != nil || len(mac) != 6 {
		return s, fmt.Errorf("%q is no MAC address", words[0])
	}
	s.MAC, s.SubnetID = mac.String(), words[3]
	if s.Prefix, err = netip.ParsePrefix(words[1]); err != nil || !s.Prefix.Addr().Is4() {
		return s, fmt.Errorf("%q is no IPv4 address with the size of its subnet", words[1])
	}
	if s.Gateway, err = netip.ParseAddr(words[2]); err != nil || !s.Prefix.Contains(s.Gateway) || s.Gateway == s.Prefix.Addr() {
		return s, fmt.Errorf("%q is no gateway of %s", words[2], s.Prefix)
	}
	return s, nil
}

// SpareInterfaces are those that the instance's host offers, whether a task has them or not, in the order of the attributes. What cannot
// be read is left out.
func (i *Instance) SpareInterfaces() []SpareInterface {
	var out []SpareInterface
	for _, a := range i.Attributes {
		if !strings.HasPrefix(a.Name, AttributeInterface) {
			continue
		}
		if s, err := ParseSpareInterface(a.Value); err == nil {
			out = append(out, s)
		}
	}
	return out
}
