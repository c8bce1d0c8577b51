package netns

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	mnl "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// forwardGuard keeps other programs' firewalls from dropping what containers send and get. In nftables a packet must
// pass every table's chains: our table's accept does not help against the DROP policy that Docker (or ufw, or a person)
// gives iptables' FORWARD chain. So a rule for our bridge is put at the head of each such chain, in DOCKER-USER if Docker
// is there, since Docker writes FORWARD anew. What may go to the bridge is decided by the forward chain of our own table.
//
// It listens for changes that others make to the rules (a Docker that starts later, a firewall that is restarted and
// flushes all tables, ours too) and looks again after each.
type forwardGuard struct {
	bridge string
	log    *slog.Logger
	table  *table
	tasks  *taskTable
	events *mnl.Conn
	done   chan struct{}

	mu      sync.Mutex // guards changes, and what follows
	closed  bool
	timer   *time.Timer
	pending bool // the timer runs
}

// settle is how long after a change the rules are looked at: a program that writes them does it in many steps.
const settle = 100 * time.Millisecond

func watchForward(t *table, tasks *taskTable, log *slog.Logger) (*forwardGuard, error) {
	events, err := mnl.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	if err := events.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, errors.Join(fmt.Errorf("watch nftables: %w", err), events.Close())
	}
	g := &forwardGuard{bridge: t.bridge.name, table: t, tasks: tasks, log: log, events: events, done: make(chan struct{})}
	if err := g.ensure(); err != nil {
		return nil, errors.Join(err, events.Close())
	}
	g.ensureLegacy()
	go g.watch()
	return g, nil
}

// watch ends when the socket is closed.
func (g *forwardGuard) watch() {
	defer close(g.done)
	for {
		msgs, err := g.events.Receive()
		if errors.Is(err, unix.ENOBUFS) { // more changes than the socket holds: something changed
			g.schedule()
			continue
		}
		if err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			if !g.closed {
				g.log.Error("no longer watching nftables for other programs' rules", "error", err)
			}
			return
		}
		for _, m := range msgs {
			if foreignChange(m) {
				g.schedule()
			}
		}
	}
}

// foreignChange says whether a message ends a transaction of another process.
func foreignChange(m mnl.Message) bool {
	if m.Header.Type != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN || len(m.Data) < 4 {
		return false
	}
	attrs, err := mnl.UnmarshalAttributes(m.Data[4:])
	if err != nil {
		return true
	}
	for _, a := range attrs {
		if a.Type == unix.NFTA_GEN_PROC_PID && len(a.Data) == 4 {
			pid := int(a.Data[0])<<24 | int(a.Data[1])<<16 | int(a.Data[2])<<8 | int(a.Data[3])
			return pid != os.Getpid()
		}
	}
	return true
}

func (g *forwardGuard) schedule() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.pending {
		return
	}
	g.pending = true
	if g.timer != nil {
		g.timer.Reset(settle)
		return
	}
	g.timer = time.AfterFunc(settle, func() {
		if err := g.ensure(); err != nil {
			g.log.Warn("cannot put firewall rules for containers back", "error", err)
		}
	})
}

// ensure puts our rules where they are missing.
func (g *forwardGuard) ensure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = false
	if g.closed {
		return nil
	}
	if err := errors.Join(g.table.ensure(), g.tasks.changes.do(taskChange{check: true})); err != nil {
		return err
	}
	return g.edit(func(conn *nftables.Conn, c *nftables.Chain, ours []*nftables.Rule) {
		if len(ours) == len(g.rules()) {
			return
		}
		for _, r := range ours {
			deleteRule(conn, r)
		}
		for _, r := range g.rules() {
			conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: r})
		}
		g.log.Info("letting containers' traffic pass a firewall chain that drops", "table", c.Table.Name, "chain", c.Name, "bridge", g.bridge)
	})
}

// remove takes our rules out of others' chains again, after close.
func (g *forwardGuard) remove() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removeLegacy()
	return g.edit(func(conn *nftables.Conn, _ *nftables.Chain, ours []*nftables.Rule) {
		for _, r := range ours {
			deleteRule(conn, r)
		}
	})
}

// deleteRule only fails for a rule without a handle, which no listed rule is.
func deleteRule(conn *nftables.Conn, r *nftables.Rule) { _ = conn.DelRule(r) }

// edit calls change for each chain that needs our rules, with those of them that it has, and commits. Others may change
// the rules between our look and our commit: then it is done again.
func (g *forwardGuard) edit(change func(*nftables.Conn, *nftables.Chain, []*nftables.Rule)) error {
	var err error
	for range 5 {
		if err = g.editOnce(change); err == nil || !(errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ERESTART)) {
			return err
		}
	}
	return err
}

func (g *forwardGuard) editOnce(change func(*nftables.Conn, *nftables.Chain, []*nftables.Rule)) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	chains, err := dropping(conn)
	if err != nil {
		return err
	}
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return fmt.Errorf("list rules of %s: %w", c.Name, err)
		}
		var ours []*nftables.Rule
		for _, r := range rules {
			if g.isOurs(r) {
				ours = append(ours, r)
			}
		}
		change(conn, c, ours)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: edit forward chains: %w", err)
	}
	return nil
}

// dropping finds the chains that need our rules: Docker's DOCKER-USER, or else base chains of the forward hook with a
// policy of drop.
func dropping(conn *nftables.Conn) ([]*nftables.Chain, error) {
	var out []*nftables.Chain
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyINet} {
		all, err := conn.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, fmt.Errorf("list nftables chains: %w", err)
		}
		docker := map[string]*nftables.Chain{}
		for _, c := range all {
			if c.Name == "DOCKER-USER" {
				docker[c.Table.Name] = c
				out = append(out, c)
			}
		}
		for _, c := range all {
			drops := c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter &&
				c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
			if drops && docker[c.Table.Name] == nil {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// rules are what is put at a chain's head: written as iptables itself would, so that it can still list the table.
func (g *forwardGuard) rules() [][]expr.Any {
	tail := []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}}
	return [][]expr.Any{rule(iifname(g.bridge), tail), rule(oifname(g.bridge, true), tail),
		rule(iifprefix(g.bridge+"-"), tail), rule(oifprefix(g.bridge+"-", true), tail)}
}

// isOurs recognises a rule that accepts what comes from or goes to our interfaces.
func (g *forwardGuard) isOurs(r *nftables.Rule) bool {
	if len(r.Exprs) != 4 {
		return false
	}
	meta, ok1 := r.Exprs[0].(*expr.Meta)
	cmp, ok2 := r.Exprs[1].(*expr.Cmp)
	_, ok3 := r.Exprs[2].(*expr.Counter)
	v, ok4 := r.Exprs[3].(*expr.Verdict)
	return ok1 && ok2 && ok3 && ok4 && v.Kind == expr.VerdictAccept && cmp.Op == expr.CmpOpEq &&
		(meta.Key == expr.MetaKeyIIFNAME || meta.Key == expr.MetaKeyOIFNAME) && (bytes.Equal(cmp.Data, interfaceName(g.bridge)) || string(cmp.Data) == g.bridge+"-")
}

// close stops watching. The rules stay: the containers do.
func (g *forwardGuard) close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	err := g.events.Close()
	g.mu.Unlock()
	<-g.done
	return err
}

// Rules of the older kernel interface (iptables-legacy) are not in nftables; its tool is run once at the start where
// that interface is in use.

func legacyInUse() bool {
	data, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	return err == nil && strings.Contains(string(data), "filter")
}

func (g *forwardGuard) ensureLegacy() {
	if !legacyInUse() {
		return
	}
	for _, r := range g.legacyRules() {
		if legacy("-C", r) == nil {
			continue
		}
		if err := legacy("-I", r); err != nil {
			g.log.Warn("iptables-legacy rules are in use and may drop containers' traffic", "error", err)
		}
	}
}

func (g *forwardGuard) removeLegacy() {
	if !legacyInUse() {
		return
	}
	for _, r := range g.legacyRules() {
		if legacy("-C", r) != nil {
			continue
		}
		if err := legacy("-D", r); err != nil {
			g.log.Warn("cannot remove a rule from iptables-legacy", "error", err)
		}
	}
}

// legacyRules are directions and interfaces; a name that ends with + is a prefix.
func (g *forwardGuard) legacyRules() [][2]string {
	return [][2]string{{"-i", g.bridge}, {"-o", g.bridge}, {"-i", g.bridge + "-+"}, {"-o", g.bridge + "-+"}}
}

func legacy(command string, r [2]string) error {
	cmd := exec.Command("iptables-legacy", "-w", command, "FORWARD", r[0], r[1], "-j", "ACCEPT")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-legacy: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
