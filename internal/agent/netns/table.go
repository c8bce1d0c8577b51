package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

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
	bridge bridge

	mu       sync.Mutex // guards what follows, and the order of changes
	conn     *nftables.Conn
	table    *nftables.Table
	ports    *nftables.Set
	metadata *nftables.Chain
	waiting  []*change
	busy     bool
}

// element is one published port.
type element struct {
	protocol                string
	hostPort, containerPort uint16
	ip                      netip.Addr
}

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

// change is ports to add or delete, and where to say how it went.
type change struct {
	add, del []element
	done     chan error
}

// openTable puts the table in force with the elements. One that was there is replaced in the same transaction, so that no
// packet meets a moment without it.
func openTable(name string, b bridge, elements []element) (*table, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	t := &table{bridge: b, conn: conn, table: &nftables.Table{Name: "roadstead_" + name, Family: nftables.TableFamilyIPv4}}
	conn.AddTable(t.table) // so that there is one to delete
	conn.DelTable(t.table)
	conn.AddTable(t.table)
	t.ports = &nftables.Set{
		Table: t.table, Name: "ports", IsMap: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
		DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
	}
	if err := conn.AddSet(t.ports, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("nftables: %w", err), conn.CloseLasting())
	}
	t.addChains()
	// One message holds at most 64 KiB.
	for len(elements) > 0 {
		n := min(len(elements), 500)
		if err := conn.SetAddElements(t.ports, sets(elements[:n])); err != nil {
			return nil, errors.Join(fmt.Errorf("nftables: %w", err), conn.CloseLasting())
		}
		elements = elements[n:]
	}
	if err := conn.Flush(); err != nil {
		return nil, errors.Join(fmt.Errorf("nftables table %s: %w", t.table.Name, err), conn.CloseLasting())
	}
	return t, nil
}

func sets(elements []element) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, len(elements))
	for _, e := range elements {
		out = append(out, e.set())
	}
	return out
}

// apply deletes and adds ports. Callers that come while a transaction is on its way share the next one.
func (t *table) apply(add, del []element) error {
	if len(add)+len(del) == 0 {
		return nil
	}
	c := &change{add: add, del: del, done: make(chan error, 1)}
	t.mu.Lock()
	t.waiting = append(t.waiting, c)
	if t.busy {
		t.mu.Unlock()
		return <-c.done
	}
	t.busy = true
	for len(t.waiting) > 0 {
		batch := t.waiting
		t.waiting = nil
		t.mu.Unlock()
		t.commit(batch)
		t.mu.Lock()
	}
	t.busy = false
	t.mu.Unlock()
	return <-c.done
}

// commit puts a batch in force. If the kernel refuses it, each change is tried alone, so that one caller's error is not
// another's. Only the caller that set busy runs it.
func (t *table) commit(batch []*change) {
	err := t.flush(batch)
	for _, c := range batch {
		if err != nil && len(batch) > 1 {
			c.done <- t.flush([]*change{c})
			continue
		}
		c.done <- err
	}
}

func (t *table) flush(batch []*change) error {
	for _, c := range batch {
		for _, op := range []struct {
			elements []element
			do       func(*nftables.Set, []nftables.SetElement) error
		}{{c.del, t.conn.SetDeleteElements}, {c.add, t.conn.SetAddElements}} {
			for rest := op.elements; len(rest) > 0; {
				n := min(len(rest), 500)
				if err := op.do(t.ports, sets(rest[:n])); err != nil {
					return fmt.Errorf("nftables: %w", err)
				}
				rest = rest[n:]
			}
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: change ports: %w", err)
	}
	return nil
}

// setMetadata replaces the rule for the metadata address.
func (t *table) setMetadata(target netip.AddrPort) error {
	conn, err := nftables.New() // its own, so that it cannot mix with a batch of ports
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	conn.FlushChain(t.metadata)
	if target.IsValid() {
		conn.AddRule(&nftables.Rule{Table: t.table, Chain: t.metadata, Exprs: metadataRule(t.bridge.name, target)})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: metadata address: %w", err)
	}
	return nil
}

// remove deletes the table; it is no error if it is gone.
func (t *table) remove() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	conn.DelTable(t.table)
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove nftables table: %w", err)
	}
	return nil
}

func (t *table) close() error { return t.conn.CloseLasting() }

func (t *table) addChains() {
	accept := nftables.ChainPolicyAccept
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) *nftables.Chain {
		c := t.conn.AddChain(&nftables.Chain{
			Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept,
		})
		for _, r := range rules {
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: r})
		}
		return c
	}
	b := t.bridge
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw,
		rule(iifname(b.name), inPrefix(dst, loopback, true), verdict(expr.VerdictDrop)),
		rule(iifname(b.name), inPrefix(src, b.subnet, false), verdict(expr.VerdictDrop)))
	t.metadata = chain("metadata", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest-1))
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
