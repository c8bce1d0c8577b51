package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// table is the manager's nftables table. Host ports are elements of one map, so that a packet's way through the rules
// and the change for one port are the same for one port and for thousands:
//
//	map ports { type inet_proto . inet_service : ipv4_addr . inet_service }
//	chain guard       prerouting raw:  from the bridge to 127.0.0.0/8, or with a source that is not of the subnet: drop
//	chain metadata    prerouting -101: from the bridge to 169.254.170.2:80: dnat to the agent
//	chain prerouting  dnat: fib daddr type local dnat ip to meta l4proto . th dport map @ports
//	chain output      dnat: the same, for the host's own connections
//	chain postrouting snat: out of the subnet; back into it (hairpin); from 127.0.0.0/8 to the bridge: masquerade
//	chain forward     filter: to the bridge only from the bridge, for a published port, or as an answer
type table struct {
	bridge  bridge
	table   *nftables.Table
	changes batcher[change]

	// The rest is used by one round of changes at a time.
	conn     *nftables.Conn
	ports    *nftables.Set
	current  map[portKey]element // what is in the map
	metadata netip.AddrPort
}

// element is one published port.
type element struct {
	protocol                string
	hostPort, containerPort uint16
	ip                      netip.Addr
}

func (e element) key() portKey { return portKey{e.protocol, e.hostPort} }

// set is the element as the map has it: each part padded to four bytes.
func (e element) set() nftables.SetElement {
	key, val := make([]byte, 8), make([]byte, 8)
	key[0] = unix.IPPROTO_TCP
	if e.protocol == "udp" {
		key[0] = unix.IPPROTO_UDP
	}
	binary.BigEndian.PutUint16(key[4:], e.hostPort)
	ip := e.ip.As4()
	copy(val, ip[:])
	binary.BigEndian.PutUint16(val[4:], e.containerPort)
	return nftables.SetElement{Key: key, Val: val}
}

// change is ports to add and delete, or another target for the metadata address, or a look whether the table is there.
type change struct {
	add, del []element
	metadata *netip.AddrPort
	check    bool
}

// openTable puts the table in force with the elements. One that was there is replaced.
func openTable(name string, b bridge, elements []element) (*table, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	t := &table{bridge: b, conn: conn, table: &nftables.Table{Name: "roadstead_" + name, Family: nftables.TableFamilyIPv4}}
	t.changes.run = t.commit
	t.current = map[portKey]element{}
	for _, e := range elements {
		t.current[e.key()] = e
	}
	if err := t.install(); err != nil {
		return nil, errors.Join(err, conn.CloseLasting())
	}
	return t, nil
}

// install writes the whole table anew, in one transaction: no packet meets a moment without it.
func (t *table) install() error {
	t.conn.AddTable(t.table) // so that there is one to delete
	t.conn.DelTable(t.table)
	t.conn.AddTable(t.table)
	t.ports = &nftables.Set{
		Table: t.table, Name: "ports", IsMap: true, Concatenation: true,
		ID:       1, // within a transaction; the library would count one up for all, without a lock
		KeyType:  nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
		DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
	}
	if err := t.conn.AddSet(t.ports, nil); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t.addChains()
	if err := inChunks(slices.Collect(maps.Values(t.current)), t.ports, t.conn.SetAddElements); err != nil {
		return err
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables table %s: %w", t.table.Name, err)
	}
	return nil
}

// apply deletes and adds ports.
func (t *table) apply(add, del []element) error {
	if len(add)+len(del) == 0 {
		return nil
	}
	return t.changes.do(change{add: add, del: del})
}

// setMetadata sets where the metadata address leads.
func (t *table) setMetadata(target netip.AddrPort) error {
	return t.changes.do(change{metadata: &target})
}

// ensure puts the table back if somebody has removed it, as a restart of the machine's own firewall does that flushes all
// rules.
func (t *table) ensure() error { return t.changes.do(change{check: true}) }

// commit puts changes in force in one transaction. If the kernel refuses it, the table is not what it was, and is written
// anew.
func (t *table) commit(changes []change) []error {
	before, metadata := maps.Clone(t.current), t.metadata
	whole := false
	for _, c := range changes {
		for _, e := range c.del {
			delete(t.current, e.key())
		}
		for _, e := range c.add {
			t.current[e.key()] = e
		}
		if c.metadata != nil {
			t.metadata, whole = *c.metadata, true
		}
		whole = whole || c.check && missing(t.conn, t.table)
	}
	if !whole && t.flush(changes) == nil {
		return nil
	}
	err := t.install()
	if err != nil {
		t.current, t.metadata = before, metadata
	}
	return all(len(changes), err)
}

func (t *table) flush(changes []change) error {
	for _, c := range changes {
		if err := inChunks(c.del, t.ports, t.conn.SetDeleteElements); err != nil {
			return err
		}
		if err := inChunks(c.add, t.ports, t.conn.SetAddElements); err != nil {
			return err
		}
	}
	return t.conn.Flush()
}

// inChunks queues a change of elements, in several messages if there are many: one holds at most 64 KiB.
func inChunks(elements []element, set *nftables.Set, queue func(*nftables.Set, []nftables.SetElement) error) error {
	for chunk := range slices.Chunk(elements, 500) {
		values := make([]nftables.SetElement, 0, len(chunk))
		for _, e := range chunk {
			values = append(values, e.set())
		}
		if err := queue(set, values); err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
	}
	return nil
}

// remove deletes the table; it is no error if it is gone.
func (t *table) remove() error { return removeTable(t.table) }

func (t *table) close() error { return t.conn.CloseLasting() }

func (t *table) addChains() {
	accept := nftables.ChainPolicyAccept
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		c := t.conn.AddChain(&nftables.Chain{
			Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept,
		})
		for _, r := range rules {
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: r})
		}
	}
	b := t.bridge
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw,
		rule(iifname(b.name), inPrefix(dst, loopback, true), verdict(expr.VerdictDrop)),
		rule(iifname(b.name), inPrefix(src, b.subnet, false), verdict(expr.VerdictDrop)))
	var metadata [][]expr.Any
	if t.metadata.IsValid() {
		metadata = append(metadata, metadataRule(iifname(b.name), t.metadata))
	}
	chain("metadata", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest-1), metadata...)
	publish := rule(toThisHost(), t.mapPorts())
	chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, publish)
	chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, publish)
	chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource,
		rule(inPrefix(src, b.subnet, true), oifname(b.name, false), masquerade()),
		rule(inPrefix(src, b.subnet, true), inPrefix(dst, b.subnet, true), ctStatus(destinationNAT), masquerade()),
		rule(inPrefix(src, loopback, true), oifname(b.name, true), masquerade()))
	chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter,
		rule(oifname(b.name, false), verdict(expr.VerdictAccept)),
		rule(iifname(b.name), verdict(expr.VerdictAccept)),
		rule(ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept)),
		rule(ctStatus(destinationNAT), verdict(expr.VerdictAccept)),
		rule(verdict(expr.VerdictDrop)))
}
