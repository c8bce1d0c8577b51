package netns

import (
	"errors"
	"fmt"
	"net"
	"testing"
)

func wantConflict(t *testing.T, err error, port int) {
	t.Helper()
	want := fmt.Sprintf("Bind for 0.0.0.0:%d failed: port is already allocated", port)
	if !errors.Is(err, ErrPortAllocated) || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestPortConflicts: a host port is refused when a container, another manager's container or a program of the host has
// it, whatever address and options that one uses; and the other way round.
func TestPortConflicts(t *testing.T) {
	must(t, setLoopbackUp())
	one, two := newManager(t, "one"), newManager(t, "two")
	ask := func(m *Manager, protocol string, port int32) error {
		_, err := m.Setup(ctx, Request{ID: newID(), Ports: []PortRequest{{ContainerPort: 80, HostPort: port, Protocol: protocol}}})
		return err
	}
	must(t, ask(one, "tcp", 80))
	wantConflict(t, ask(one, "tcp", 80), 80)
	wantConflict(t, ask(two, "tcp", 80), 80)
	must(t, ask(two, "udp", 80))
	wantConflict(t, ask(one, "udp", 80), 80)
	if l, err := net.Listen("tcp", ":80"); err == nil {
		l.Close()
		t.Error("a program of the host could listen on a container's port")
	}
	if l, err := net.ListenPacket("udp", ":80"); err == nil {
		l.Close()
		t.Error("a program of the host could listen on a container's UDP port")
	}
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		must(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		wantConflict(t, ask(one, "tcp", int32(port)), port)
		l.Close()
		if err := ask(one, "tcp", int32(port)); err != nil {
			t.Errorf("port of %s after its listener closed: %v", address, err)
		}
	}
}

// TestPortsInOneRequest: twice the same is a conflict, and a refused request keeps nothing.
func TestPortsInOneRequest(t *testing.T) {
	must(t, setLoopbackUp())
	m := newManager(t, "req", func(c *Config) { c.DynamicPorts = [2]uint16{40000, 40001} })
	id := newID()
	static := PortRequest{ContainerPort: 80, HostPort: 40000}
	_, err := m.Setup(ctx, Request{ID: id, Ports: []PortRequest{static, static}})
	wantConflict(t, err, 40000)
	_, err = m.Setup(ctx, Request{ID: id, Ports: []PortRequest{{ContainerPort: 1}, {ContainerPort: 2}, {ContainerPort: 3}}})
	if !errors.Is(err, ErrPortAllocated) {
		t.Errorf("three dynamic ports of two: %v", err)
	}
	// The dynamic port comes first and must leave the static one.
	n, err := m.Setup(ctx, Request{ID: id, Ports: []PortRequest{{ContainerPort: 1}, static, {ContainerPort: 2, Protocol: "udp"}}})
	must(t, err)
	if got := *n.Bindings[0].HostPort; got != 40001 {
		t.Errorf("dynamic port %d, want 40001", got)
	}
	if b := n.Bindings[1]; *b.HostPort != 40000 || *b.ContainerPort != 80 || b.BindIP != "0.0.0.0" || b.Protocol != "tcp" {
		t.Errorf("static binding %+v", b)
	}
	must(t, m.Teardown(ctx, id))
	setup(t, m, PortRequest{ContainerPort: 1}, static)
}

// TestLingeringConnections: the TIME_WAIT of an earlier server's connection is no conflict.
func TestLingeringConnections(t *testing.T) {
	must(t, setLoopbackUp())
	m := newManager(t, "tw")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	c, err := net.Dial("tcp4", l.Addr().String())
	must(t, err)
	s, err := l.Accept()
	must(t, err)
	s.Close() // the server's side closes first and lingers
	c.Read(make([]byte, 1))
	c.Close()
	l.Close()
	setup(t, m, PortRequest{ContainerPort: 80, HostPort: int32(l.Addr().(*net.TCPAddr).Port)})
}

func TestBadRequests(t *testing.T) {
	must(t, setLoopbackUp())
	m := newManager(t, "bad")
	id := newID()
	for _, r := range []Request{
		{}, {ID: "../../etc/passwd"}, {ID: "a/b"}, {ID: string(make([]byte, 64))}, {ID: id + id + "0"},
		{ID: id, Ports: []PortRequest{{}}},
		{ID: id, Ports: []PortRequest{{ContainerPort: 65536}}},
		{ID: id, Ports: []PortRequest{{ContainerPort: 80, HostPort: -1}}},
		{ID: id, Ports: []PortRequest{{ContainerPort: 80, HostPort: 65536}}},
		{ID: id, Ports: []PortRequest{{ContainerPort: 80, Protocol: "sctp"}}},
	} {
		if _, err := m.Setup(ctx, r); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%.80v: %v", r, err)
		}
	}
	if err := m.Teardown(ctx, "../x"); !errors.Is(err, ErrBadRequest) {
		t.Error(err)
	}
	must(t, m.Teardown(ctx, newID()))
}

// TestPortRange: container ports of a range get host ports that follow one another, which all lead there and are all given back.
func TestPortRange(t *testing.T) {
	must(t, setLoopbackUp())
	dynamic := func(c *Config) { c.DynamicPorts = [2]uint16{40000, 40009} }
	cfg := Config{DataDir: t.TempDir() + "/net", Name: "range", DynamicPorts: [2]uint16{40000, 40009}}
	m, err := New(cfg)
	must(t, err)
	defer func() { must(t, m.Destroy(ctx)) }()
	setup(t, m, PortRequest{ContainerPort: 1, HostPort: 40003})
	r := Request{ID: newID(), Ports: []PortRequest{{ContainerPort: 7000, LastPort: 7004}, {ContainerPort: 80}, {ContainerPort: 7000, LastPort: 7001, Protocol: "udp"}}}
	n, err := m.Setup(ctx, r)
	must(t, err)
	if b := n.Bindings[0]; b.ContainerPortRange != "7000-7004" || b.HostPortRange != "40004-40008" || b.ContainerPort != nil || b.HostPort != nil || b.BindIP != "0.0.0.0" {
		t.Errorf("range %+v", b)
	}
	if b := n.Bindings[1]; *b.HostPort != 40009 || b.HostPortRange != "" {
		t.Errorf("port %+v", b)
	}
	for _, port := range []string{":7000", ":7004"} {
		serve(t, n.Path, "tcp", port, port)
	}
	serve(t, n.Path, "udp", ":7001", "udp")
	check := func() {
		t.Helper()
		wantAnswer(t, "", "tcp", "127.0.0.1:40004", ":7000", "")
		wantAnswer(t, "", "tcp", "127.0.0.1:40008", ":7004", "")
		wantAnswer(t, "", "udp", "127.0.0.1:40001", "udp", "")
	}
	check()
	must(t, m.Close(ctx))
	m, err = New(cfg)
	must(t, err)
	check()
	other := newManager(t, "oran", dynamic)
	wantConflict(t, func() error {
		_, err := other.Setup(ctx, Request{ID: newID(), Ports: []PortRequest{{ContainerPort: 1, HostPort: 40008}}})
		return err
	}(), 40008)
	again, err := m.Setup(ctx, r)
	if err != nil || again.Path != n.Path || again.Bindings[0].HostPortRange != "40004-40008" {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	many := Request{ID: newID(), Ports: []PortRequest{{ContainerPort: 1, LastPort: 5}}}
	if _, err := m.Setup(ctx, many); !errors.Is(err, ErrPortAllocated) || err.Error() != "5 contiguous host ports are unavailable: port is already allocated" {
		t.Error("five ports of 40000 to 40002:", err)
	}
	must(t, m.Teardown(ctx, r.ID))
	_, err = m.Setup(ctx, many)
	must(t, err)
	for _, bad := range []PortRequest{{ContainerPort: 9, LastPort: 8}, {ContainerPort: 9, LastPort: 65536}, {ContainerPort: 1, HostPort: 65535, LastPort: 2}} {
		if _, err := m.Setup(ctx, Request{ID: newID(), Ports: []PortRequest{bad}}); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
