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
		b, err := n.bind(r.ID, want)
		if err != nil {
			n.release(r.ID)
			return nil, err
		}
		out.Bindings = append(out.Bindings, b)
	}
	return out, nil
}

// bind gives a container what it asks for; n.mu is held.
func (n *network) bind(id string, want netns.PortRequest) (ecs.NetworkBinding, error) {
	b := ecs.NetworkBinding{BindIP: "0.0.0.0", Protocol: "tcp"}
	first := port{want.HostPort, want.Protocol == "udp"}
	if first.udp {
		b.Protocol = "udp"
	}
	more := max(want.LastPort-want.ContainerPort, 0)
	if first.number == 0 {
		first.number = n.free(first.udp, more)
	}
	for i := range more + 1 {
		p := port{first.number + i, first.udp}
		if n.taken[p] != "" || first.number == 0 {
			return b, fmt.Errorf("bind for 0.0.0.0:%d failed: %w", want.HostPort, netns.ErrPortAllocated)
		}
		n.taken[p] = id
		n.ports[id] = append(n.ports[id], p)
	}
	if want.LastPort != 0 {
		b.ContainerPortRange = fmt.Sprintf("%d-%d", want.ContainerPort, want.LastPort)
		b.HostPortRange = fmt.Sprintf("%d-%d", first.number, first.number+more)
	} else {
		b.ContainerPort, b.HostPort = &want.ContainerPort, &first.number
	}
	return b, nil
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

// free finds a dynamic port that as many free ones follow as said, 0 if there is none; n.mu is held.
func (n *network) free(udp bool, more int32) int32 {
	for range lastPort - firstPort + 1 {
		first, free := n.next, n.next+more <= lastPort
		if n.next++; n.next > lastPort {
			n.next = firstPort
		}
		for i := range more + 1 {
			free = free && n.taken[port{first + i, udp}] == ""
		}
		if free {
			if n.next = first + more + 1; n.next > lastPort {
				n.next = firstPort
			}
			return first
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
