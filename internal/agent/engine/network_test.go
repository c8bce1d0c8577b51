package engine

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

func (f *fakeNetwork) ids() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.nets {
		ids = append(ids, id)
	}
	return ids
}

// interfaceFor is what the server says of a task's interface.
func interfaceFor(last byte) *acs.Interface {
	return &acs.Interface{PrivateDNSName: "ip-100-64-0-9.ec2.internal", CIDR: "100.64.0.0/20", NetworkInterface: ecs.NetworkInterface{
		MAC: "0a:58:64:40:00:09", Address: ecs.IPv4{100, 64, 0, last}, SubnetID: "subnet-1", SecurityGroups: []string{"sg-1"}}}
}

func startInSubnet(n *node, d *ecs.TaskDefinition, i *acs.Interface) ecs.TaskID {
	d.NetworkMode = ecs.NetworkAwsvpc
	r := runOf(d)
	r.Interface = i
	n.apply(false, &acs.Tasks{Definitions: []*ecs.TaskDefinition{d}, Run: []acs.RunTask{r}})
	return r.ID
}

// TestTaskInterface: the containers of a task share one network, which the server hears of, and an agent that comes back has it still.
func TestTaskInterface(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		n := m.boot(t, m.config(t), true)
		id := startInSubnet(n, definition("serve", "serve"), interfaceFor(9))
		s := n.until(id, ecs.TaskRunning)
		if diff := cmp.Diff([]string{id.String()}, m.network.ids()); diff != "" || s.Attachment != ecs.AttachmentAttached {
			t.Errorf("attachment %v, networks %s", s.Attachment, diff)
		}
		tk := n.Engine.tasks[id]
		shown := n.show(tk)
		for _, c := range shown.Containers {
			w := c.Networks[0]
			if w.Mode != "awsvpc" || w.IPv4[0] != "100.64.0.9" || w.SubnetCIDR != "100.64.0.0/20" || w.SubnetGateway != "100.64.0.1/20" || w.MAC != "0a:58:64:40:00:09" {
				t.Errorf("metadata %+v", w)
			}
		}
		n.stop()
		n = m.boot(t, m.config(t), true)
		defer n.stop()
		<-n.Ready()
		if diff := cmp.Diff([]string{id.String()}, m.network.ids()); diff != "" {
			t.Error("after a restart:", diff)
		}
		n.apply(false, &acs.Tasks{Stop: []ecs.TaskID{id}})
		n.until(id, ecs.TaskStopped)
		m.clean(t, n)
	})
}

// TestNetworkIsGoneAtTheEnd: before the server hears that a task is STOPPED, and gives its address and ports to others, its networks
// are gone.
func TestNetworkIsGoneAtTheEnd(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		n := m.boot(t, m.config(t), false)
		defer n.stop()
		<-n.Ready()
		inSubnet := startInSubnet(n, definition("exit 0"), interfaceFor(9))
		bridged := definition("exit 0")
		bridged.NetworkMode, bridged.Revision = ecs.NetworkBridge, 7
		onBridge := n.start(bridged)
		for _, id := range []ecs.TaskID{inSubnet, onBridge} {
			n.until(id, ecs.TaskStopped)
		}
		if ids := m.network.ids(); len(ids) > 0 {
			t.Errorf("networks of tasks that have stopped: %v", ids)
		}
	})
}

// TestBadInterface: a task whose interface cannot be made does not start, and says why.
func TestBadInterface(t *testing.T) {
	none, mac, subnet := (*acs.Interface)(nil), interfaceFor(9), interfaceFor(9)
	mac.MAC, subnet.CIDR = "x", ""
	for _, i := range []*acs.Interface{none, mac, subnet} {
		bubble(t, nil, func(t *testing.T, _ *machine, n *node) {
			s := n.until(startInSubnet(n, definition("serve"), i), ecs.TaskStopped)
			if why := s.Containers[0].Reason; !strings.HasPrefix(why, "CannotStartContainerError: the server gave the task no network interface") || s.Attachment != 0 {
				t.Errorf("%q, attachment %v", why, s.Attachment)
			}
		})
	}
}
