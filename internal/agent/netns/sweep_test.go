package netns

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestNothingLeft: 500 networks come and go, some by Teardown and some by Sweep, and the kernel is as before.
func TestNothingLeft(t *testing.T) {
	must(t, setLoopbackUp())
	m := newManager(t, "left")
	files := openFiles(t)
	host := namespaceOf(t, "/proc/self/ns/net")
	before := kernelState(t)
	for range 5 {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				id, _ := setup(t, m, PortRequest{ContainerPort: 80}, PortRequest{ContainerPort: 53, Protocol: "udp"})
				if i%2 == 0 {
					must(t, m.Teardown(ctx, id))
				}
			})
		}
		wg.Wait()
		must(t, m.Sweep(ctx, func(string) bool { return false }))
	}
	checkConsistent(t, m, nil)
	if now := namespaceOf(t, "/proc/self/ns/net"); now != host {
		t.Errorf("the process is in %s now, was in %s", now, host)
	}
	if diff := cmp.Diff(before, kernelState(t)); diff != "" {
		t.Error("left behind:", diff)
	}
	if now := openFiles(t); now > files+2 {
		t.Errorf("%d files open, %d before", now, files)
	}
	if len(m.ports.taken)+len(m.addrs.used)+len(m.networks)+len(m.ids.held) != 0 {
		t.Error("the manager remembers networks that are gone")
	}
}

func namespaceOf(t *testing.T, path string) string {
	name, err := os.Readlink(path)
	must(t, err)
	return name
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// TestManagersKeepApart: several managers, each with its own subnet, and one's end is not another's.
func TestManagersKeepApart(t *testing.T) {
	outside := newUplink(t)
	subnets := map[netip.Prefix]bool{}
	managers := make([]*Manager, 4)
	var wg sync.WaitGroup
	for i := range managers {
		wg.Go(func() { managers[i] = newManager(t, fmt.Sprint("apart", i)) })
	}
	wg.Wait()
	ports := make([]int32, len(managers))
	for i, m := range managers {
		if subnets[m.Subnet()] {
			t.Errorf("two managers have %v", m.Subnet())
		}
		subnets[m.Subnet()] = true
		_, n := setup(t, m, PortRequest{ContainerPort: 80})
		ports[i] = *n.Bindings[0].HostPort
		serve(t, n.Path, "tcp", ":80", m.Bridge())
	}
	check := func(rest []*Manager, ports []int32) {
		for i, m := range rest {
			wantAnswer(t, outside.path, "tcp", fmt.Sprintf("192.0.2.1:%d", ports[i]), m.Bridge(), "192.0.2.2")
		}
	}
	check(managers, ports)
	must(t, managers[0].Sweep(ctx, func(string) bool { return false }))
	check(managers[1:], ports[1:])
	must(t, managers[1].Destroy(ctx))
	check(managers[2:], ports[2:])
}

// TestReopened: a manager that is closed and made again finds its subnet, its networks and their ports.
func TestReopened(t *testing.T) {
	must(t, setLoopbackUp())
	cfg := Config{DataDir: t.TempDir() + "/net", Name: "re"}
	m, err := New(cfg)
	must(t, err)
	id, n := setup(t, m, PortRequest{ContainerPort: 80}, PortRequest{ContainerPort: 81, HostPort: 8081})
	serve(t, n.Path, "tcp", ":80", "a")
	subnet := m.Subnet()
	must(t, m.Close(ctx))
	must(t, m.Close(ctx))
	if _, err := m.Setup(ctx, Request{ID: newID()}); err != ErrClosed {
		t.Error("setup after close:", err)
	}
	other := cfg
	other.DataDir = t.TempDir()
	if _, err := New(other); err == nil {
		t.Error("another data directory could take the bridge")
	}
	changed := cfg
	changed.Subnet = netip.MustParsePrefix("10.1.0.0/24")
	if _, err := New(changed); err == nil {
		t.Error("the subnet changed under a running container")
	}
	m, err = New(cfg)
	must(t, err)
	defer func() { must(t, m.Destroy(ctx)) }()
	if m.Subnet() != subnet {
		t.Errorf("subnet %v, was %v", m.Subnet(), subnet)
	}
	again, err := m.Setup(ctx, Request{ID: id, Ports: []PortRequest{{ContainerPort: 80}, {ContainerPort: 81, HostPort: 8081}}})
	must(t, err)
	if diff := cmp.Diff(n, again, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error("another network for the same container:", diff)
	}
	_, err = m.Setup(ctx, Request{ID: newID(), Ports: []PortRequest{{ContainerPort: 80, HostPort: 8081}}})
	wantConflict(t, err, 8081)
	_, fresh := setup(t, m)
	if fresh.IP == n.IP {
		t.Error("an address was given twice")
	}
	wantAnswer(t, "", "tcp", fmt.Sprintf("127.0.0.1:%d", *n.Bindings[0].HostPort), "a", "")
}

// TestSubnets: addresses of a small subnet run out with a clear error; one that is routed elsewhere is refused.
func TestSubnets(t *testing.T) {
	newUplink(t)
	m := newManager(t, "tiny", func(c *Config) { c.Subnet = netip.MustParsePrefix("10.9.8.0/29") })
	for range 5 {
		setup(t, m)
	}
	if _, err := m.Setup(ctx, Request{ID: newID()}); err == nil {
		t.Error("six containers in a /29")
	}
	for _, s := range []string{"192.0.2.0/25", "10.9.0.0/16", "10.0.0.0/30", "fd00::/64"} {
		dir := t.TempDir()
		if m, err := New(Config{DataDir: dir, Name: "no", Subnet: netip.MustParsePrefix(s)}); err == nil {
			t.Errorf("subnet %s was taken", s)
			must(t, m.Destroy(ctx))
		}
	}
}

// TestAddrPool: no address is given twice, none outside, and all are given.
func TestAddrPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subnet := netip.PrefixFrom(netip.MustParseAddr("10.4.0.0"), rapid.IntRange(24, 29).Draw(t, "bits"))
		size := 1<<(32-subnet.Bits()) - 3
		pool, used := newAddrPool(subnet), map[netip.Addr]bool{}
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			if len(used) > 0 && rapid.IntRange(0, 2).Draw(t, "op") == 0 {
				for a := range used {
					pool.put(a)
					delete(used, a)
					break
				}
				continue
			}
			a, ok := pool.get()
			if ok != (len(used) < size) {
				t.Fatalf("%d of %d used and get says %v", len(used), size, ok)
			}
			if ok && (used[a] || !subnet.Contains(a)) {
				t.Fatalf("bad address %v", a)
			}
			if ok {
				used[a] = true
			}
		}
	})
}
