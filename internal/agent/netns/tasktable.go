package netns

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// taskTable is the nftables table of the tasks that have network interfaces of their own. An address is an element of
// sets and maps, so that a packet's way is the same for one task and for thousands; interfaces with the same groups share
// two chains. N numbers the combinations of groups.
//
//	set tasks { type ipv4_addr }              every task's address
//	set group_ID { type ipv4_addr }           the addresses in a group that a rule names
//	map ingress, egress { type ipv4_addr : verdict }  address : jump in_N, out_N
//	chain in_N, out_N  a rule that admits is "return"; at the end: drop
//	chain guard        prerouting raw:  from a task to 127.0.0.0/8, or with an address that is not its own: drop
//	chain metadata     prerouting -101: from a task to 169.254.170.2:80: dnat to the agent
//	chain postrouting  snat: from a task to anything that is not ours: masquerade
//	chain forward      filter: answers: accept; from a task: by @egress; to a task: by @ingress
//	chain input        filter: from a task to this host: answers and what dnat brought: accept; else by @egress
type taskTable struct {
	bridge, prefix string
	table          *nftables.Table
	changes        batcher[taskChange]

	// The rest is used by one round of changes at a time.
	conn            *nftables.Conn
	current         map[netip.Addr][]string // each task's groups, sorted
	groups          SecurityGroups
	metadata        netip.AddrPort
	tasks           *nftables.Set
	ingress, egress *nftables.Set
	members         map[string]*nftables.Set
	chains          map[string]int // group keys to N
}

// endpoint is one task's address and its groups, sorted.
type endpoint struct {
	ip     netip.Addr
	groups []string
}

// taskChange is a task that comes or goes, other rules, another target of the metadata address, or a look whether the table is there.
type taskChange struct {
	add, del *endpoint
	metadata *netip.AddrPort
	groups   *SecurityGroups
	check    bool
}

func taskTableOf(name string) *nftables.Table {
	return &nftables.Table{Name: "roadstead_" + name + "_tasks", Family: nftables.TableFamilyIPv4}
}

// openTaskTable puts the table in force. One that was there is replaced.
func openTaskTable(name string, b bridge, groups SecurityGroups, tasks []endpoint) (*taskTable, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	t := &taskTable{bridge: b.name, prefix: b.taskPrefix(), conn: conn, table: taskTableOf(name), groups: groups, current: map[netip.Addr][]string{}}
	t.changes.run = t.commit
	for _, e := range tasks {
		t.current[e.ip] = e.groups
	}
	if err := t.install(); err != nil {
		return nil, errors.Join(err, conn.CloseLasting())
	}
	return t, nil
}

func (t *taskTable) close() error { return t.conn.CloseLasting() }

// commit puts changes in force in one transaction.
func (t *taskTable) commit(changes []taskChange) []error {
	before, metadata, groups := maps.Clone(t.current), t.metadata, t.groups
	whole := false
	for _, c := range changes {
		if c.del != nil {
			delete(t.current, c.del.ip)
		}
		if c.add != nil {
			t.current[c.add.ip] = c.add.groups
		}
		if c.metadata != nil {
			t.metadata, whole = *c.metadata, true
		}
		if c.groups != nil {
			t.groups, whole = *c.groups, true
		}
		whole = whole || c.check && missing(t.conn, t.table)
	}
	if !whole && t.sameChains() && t.flush(changes) == nil {
		return nil
	}
	err := t.install()
	if err != nil {
		t.current, t.metadata, t.groups = before, metadata, groups
	}
	return all(len(changes), err)
}

// sameChains says whether the chains that are there are those that the tasks need.
func (t *taskTable) sameChains() bool {
	used := map[string]bool{}
	for _, groups := range t.current {
		key := groupKey(groups)
		if _, ok := t.chains[key]; !ok {
			return false
		}
		used[key] = true
	}
	return len(used) == len(t.chains)
}

// flush changes elements alone.
func (t *taskTable) flush(changes []taskChange) error {
	for _, c := range changes {
		if c.del != nil {
			if err := t.eachSet(*c.del, t.conn.SetDeleteElements); err != nil {
				return err
			}
		}
		if c.add != nil {
			if err := t.eachSet(*c.add, t.conn.SetAddElements); err != nil {
				return err
			}
		}
	}
	return t.conn.Flush()
}

// eachSet queues a change of a task's element in each set that has it.
func (t *taskTable) eachSet(e endpoint, queue func(*nftables.Set, []nftables.SetElement) error) error {
	key := e.ip.AsSlice()
	n, ok := t.chains[groupKey(e.groups)]
	if !ok {
		return fmt.Errorf("nftables: no chains for groups %v", e.groups)
	}
	sets := []*nftables.Set{t.tasks}
	for _, id := range e.groups {
		if s := t.members[id]; s != nil {
			sets = append(sets, s)
		}
	}
	for _, s := range sets {
		if err := queue(s, []nftables.SetElement{{Key: key}}); err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
	}
	for set, chain := range map[*nftables.Set]string{t.ingress: inChain(n), t.egress: outChain(n)} {
		jump := &expr.Verdict{Kind: expr.VerdictJump, Chain: chain}
		if err := queue(set, []nftables.SetElement{{Key: key, VerdictData: jump}}); err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
	}
	return nil
}

func inChain(n int) string  { return fmt.Sprintf("in_%d", n) }
func outChain(n int) string { return fmt.Sprintf("out_%d", n) }

// install writes the whole table anew, in one transaction: no packet meets a moment without it.
func (t *taskTable) install() error {
	t.conn.AddTable(t.table) // so that there is one to delete
	t.conn.DelTable(t.table)
	t.conn.AddTable(t.table)
	keys := map[string][]string{}
	for _, groups := range t.current {
		keys[groupKey(groups)] = groups
	}
	t.chains = map[string]int{}
	for n, key := range slices.Sorted(maps.Keys(keys)) {
		t.chains[key] = n + 1
	}
	if err := t.addSets(keys); err != nil {
		return err
	}
	for key, groups := range keys {
		t.addGroups(t.chains[key], groups)
	}
	t.addHooks()
	for ip, groups := range t.current {
		if err := t.eachSet(endpoint{ip, groups}, t.conn.SetAddElements); err != nil {
			return err
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables table %s: %w", t.table.Name, err)
	}
	return nil
}

// addSets makes the sets; those of members are made for the groups that rules in use name.
func (t *taskTable) addSets(keys map[string][]string) error {
	id := uint32(0)
	set := func(s nftables.Set) (*nftables.Set, error) {
		id++ // within a transaction; the library would count one up for all, without a lock
		s.Table, s.ID, s.KeyType = t.table, id, nftables.TypeIPAddr
		if err := t.conn.AddSet(&s, nil); err != nil {
			return nil, fmt.Errorf("nftables: %w", err)
		}
		return &s, nil
	}
	var err error
	if t.tasks, err = set(nftables.Set{Name: "tasks"}); err != nil {
		return err
	}
	if t.ingress, err = set(nftables.Set{Name: "ingress", IsMap: true, DataType: nftables.TypeVerdict}); err != nil {
		return err
	}
	if t.egress, err = set(nftables.Set{Name: "egress", IsMap: true, DataType: nftables.TypeVerdict}); err != nil {
		return err
	}
	named := map[string]bool{}
	for _, groups := range keys {
		for _, id := range groups {
			g := t.groups.get(id)
			for _, r := range slices.Concat(g.Ingress, g.Egress) {
				if r.Group != "" && idForm.MatchString(r.Group) {
					named[r.Group] = true
				}
			}
		}
	}
	t.members = map[string]*nftables.Set{}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if t.members[name], err = set(nftables.Set{Name: memberSet(name)}); err != nil {
			return err
		}
	}
	return nil
}

// addGroups makes the two chains of a combination of groups: what any of them admits is admitted.
func (t *taskTable) addGroups(n int, groups []string) {
	in := t.conn.AddChain(&nftables.Chain{Name: inChain(n), Table: t.table})
	out := t.conn.AddChain(&nftables.Chain{Name: outChain(n), Table: t.table})
	add := func(c *nftables.Chain, rules []GroupRule, other uint32) {
		for _, r := range rules {
			if exprs, ok := r.exprs(other, t.members[r.Group]); ok {
				t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: exprs})
			}
		}
	}
	for _, id := range groups {
		g := t.groups.get(id)
		add(in, g.Ingress, src)
		add(out, g.Egress, dst)
	}
	for _, c := range []*nftables.Chain{in, out} {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: verdict(expr.VerdictDrop)})
	}
}

func (t *taskTable) addHooks() {
	accept := nftables.ChainPolicyAccept
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		c := t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept})
		for _, r := range rules {
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: r})
		}
	}
	from := iifprefix(t.prefix)
	answers := rule(ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))
	chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw,
		rule(from, inPrefix(dst, netip.MustParsePrefix("127.0.0.0/8"), true), verdict(expr.VerdictDrop)),
		rule(from, notFromThere(), verdict(expr.VerdictDrop)))
	var metadata [][]expr.Any
	if t.metadata.IsValid() {
		metadata = append(metadata, metadataRule(from, t.metadata))
	}
	chain("metadata", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest-1), metadata...)
	chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource,
		rule(inSet(src, t.tasks), oifname(t.bridge, false), oifprefix(t.prefix, false), masquerade()))
	chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter,
		answers,
		rule(from, byAddress(src, t.egress)),
		rule(oifprefix(t.prefix, true), byAddress(dst, t.ingress)))
	chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter,
		answers,
		rule(from, ctStatus(destinationNAT), verdict(expr.VerdictAccept)),
		rule(from, byAddress(src, t.egress)))
}

// iifprefix matches interfaces whose names begin so: nftables compares as many bytes as it is given.
func iifprefix(prefix string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, compare(true, []byte(prefix))}
}

func oifprefix(prefix string, equal bool) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, compare(equal, []byte(prefix))}
}

// notFromThere matches packets whose source is not routed to the interface that they came by.
func notFromThere() []expr.Any {
	return []expr.Any{&expr.Fib{Register: 1, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, compare(true, make([]byte, 4))}
}

// missing says whether a table is gone.
func missing(conn *nftables.Conn, table *nftables.Table) bool {
	tables, err := conn.ListTablesOfFamily(table.Family)
	return err == nil && !slices.ContainsFunc(tables, func(other *nftables.Table) bool { return other.Name == table.Name })
}

// removeTable deletes a table; it is no error if it is gone.
func removeTable(table *nftables.Table) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	conn.DelTable(table)
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove nftables table: %w", err)
	}
	return nil
}
