package netns

import (
	"fmt"
	"net/netip"
	"testing"
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
	if _, _, err := ask(n.Path, "tcp", "169.254.170.2:80"); err == nil {
		t.Error("metadata address answers after it was taken back")
	}
}
