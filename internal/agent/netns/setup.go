package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"roadstead.dev/roadstead/internal/ecs"
)

// Setup makes a container's network. Asked again for an id that has one, it returns that if the ports are the same, and
// makes it anew if not. On an error nothing of it is left.
func (m *Manager) Setup(ctx context.Context, req Request) (*Network, error) {
	ports, err := checkRequest(req)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer m.ids.lock(req.ID)()
	if n := m.existing(req.ID, ports); n != nil {
		return n, nil
	}
	if err := m.teardown(req.ID); err != nil {
		return nil, err
	}
	a, err := m.allocate(req.ID, ports)
	if err != nil {
		return nil, err
	}
	if err := m.build(a); err != nil {
		err = fmt.Errorf("set up network of container %s: %w", req.ID, err)
		return nil, errors.Join(err, m.teardown(req.ID))
	}
	return m.describe(a.record), nil
}

// build makes the kernel's side of an allocation.
func (m *Manager) build(a *allocation) error {
	if err := m.store.begin(a.record); err != nil {
		return err
	}
	err := makeNamespace(m.store.netnsPath(a.ID), func(ns *os.File) error {
		// Only IPv4 is set up, and an interface with a link-local IPv6 address alone makes programs try it in vain.
		if err := setSysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := m.links.addVeth(a.Veth, m.bridge, macOf(a.IP), ns); err != nil {
			return err
		}
		if len(a.Ports) > 0 {
			if err := m.links.allowHairpin(a.Veth); err != nil {
				return err
			}
		}
		return configureInside(a.IP, m.bridge)
	})
	if err != nil {
		return err
	}
	if err := m.table.apply(a.elements(), nil); err != nil {
		return err
	}
	a.published = true
	if err := m.links.forgetPorts(a.record); err != nil {
		m.log.Warn("cannot end earlier UDP flows to a host port", "id", a.ID, "error", err)
	}
	return m.store.finish(a.ID)
}

// Teardown removes a container's network; it is no error if there is none. Its processes should have ended: those that
// have not keep their namespace, without an interface.
func (m *Manager) Teardown(_ context.Context, id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("%w: id %q", ErrBadRequest, id)
	}
	defer m.ids.lock(id)()
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return m.teardown(id)
}

// teardown is Teardown for one that holds the id's lock. What was given out is only free again when all of it is gone.
func (m *Manager) teardown(id string) error {
	m.mu.Lock()
	a := m.networks[id]
	m.mu.Unlock()
	if a == nil {
		return m.removeKernel(record{ID: id})
	}
	if a.published {
		if err := m.unpublish(a); err != nil {
			return err
		}
		a.published = false
	}
	if err := m.removeKernel(a.record); err != nil {
		return err
	}
	if err := m.links.forgetContainer(a.record); err != nil {
		m.log.Warn("cannot end connections of a container", "id", id, "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.networks, id)
	if a.Task == nil {
		m.addrs.put(a.IP)
	}
	m.ports.free(a.reserved)
	return nil
}

// unpublish takes what leads to a network out of its table.
func (m *Manager) unpublish(a *allocation) error {
	if a.Task != nil {
		return m.taskTable.changes.do(taskChange{del: a.endpoint()})
	}
	return m.table.apply(nil, a.elements())
}

// removeKernel removes a record's namespace and interface, and then the record. All of it may be gone already.
func (m *Manager) removeKernel(r record) error {
	if r.Veth != "" {
		if err := m.links.deleteLink(r.Veth); err != nil {
			return err
		}
	}
	if err := removeNamespace(m.store.netnsPath(r.ID)); err != nil {
		return err
	}
	return m.store.forget(r.ID)
}

// allocate gives an id its address and ports.
func (m *Manager) allocate(id string, want []portRecord) (*allocation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	a := &allocation{record: record{ID: id, Ports: want}}
	// Static ports first: a dynamic one must not take what the same request asks for.
	for _, dynamic := range []bool{false, true} {
		for i := range a.Ports {
			p := &a.Ports[i]
			if p.Dynamic != dynamic {
				continue
			}
			kept, err := m.reserve(*p)
			if err != nil {
				m.ports.free(a.reserved)
				return nil, err
			}
			p.Host = kept[0].key.port
			a.reserved = append(a.reserved, kept...)
		}
	}
	ip, ok := m.addrs.get()
	if !ok {
		m.ports.free(a.reserved)
		return nil, fmt.Errorf("%w: %d of %v are in use", ErrNoAddress, len(m.networks), m.bridge.subnet)
	}
	a.IP, a.Veth = ip, m.bridge.vethName(ip)
	m.networks[id] = a
	return a, nil
}

// reserve keeps the ports that were asked for, or any.
func (m *Manager) reserve(p portRecord) ([]*reservation, error) {
	if p.Dynamic {
		return m.ports.reserveAny(p.Protocol, int(p.More)+1)
	}
	return m.ports.reserveRange(p.Protocol, p.Host, int(p.More)+1)
}

// existing returns the finished network of an id whose ports are those asked for.
func (m *Manager) existing(id string, want []portRecord) *Network {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.networks[id]
	if m.closed || a == nil || a.Task != nil || len(a.Ports) != len(want) {
		return nil
	}
	for i, p := range a.Ports {
		if p.Dynamic {
			p.Host = 0
		}
		if p != want[i] {
			return nil
		}
	}
	return m.describe(a.record)
}

func (m *Manager) describe(r record) *Network {
	n := &Network{Path: m.store.netnsPath(r.ID), IP: r.IP}
	for _, p := range r.Ports {
		n.Bindings = append(n.Bindings, p.binding())
	}
	return n
}

func (p portRecord) binding() ecs.NetworkBinding {
	b := ecs.NetworkBinding{BindIP: bindIP, Protocol: p.Protocol}
	if p.Range {
		b.ContainerPortRange = fmt.Sprintf("%d-%d", p.Container, p.Container+p.More)
		b.HostPortRange = fmt.Sprintf("%d-%d", p.Host, p.Host+p.More)
		return b
	}
	container, host := int32(p.Container), int32(p.Host)
	b.ContainerPort, b.HostPort = &container, &host
	return b
}

// checkRequest turns a request's ports into records; Host is 0 where any will do.
func checkRequest(req Request) ([]portRecord, error) {
	if !idForm.MatchString(req.ID) {
		return nil, fmt.Errorf("%w: id %q", ErrBadRequest, req.ID)
	}
	var out []portRecord
	for _, p := range req.Ports {
		protocol, err := protocolOf(p.Protocol)
		if err != nil {
			return nil, err
		}
		last := max(p.LastPort, p.ContainerPort)
		if p.ContainerPort < 1 || last > 65535 || p.HostPort < 0 || p.HostPort+last-p.ContainerPort > 65535 || p.LastPort != 0 && p.LastPort < p.ContainerPort {
			return nil, fmt.Errorf("%w: port %d:%d is out of range", ErrBadRequest, p.HostPort, p.ContainerPort)
		}
		out = append(out, portRecord{
			Protocol: protocol, Container: uint16(p.ContainerPort), Host: uint16(p.HostPort), Dynamic: p.HostPort == 0,
			More: uint16(last - p.ContainerPort), Range: p.LastPort != 0,
		})
	}
	return out, nil
}
