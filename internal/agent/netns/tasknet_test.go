package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

var testSubnet = netip.MustParsePrefix("100.64.0.0/20")

// taskRequest is for the nth address of a subnet.
func taskRequest(subnet netip.Prefix, n int, groups ...string) TaskRequest {
	ip := numberAddr(addrNumber(subnet.Addr()) + 3 + uint32(n))
	b := ip.As4()
	return TaskRequest{ID: newID(), Address: ip, MAC: net.HardwareAddr{0x0a, 0x58, b[0], b[1], b[2], b[3]}, Subnet: subnet, Groups: groups}
}

func setupTask(t testing.TB, m *Manager, r TaskRequest) *Network {
	t.Helper()
	n, err := m.SetupTask(ctx, r)
	must(t, err)
	if n.IP != r.Address || len(n.Bindings) != 0 {
		t.Errorf("asked for %v, got %+v", r.Address, n)
	}
	return n
}

// TestTaskConnectivity walks every way of a packet of a task with an interface of its own.
func TestTaskConnectivity(t *testing.T) {
	outside := newUplink(t)
	m := newManager(t, "task")
	for i, protocol := range []string{"tcp", "udp"} {
		t.Run(protocol, func(t *testing.T) {
			a := setupTask(t, m, taskRequest(testSubnet, 10*i+1))
			b := setupTask(t, m, taskRequest(testSubnet, 10*i+2))
			far := setupTask(t, m, taskRequest(netip.MustParsePrefix("100.64.16.0/20"), i+1))
			_, bridged := setup(t, m, PortRequest{ContainerPort: 80, Protocol: protocol})
			port := int(*bridged.Bindings[0].HostPort)
			serve(t, a.Path, protocol, ":80", "a")
			serve(t, b.Path, protocol, ":80", "b")
			serve(t, far.Path, protocol, ":80", "far")
			serve(t, bridged.Path, protocol, ":80", "bridged")
			serve(t, outside.path, protocol, ":7", "outside")
			serve(t, "/proc/thread-self/ns/net", protocol, m.Gateway().String()+":7", "host")

			wantAnswer(t, a.Path, protocol, at(b.IP, 80), "b", a.IP.String())
			wantAnswer(t, b.Path, protocol, at(a.IP, 80), "a", b.IP.String())
			wantAnswer(t, a.Path, protocol, at(far.IP, 80), "far", a.IP.String())
			wantAnswer(t, a.Path, protocol, "127.0.0.1:80", "a", "127.0.0.1")
			wantAnswer(t, a.Path, protocol, at(a.IP, 80), "a", a.IP.String())
			wantAnswer(t, a.Path, protocol, "192.0.2.2:7", "outside", "192.0.2.1")
			wantAnswer(t, a.Path, protocol, at(m.Gateway(), 7), "host", a.IP.String())
			wantAnswer(t, a.Path, protocol, fmt.Sprintf("192.0.2.1:%d", port), "bridged", a.IP.String())
			wantAnswer(t, "", protocol, at(a.IP, 80), "a", "100.64.0.1")
			wantSilence(t, a.Path, protocol, at(bridged.IP, 80))
			wantSilence(t, bridged.Path, protocol, at(a.IP, 80)) // not of its group
		})
	}
}

// TestTaskInterface: the interface has the address and hardware address of the request, and nobody can send with another.
func TestTaskInterface(t *testing.T) {
	outside := newUplink(t)
	m := newManager(t, "face")
	r := taskRequest(testSubnet, 1)
	n := setupTask(t, m, r)
	must(t, inNamespace(n.Path, func() error {
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if eth.Attrs().HardwareAddr.String() != r.MAC.String() {
			t.Errorf("hardware address %v, not %v", eth.Attrs().HardwareAddr, r.MAC)
		}
		addrs, err := netlink.AddrList(eth, netlink.FAMILY_V4)
		if err == nil && (len(addrs) != 1 || addrs[0].IPNet.String() != "100.64.0.4/20") {
			t.Errorf("addresses %v", addrs)
		}
		return err
	}))
	serve(t, outside.path, "tcp", ":7", "outside")
	wantAnswer(t, n.Path, "tcp", "192.0.2.2:7", "outside", "192.0.2.1")
	must(t, inNamespace(n.Path, func() error {
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		stolen, err := netlink.ParseAddr("100.64.0.9/20")
		if err != nil {
			return err
		}
		mine, err := netlink.AddrList(eth, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		if err := netlink.AddrDel(eth, &mine[0]); err != nil {
			return err
		}
		if err := netlink.AddrAdd(eth, stolen); err != nil {
			return err
		}
		gateway := netip.MustParseAddr("100.64.0.1")
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: host(gateway), Scope: netlink.SCOPE_LINK}); err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gateway.AsSlice()})
	}))
	wantSilence(t, n.Path, "tcp", "192.0.2.2:7")
}

// TestTaskMetadata: tasks reach the metadata server, whatever their groups say.
func TestTaskMetadata(t *testing.T) {
	newUplink(t)
	m := newManager(t, "tmeta", func(c *Config) { c.Groups = SecurityGroups{"sg-shut": {}} })
	n := setupTask(t, m, taskRequest(testSubnet, 1, "sg-shut"))
	for _, address := range []string{"127.0.0.1:51679", m.Gateway().String() + ":51679"} {
		serve(t, "/proc/thread-self/ns/net", "tcp", address, "agent")
		must(t, m.ServeMetadata(netip.MustParseAddrPort(address)))
		wantAnswer(t, n.Path, "tcp", "169.254.170.2:80", "agent", n.IP.String())
	}
	serve(t, "/proc/thread-self/ns/net", "tcp", m.Gateway().String()+":7", "host")
	wantSilence(t, n.Path, "tcp", at(m.Gateway(), 7))
	must(t, inNamespace(n.Path, func() error { return loopbackByGateway(gatewayOf(testSubnet)) }))
	wantSilence(t, n.Path, "tcp", "127.0.0.1:51679")
}

// TestGroups: what groups admit passes, in the direction that they admit it and with its answers, and nothing else.
func TestGroups(t *testing.T) {
	outside := newUplink(t)
	rules := SecurityGroups{
		"sg-web":  {Ingress: []GroupRule{{Protocol: "tcp", From: 80, To: 81, Prefix: anywhere}}, Egress: []GroupRule{{Protocol: "tcp", From: 5432, To: 5432, Group: "sg-db"}}},
		"sg-db":   {Ingress: []GroupRule{{Protocol: "tcp", From: 5432, To: 5432, Group: "sg-web"}}},
		"sg-name": {Ingress: []GroupRule{{Protocol: "udp", From: 53, To: 53, Prefix: netip.MustParsePrefix("100.64.0.0/30")}}},
	}
	m := newManager(t, "group", func(c *Config) { c.Groups = rules })
	web := setupTask(t, m, taskRequest(testSubnet, 1, "sg-web"))
	db := setupTask(t, m, taskRequest(testSubnet, 2, "sg-db", "sg-name"))
	one := setupTask(t, m, taskRequest(testSubnet, 3))
	two := setupTask(t, m, taskRequest(testSubnet, 4))
	for _, n := range []*Network{web, db, one, two} {
		for _, port := range []string{":80", ":81", ":82", ":5432"} {
			serve(t, n.Path, "tcp", port, n.IP.String())
		}
		serve(t, n.Path, "udp", ":53", n.IP.String())
	}
	serve(t, outside.path, "tcp", ":7", "outside")
	passes := func(from *Network, protocol string, to *Network, port int) {
		t.Helper()
		wantAnswer(t, from.Path, protocol, at(to.IP, port), to.IP.String(), from.IP.String())
	}
	shut := func(from *Network, protocol string, to *Network, port int) {
		t.Helper()
		wantSilence(t, from.Path, protocol, at(to.IP, port))
	}
	passes(one, "tcp", web, 80)
	passes(one, "tcp", web, 81)
	shut(one, "tcp", web, 82)
	passes(web, "tcp", db, 5432)
	shut(web, "tcp", db, 80)
	shut(web, "tcp", one, 80)
	shut(one, "tcp", db, 5432)
	shut(db, "tcp", web, 80) // no egress
	passes(one, "tcp", two, 82)
	shut(one, "udp", db, 53)
	wantAnswer(t, one.Path, "tcp", "192.0.2.2:7", "outside", "192.0.2.1")
	wantSilence(t, web.Path, "tcp", "192.0.2.2:7")
	wantAnswer(t, "", "tcp", at(db.IP, 80), db.IP.String(), "") // the host is trusted

	must(t, m.SetGroups(SecurityGroups{"sg-name": {Ingress: []GroupRule{{Protocol: "udp", From: 53, To: 53, Prefix: testSubnet}}}}))
	passes(one, "udp", db, 53)
	passes(one, "tcp", web, 82) // nothing is known of its group any more
	third := setupTask(t, m, taskRequest(testSubnet, 5, "sg-web"))
	serve(t, third.Path, "tcp", ":80", third.IP.String())
	passes(web, "tcp", third, 80)
}

// TestTasksReopened: tasks' networks outlive their manager, and an address is not given twice.
func TestTasksReopened(t *testing.T) {
	outside := newUplink(t)
	cfg := Config{DataDir: t.TempDir() + "/net", Name: "tre"}
	m, err := New(cfg)
	must(t, err)
	r, peer := taskRequest(testSubnet, 1), taskRequest(testSubnet, 2)
	n, other := setupTask(t, m, r), setupTask(t, m, peer)
	serve(t, n.Path, "tcp", ":80", "a")
	serve(t, outside.path, "tcp", ":7", "outside")
	check := func() {
		t.Helper()
		wantAnswer(t, other.Path, "tcp", at(n.IP, 80), "a", other.IP.String())
		wantAnswer(t, n.Path, "tcp", "192.0.2.2:7", "outside", "192.0.2.1")
		wantAnswer(t, "", "tcp", at(n.IP, 80), "a", "100.64.0.1")
	}
	must(t, m.Close(ctx))
	check() // without an agent
	m, err = New(cfg)
	must(t, err)
	check()
	must(t, m.Close(ctx))
	bridge, err := netlink.LinkByName(m.Bridge())
	must(t, err)
	must(t, netlink.LinkDel(bridge))
	m, err = New(cfg)
	must(t, err)
	defer func() { must(t, m.Destroy(ctx)) }()
	check()
	again := setupTask(t, m, r)
	if again.Path != n.Path {
		t.Errorf("another namespace for the same task: %v", again)
	}
	double := taskRequest(testSubnet, 1)
	if _, err := m.SetupTask(ctx, double); !errors.Is(err, ErrBadRequest) {
		t.Error("an address was given twice:", err)
	}
	must(t, m.Sweep(ctx, func(id string) bool { return id == r.ID }))
	wantSilence(t, n.Path, "tcp", at(other.IP, 80))
	setupTask(t, m, double2(peer))
}

func double2(r TaskRequest) TaskRequest {
	r.ID = newID()
	return r
}

// TestSubnetTaken: a subnet of another manager, or of the machine, is refused and left alone.
func TestSubnetTaken(t *testing.T) {
	newUplink(t)
	a, b := newManager(t, "tka"), newManager(t, "tkb")
	n := setupTask(t, a, taskRequest(testSubnet, 1))
	serve(t, n.Path, "tcp", ":80", "a")
	for _, s := range []string{"100.64.0.0/20", "100.64.0.0/24", "192.0.2.0/24"} {
		if _, err := b.SetupTask(ctx, taskRequest(netip.MustParsePrefix(s), 1)); !errors.Is(err, ErrSubnetTaken) {
			t.Errorf("%s: %v", s, err)
		}
	}
	setupTask(t, b, taskRequest(netip.MustParsePrefix("100.64.32.0/20"), 1))
	must(t, b.Destroy(ctx))
	wantAnswer(t, "", "tcp", at(n.IP, 80), "a", "")
}

// TestNothingLeftOfTasks: 200 tasks with changing groups come and go, and the kernel is as before.
func TestNothingLeftOfTasks(t *testing.T) {
	must(t, setLoopbackUp())
	m := newManager(t, "tleft")
	must(t, m.Teardown(ctx, setupTaskID(t, m, 1))) // the gateway of the subnet stays
	files, before, rules := openFiles(t), kernelState(t), nftState(t)
	for round := range 4 {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				id := setupTaskID(t, m, i+1, fmt.Sprintf("sg-%d", i%7), "sg-x")
				if i%2 == round%2 {
					must(t, m.Teardown(ctx, id))
				}
			})
		}
		wg.Wait()
		must(t, m.Sweep(ctx, func(string) bool { return false }))
	}
	if diff := cmp.Diff(before, kernelState(t)) + cmp.Diff(rules, nftState(t)); diff != "" {
		t.Error("left behind:", diff)
	}
	if now := openFiles(t); now > files+2 {
		t.Errorf("%d files open, %d before", now, files)
	}
	if len(m.networks)+len(m.taskTable.current) != 0 {
		t.Error("the manager remembers tasks that are gone")
	}
}

func setupTaskID(t testing.TB, m *Manager, n int, groups ...string) string {
	r := taskRequest(testSubnet, n, groups...)
	setupTask(t, m, r)
	return r.ID
}

// nftState lists every table's chains and sets with how much is in them.
func nftState(t testing.TB) []string {
	conn, err := nftables.New()
	must(t, err)
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyIPv4)
	must(t, err)
	var out []string
	for _, table := range tables {
		if !strings.HasPrefix(table.Name, "roadstead_") {
			continue
		}
		sets, err := conn.GetSets(table)
		must(t, err)
		for _, s := range sets {
			elements, err := conn.GetSetElements(s)
			must(t, err)
			out = append(out, fmt.Sprintf("%s set %s: %d", table.Name, s.Name, len(elements)))
		}
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	must(t, err)
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		must(t, err)
		out = append(out, fmt.Sprintf("%s chain %s: %d", c.Table.Name, c.Name, len(rules)))
	}
	return out
}

// TestTaskRequests: requests that could never be met are refused before anything is done.
func TestTaskRequests(t *testing.T) {
	m := newManager(t, "treq")
	good := taskRequest(testSubnet, 1)
	for name, edit := range map[string]func(*TaskRequest){
		"id":      func(r *TaskRequest) { r.ID = "../x" },
		"gateway": func(r *TaskRequest) { r.Address = gatewayOf(testSubnet) },
		"outside": func(r *TaskRequest) { r.Address = netip.MustParseAddr("100.65.0.1") },
		"ipv6":    func(r *TaskRequest) { r.Subnet = netip.MustParsePrefix("fd00::/64") },
		"mac":     func(r *TaskRequest) { r.MAC = net.HardwareAddr{1, 2, 3, 4, 5, 6} },
		"group":   func(r *TaskRequest) { r.Groups = []string{"a b"} },
	} {
		r := good
		edit(&r)
		if _, err := m.SetupTask(ctx, r); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := os.ReadDir(m.store.recordDir())
	if err != nil || len(entries) > 0 {
		t.Error(entries, err)
	}
}

func BenchmarkSetupTask(b *testing.B) {
	must(b, setLoopbackUp())
	m := newManager(b, "tbench")
	for b.Loop() {
		id := setupTaskID(b, m, 1)
		b.StopTimer()
		must(b, m.Teardown(ctx, id))
		b.StartTimer()
	}
}
