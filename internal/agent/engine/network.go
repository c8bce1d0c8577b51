package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// connect gives the container its network. On the host's network its ports are the host's own.
func (e *Engine) connect(ctx context.Context, t *task, c *ecs.ContainerDefinition, spec *runtime.Spec, l *launched) (ip netip.Addr, err error) {
	switch containerNetwork(t.definition, c) {
	case ecs.NetworkNone:
		return ip, nil
	case ecs.NetworkAwsvpc:
		if e.cfg.Simulated { // its interface is the server's word alone
			return ip, nil
		}
		return e.connectTask(ctx, t, spec, l)
	case ecs.NetworkHost:
		spec.NetNS = "host"
		l.bindings = hostBindings(c)
		return ip, nil
	}
	if e.cfg.Network == nil {
		return ip, fmt.Errorf("this agent has no bridge network")
	}
	result, err := e.cfg.Network.Setup(ctx, netns.Request{ID: spec.ID, Ports: portRequests(c)})
	if err != nil {
		return ip, fmt.Errorf("set up the network: %w", err)
	}
	spec.NetNS = result.Path
	l.bindings, l.address = result.Bindings, result.IP
	return result.IP, nil
}

func portRequests(c *ecs.ContainerDefinition) []netns.PortRequest {
	ports := make([]netns.PortRequest, 0, len(c.PortMappings))
	for i := range c.PortMappings {
		p := &c.PortMappings[i]
		r := netns.PortRequest{Protocol: first(p.Protocol, "tcp")}
		if from, to, ok := p.Range(); ok {
			r.ContainerPort, r.LastPort = int32(from), int32(to)
		} else if p.ContainerPort == nil {
			continue
		} else {
			r.ContainerPort = *p.ContainerPort
		}
		if p.HostPort != nil {
			r.HostPort = *p.HostPort
		}
		ports = append(ports, r)
	}
	return ports
}

func hostBindings(c *ecs.ContainerDefinition) []ecs.NetworkBinding {
	var list []ecs.NetworkBinding
	for _, p := range portRequests(c) {
		b := ecs.NetworkBinding{BindIP: "0.0.0.0", Protocol: p.Protocol}
		if p.LastPort != 0 {
			b.ContainerPortRange = fmt.Sprintf("%d-%d", p.ContainerPort, p.LastPort)
			b.HostPortRange = b.ContainerPortRange
		} else {
			port := p.ContainerPort
			b.ContainerPort, b.HostPort = &port, &port
		}
		list = append(list, b)
	}
	return list
}

// teardown removes a container's network if it has one.
func (e *Engine) teardown(id string, c *ecs.ContainerDefinition, d *ecs.TaskDefinition) error {
	if e.cfg.Network == nil || containerNetwork(d, c) != ecs.NetworkBridge {
		return nil
	}
	// Not ctx: a network must go also when the start it was for was given up.
	if err := e.cfg.Network.Teardown(context.WithoutCancel(e.ctx), id); err != nil {
		return fmt.Errorf("tear down the network of container %s: %w", id, err)
	}
	return nil
}

// connects tells whether the task's containers get networks that must be removed.
func (e *Engine) connects(t *task) bool {
	return e.cfg.Network != nil && slices.ContainsFunc(t.definition.ContainerDefinitions, func(c ecs.ContainerDefinition) bool {
		mode := containerNetwork(t.definition, &c)
		return mode == ecs.NetworkBridge || mode == ecs.NetworkAwsvpc
	})
}

// disconnect removes the networks of a task whose containers have ended, at once, as the kernel takes as long for one as for
// many. What fails is tried again when the task is removed.
func (e *Engine) disconnect(t *task) {
	var all sync.WaitGroup
	remove := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil && e.ctx.Err() == nil {
				e.cfg.Log.Error("a network cannot be removed", "task", t.run.ID, "err", err)
			}
		})
	}
	for i := range t.definition.ContainerDefinitions {
		id, def := t.state.Containers[i].RuntimeID, &t.definition.ContainerDefinitions[i]
		remove(func() error { return e.teardown(id, def, t.definition) })
	}
	remove(func() error { return e.detach(t) })
	all.Wait()
	e.observe(t, func() { t.seen.connected = false })
}

// ownInterface tells whether the task's containers share a network interface of their own.
func (t *task) ownInterface() bool { return networkMode(t.definition) == ecs.NetworkAwsvpc }

// connectTask gives a container its task's network, which the first of them makes.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-networking-awsvpc.html
func (e *Engine) connectTask(ctx context.Context, t *task, spec *runtime.Spec, l *launched) (ip netip.Addr, err error) {
	if e.cfg.Network == nil {
		return ip, fmt.Errorf("this agent has no network for tasks with an interface of their own")
	}
	r, err := taskRequest(t.run.ID, t.run.Interface)
	if err != nil {
		return ip, err
	}
	result, err := e.cfg.Network.SetupTask(ctx, r)
	if err != nil {
		return ip, fmt.Errorf("set up the network interface: %w", err)
	}
	spec.NetNS = result.Path
	l.address = result.IP
	return result.IP, nil
}

// taskRequest reads what the server says of a task's interface.
func taskRequest(id ecs.TaskID, i *acs.Interface) (netns.TaskRequest, error) {
	bad := func(err error) (netns.TaskRequest, error) {
		return netns.TaskRequest{}, fmt.Errorf("the server gave the task no network interface that can be: %w", err)
	}
	if i == nil {
		return bad(fmt.Errorf("there is none"))
	}
	mac, err := net.ParseMAC(i.MAC)
	if err != nil {
		return bad(err)
	}
	subnet, err := netip.ParsePrefix(i.CIDR)
	if err != nil {
		return bad(err)
	}
	return netns.TaskRequest{ID: id.String(), Address: netip.AddrFrom4(i.Address), MAC: mac, Subnet: subnet, Groups: i.SecurityGroups}, nil
}

// attached notes that the task's interface is there. t.mu is held.
func (t *task) attached() {
	if t.run.Interface == nil || t.state.Attachment >= ecs.AttachmentAttached {
		return
	}
	t.state.Attachment = ecs.AttachmentAttached
	t.dirty, t.news = true, true
}

// detach removes the task's interface once its containers are gone. It may be done twice.
func (e *Engine) detach(t *task) error {
	if e.cfg.Network == nil || !t.ownInterface() {
		return nil
	}
	if err := e.cfg.Network.Teardown(context.WithoutCancel(e.ctx), t.run.ID.String()); err != nil {
		return fmt.Errorf("remove the network interface of task %s: %w", t.run.ID, err)
	}
	return nil
}

// showNetwork is a container's network as its metadata have it. t.mu is held.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html
func (t *task) showNetwork(c *ecs.ContainerDefinition, address string) metadata.Network {
	n := metadata.Network{Mode: containerNetwork(t.definition, c)}
	if address != "" {
		n.IPv4 = []string{address}
	}
	i := t.run.Interface
	if !t.ownInterface() || i == nil {
		return n
	}
	n.IPv4, n.MAC, n.PrivateDNSName, n.AttachmentIndex = []string{i.Address.String()}, i.MAC, i.PrivateDNSName, new(int)
	if subnet, err := netip.ParsePrefix(i.CIDR); err == nil {
		first := subnet.Masked().Addr()
		n.SubnetCIDR = subnet.Masked().String()
		n.SubnetGateway = netip.PrefixFrom(first.Next(), subnet.Bits()).String()
	}
	if conf, err := resolverOf(c, false); err == nil { // what is not known is not shown
		n.DNSNameservers, n.DNSSearchDomains = conf.servers, conf.search
	}
	return n
}
