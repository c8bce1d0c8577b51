package simnode

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/ecs"
)

var _ engine.Network = (*network)(nil)

// Dynamic host ports, as Linux has them by default.
const firstPort, lastPort = 32768, 60999

type port struct {
	number int32
	udp    bool
}

// network gives addresses and host ports that lead nowhere. Host ports are given once at a time, as on a machine.
type network struct {
	mu    sync.Mutex
	taken map[port]string   // to the container
	ports map[string][]port // of a container
	next  int32
	hosts uint32
}

func newNetwork() *network {
	return &network{taken: map[port]string{}, ports: map[string][]port{}, next: firstPort}
}

// Setup implements engine.Network.
func (n *network) Setup(_ context.Context, r netns.Request) (*netns.Network, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := &netns.Network{Path: "simulated", IP: n.address()}
	for _, want := range r.Ports {
		p := port{want.HostPort, want.Protocol == "udp"}
		if p.number == 0 {
			p.number = n.free(p.udp)
		}
		if n.taken[p] != "" || p.number == 0 {
			n.release(r.ID)
			return nil, fmt.Errorf("bind for 0.0.0.0:%d failed: %w", want.HostPort, netns.ErrPortAllocated)
		}
		n.taken[p] = r.ID
		n.ports[r.ID] = append(n.ports[r.ID], p)
		container, host := want.ContainerPort, p.number
		protocol := "tcp"
		if p.udp {
			protocol = "udp"
		}
		out.Bindings = append(out.Bindings, ecs.NetworkBinding{BindIP: "0.0.0.0", ContainerPort: &container, HostPort: &host, Protocol: protocol})
	}
	return out, nil
}

// SetupTask implements engine.Network: the address is the server's choice.
func (n *network) SetupTask(_ context.Context, r netns.TaskRequest) (*netns.Network, error) {
	return &netns.Network{Path: "simulated", IP: r.Address}, nil
}

// address gives the next of Docker's default network; n.mu is held.
func (n *network) address() netip.Addr {
	n.hosts = n.hosts%65533 + 1
	host := n.hosts + 1
	return netip.AddrFrom4([4]byte{172, 17, byte(host >> 8), byte(host)})
}

// free finds a dynamic port, 0 if there is none; n.mu is held.
func (n *network) free(udp bool) int32 {
	for range lastPort - firstPort + 1 {
		p := port{n.next, udp}
		if n.next++; n.next > lastPort {
			n.next = firstPort
		}
		if n.taken[p] == "" {
			return p.number
		}
	}
	return 0
}

// Teardown implements engine.Network.
func (n *network) Teardown(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release(id)
	return nil
}

func (n *network) release(id string) {
	for _, p := range n.ports[id] {
		delete(n.taken, p)
	}
	delete(n.ports, id)
}

// Sweep implements engine.Network: nothing is left of an earlier process.
func (n *network) Sweep(context.Context, func(string) bool) error { return nil }
