package netns

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
)

// dropForwarded is what Docker or a person with iptables does: a filter table that drops what is forwarded.
func dropForwarded() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	drop := nftables.ChainPolicyDrop
	table := conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
	conn.AddChain(&nftables.Chain{
		Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
	return conn.Flush()
}

func forwardRules(t *testing.T) int {
	t.Helper()
	conn, err := nftables.New()
	must(t, err)
	chains, err := dropping(conn)
	must(t, err)
	n := 0
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		must(t, err)
		n += len(rules)
	}
	return n
}

// TestForeignDropPolicy: containers' traffic passes another program's firewall, whether that was there before or came
// later, and our rules in it go when the manager is destroyed.
func TestForeignDropPolicy(t *testing.T) {
	outside := newUplink(t)
	t.Cleanup(func() {
		conn, err := nftables.New()
		must(t, err)
		conn.DelTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
		must(t, conn.Flush())
	})
	later := newManager(t, "later")
	child(t, "drop")
	before := newManager(t, "before")
	for _, m := range []*Manager{later, before} {
		_, n := setup(t, m, PortRequest{ContainerPort: 80, HostPort: 8080})
		serve(t, n.Path, "tcp", ":80", "a")
		// If our rules are not there yet, the first packet is lost and the kernel sends it again.
		wantAnswer(t, outside.path, "tcp", "192.0.2.1:8080", "a", "192.0.2.2")
		must(t, m.Destroy(ctx))
	}
	if n := forwardRules(t); n != 0 {
		t.Errorf("%d rules left in the other program's chain", n)
	}
}

// child lets another process change the firewall.
func child(t *testing.T, role string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestFlushedRuleset: a firewall that is restarted flushes all tables. Ours comes back, with its ports, and a network can be
// made or removed in between.
func TestFlushedRuleset(t *testing.T) {
	outside := newUplink(t)
	m := newManager(t, "flush")
	_, a := setup(t, m, PortRequest{ContainerPort: 80, HostPort: 8080})
	gone, _ := setup(t, m, PortRequest{ContainerPort: 80})
	serve(t, a.Path, "tcp", ":80", "a")
	child(t, "flush")
	must(t, m.Teardown(ctx, gone)) // finds its element missing
	child(t, "flush")
	_, b := setup(t, m, PortRequest{ContainerPort: 80, HostPort: 8081})
	serve(t, b.Path, "tcp", ":80", "b")
	wantAnswer(t, outside.path, "tcp", "192.0.2.1:8081", "b", "192.0.2.2")
	child(t, "flush")
	until(t, func() bool { return slices.Contains(kernelState(t).Tables, m.table.table.Name) })
	wantAnswer(t, outside.path, "tcp", "192.0.2.1:8080", "a", "192.0.2.2")
}

// TestRemovedBridge: the next start makes the bridge anew and puts the containers' interfaces into it.
func TestRemovedBridge(t *testing.T) {
	outside := newUplink(t)
	cfg := Config{DataDir: t.TempDir() + "/net", Name: "gone"}
	m, err := New(cfg)
	must(t, err)
	_, n := setup(t, m, PortRequest{ContainerPort: 80, HostPort: 8080})
	serve(t, n.Path, "tcp", ":80", "a")
	must(t, m.Close(ctx))
	bridge, err := hostHandle.LinkByName(m.Bridge())
	must(t, err)
	must(t, hostHandle.LinkDel(bridge))
	m, err = New(cfg)
	must(t, err)
	defer func() { must(t, m.Destroy(ctx)) }()
	wantAnswer(t, outside.path, "tcp", "192.0.2.1:8080", "a", "192.0.2.2")
	wantAnswer(t, n.Path, "tcp", "192.0.2.1:8080", "a", "")
}

// until waits for another goroutine to have done something.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
