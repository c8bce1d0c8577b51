package engine

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/ecs"
)

// fakeNetwork keeps count of networks and host ports; a port taken twice is an error.
type fakeNetwork struct {
	mu    sync.Mutex
	nets  map[string][]int32
	ports map[int32]string
	next  int32
	made  map[string]*netns.Network
}

var _ Network = (*fakeNetwork)(nil)

func (f *fakeNetwork) Setup(_ context.Context, r netns.Request) (*netns.Network, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nets == nil {
		f.nets, f.ports, f.next = map[string][]int32{}, map[int32]string{}, 32768
	}
	if n := f.made[r.ID]; n != nil { // asked again
		return n, nil
	}
	res := &netns.Network{Path: "/run/netns/" + r.ID, IP: netip.AddrFrom4([4]byte{172, 31, 0, 2})}
	var taken []int32
	for _, p := range r.Ports {
		host := p.HostPort
		if host == 0 {
			host = f.next
			f.next++
		}
		if f.ports[host] != "" {
			return nil, fmt.Errorf("port %d is already allocated", host)
		}
		taken = append(taken, host)
		res.Bindings = append(res.Bindings, ecs.NetworkBinding{BindIP: "0.0.0.0", ContainerPort: &p.ContainerPort, HostPort: &host, Protocol: p.Protocol})
	}
	for _, p := range taken {
		f.ports[p] = r.ID
	}
	f.nets[r.ID] = taken
	if f.made == nil {
		f.made = map[string]*netns.Network{}
	}
	f.made[r.ID] = res
	return res, nil
}

func (f *fakeNetwork) SetupTask(_ context.Context, r netns.TaskRequest) (*netns.Network, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nets == nil {
		f.nets, f.ports, f.next = map[string][]int32{}, map[int32]string{}, 32768
	}
	f.nets[r.ID] = nil
	return &netns.Network{Path: "/run/netns/" + r.ID, IP: r.Address}, nil
}

func (f *fakeNetwork) Teardown(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.nets[id] {
		delete(f.ports, p)
	}
	delete(f.nets, id)
	delete(f.made, id)
	return nil
}

func (f *fakeNetwork) Sweep(ctx context.Context, live func(id string) bool) error {
	f.mu.Lock()
	var dead []string
	for id := range f.nets {
		if !live(id) {
			dead = append(dead, id)
		}
	}
	f.mu.Unlock()
	for _, id := range dead {
		f.Teardown(ctx, id)
	}
	return nil
}

func (f *fakeNetwork) up() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.nets)
}

// fakeLogs counts shipments. An option "refuse" is refused; while stuck, nothing drains.
type fakeLogs struct {
	mu       sync.Mutex
	attached map[*fakeShipment]bool
	stuck    chan struct{}
	drained  int
	last     logs.Source
}

var _ Logs = (*fakeLogs)(nil)

type fakeShipment struct{ logs *fakeLogs }

func (f *fakeLogs) Attach(_ context.Context, s logs.Source) (logs.Shipment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if why, ok := s.Options["refuse"]; ok {
		return nil, fmt.Errorf("failed to initialize logging driver: %s", why)
	}
	if f.attached == nil {
		f.attached = map[*fakeShipment]bool{}
	}
	f.last = s
	sh := &fakeShipment{f}
	f.attached[sh] = true
	return sh, nil
}

func (f *fakeLogs) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.attached)
}

func (s *fakeShipment) Drain(ctx context.Context) error {
	s.logs.mu.Lock()
	stuck := s.logs.stuck
	s.logs.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.logs.mu.Lock()
	s.logs.drained++
	s.logs.mu.Unlock()
	s.Close()
	return nil
}

func (s *fakeShipment) Close() {
	s.logs.mu.Lock()
	defer s.logs.mu.Unlock()
	delete(s.logs.attached, s)
}
