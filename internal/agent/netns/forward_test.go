package netns

import (
	"os"
	"os/exec"
	"testing"

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
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), roleEnv+"=drop")
	if out, err := child.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
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
