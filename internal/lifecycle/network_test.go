package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

func awsvpc() *ecs.TaskDefinition {
	d := definition()
	d.NetworkMode = ecs.NetworkAwsvpc
	return d
}

// attached makes a task with an interface in one of the subnets.
func attached(tx *state.Tx, s lifecycle.Subnets, zone string, subnets ...string) (*ecs.Task, error) {
	d := awsvpc()
	tx.Definitions.Put(d)
	at := &ecs.Instance{ID: ecs.InstanceID{1}, Cluster: "c", Status: ecs.InstanceActive, Native: true}
	if zone != "" {
		at.Attributes = []ecs.Attribute{{Name: ecs.AttributeZone, Value: zone}}
	}
	tx.Instances.Put(at)
	i, err := lifecycle.NewInterface(tx, s, &ecs.AwsVpcConfiguration{Subnets: subnets}, at.ID)
	if err != nil {
		return nil, err
	}
	return lifecycle.Create(tx, 100, lifecycle.Spec{Cluster: "c", Definition: d, Instance: at.ID, Interface: i}), nil
}

// TestAddressesAreUnique: whatever is started and ended, no two live tasks have one address, every address is one of its
// subnet's that may be used, and a subnet is said to be full only if it is.
func TestAddressesAreUnique(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := open(t)
		networks := lifecycle.Subnets{Range: netip.MustParsePrefix("10.9.0.0/16")}
		var all []ecs.TaskID
		err := s.Update(context.Background(), func(tx *state.Tx) error {
			tx.Subnets.Put(&ecs.Subnet{ID: "subnet-small", CIDR: "10.9.0.16/28"})
			tx.Subnets.Put(&ecs.Subnet{ID: "subnet-tiny", CIDR: "10.9.0.32/29"})
			for range rapid.IntRange(1, 60).Draw(r, "steps") {
				if len(all) > 0 && rapid.IntRange(0, 2).Draw(r, "end") == 0 {
					id := rapid.SampledFrom(all).Draw(r, "task")
					if err := lifecycle.Report(tx, 200, acs.TaskState{ID: id, Status: ecs.TaskStopped}); err != nil {
						return err
					}
					continue
				}
				subnet := rapid.SampledFrom([]string{"subnet-small", "subnet-tiny", "subnet-new"}).Draw(r, "subnet")
				task, err := attached(tx, networks, "", subnet)
				if full := (*lifecycle.NoAddressError)(nil); errors.As(err, &full) {
					if n := live(tx, subnet); subnet == "subnet-small" && n != 11 || subnet == "subnet-tiny" && n != 3 || subnet == "subnet-new" {
						return fmt.Errorf("%s is said to be full with %d tasks", subnet, n)
					}
					continue
				}
				if err != nil {
					return err
				}
				all = append(all, task.ID)
			}
			return checkAddresses(tx)
		})
		if err != nil {
			r.Fatal(err)
		}
	})
}

func live(tx *state.Tx, subnet string) (n int) {
	for task := range tx.Tasks.All() {
		if task.Interface.SubnetID == subnet && task.LastStatus < ecs.TaskStopped {
			n++
		}
	}
	return n
}

func checkAddresses(tx *state.Tx) error {
	held := map[ecs.IPv4]bool{}
	for task := range tx.Tasks.All() {
		a := task.Interface.Address
		if task.LastStatus >= ecs.TaskStopped {
			continue
		}
		if held[a] {
			return fmt.Errorf("%v is held twice", a)
		}
		held[a] = true
		cidr := netip.MustParsePrefix(tx.Subnets.Get(task.Interface.SubnetID).CIDR)
		first, addr := cidr.Masked().Addr().As4(), netip.AddrFrom4(a)
		if !cidr.Contains(addr) || !cidr.Contains(addr.Next()) || a[2] == first[2] && a[3] < first[3]+4 {
			return fmt.Errorf("%v is not for tasks of %v", a, cidr)
		}
	}
	return nil
}

// TestAddressesTakeTurns: one that was just given back is not given again while others are free.
func TestAddressesTakeTurns(t *testing.T) {
	s := open(t)
	seen := map[ecs.IPv4]bool{}
	err := s.Update(context.Background(), func(tx *state.Tx) error {
		tx.Subnets.Put(&ecs.Subnet{ID: "subnet-small", CIDR: "10.9.0.16/28"})
		for range 11 {
			task, err := attached(tx, lifecycle.Subnets{}, "", "subnet-small")
			if err != nil {
				return err
			}
			if seen[task.Interface.Address] {
				t.Errorf("%v is given again while others are free", task.Interface.Address)
			}
			seen[task.Interface.Address] = true
			lifecycle.Lose(tx, 200, task, "", "")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAdoptedSubnets(t *testing.T) {
	s := open(t)
	networks := lifecycle.Subnets{Range: netip.MustParsePrefix("100.64.0.0/19"), Zones: []string{"a", "b"}}
	err := s.Update(context.Background(), func(tx *state.Tx) error {
		for range 2 {
			if _, err := attached(tx, networks, "", "subnet-1"); err != nil {
				return err
			}
		}
		task, err := attached(tx, networks, "b", "subnet-1", "subnet-2")
		if err != nil {
			return err
		}
		if task.Interface.SubnetID != "subnet-2" {
			t.Errorf("the zone's subnet is passed over for %s", task.Interface.SubnetID)
		}
		if one, two := *tx.Subnets.Get("subnet-1"), *tx.Subnets.Get("subnet-2"); one.CIDR != "100.64.0.0/20" || two.CIDR != "100.64.16.0/20" || one.Zone != "a" || two.Zone != "b" {
			t.Errorf("adopted %+v, %+v", one, two)
		}
		_, err = attached(tx, networks, "", "subnet-3")
		if full := (*lifecycle.NoAddressError)(nil); !errors.As(err, &full) || full.Subnet != "subnet-3" {
			t.Errorf("with no range left: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestInterfaceFollowsItsTask through the states that ECS shows.
func TestInterfaceFollowsItsTask(t *testing.T) {
	s := open(t)
	var task *ecs.Task
	err := s.Update(context.Background(), func(tx *state.Tx) (err error) {
		task, err = attached(tx, lifecycle.Subnets{}, "", "subnet-1")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(status ecs.TaskStatus, attachment ecs.AttachmentStatus) {
		t.Helper()
		if task.LastStatus != status || task.Interface.Status != attachment {
			t.Errorf("%v and %v, want %v and %v", task.LastStatus, task.Interface.Status, status, attachment)
		}
	}
	check(ecs.TaskProvisioning, ecs.AttachmentPrecreated)
	if id, ok := lifecycle.TaskOfAttachment(task.Interface.AttachmentID); !ok || id != task.ID {
		t.Errorf("the attachment %s is of %v", task.Interface.AttachmentID, id)
	}
	for _, step := range []struct {
		report     acs.TaskState
		status     ecs.TaskStatus
		attachment ecs.AttachmentStatus
	}{
		{acs.TaskState{Status: ecs.TaskPending}, ecs.TaskPending, ecs.AttachmentAttaching},
		{acs.TaskState{Attachment: ecs.AttachmentAttached}, ecs.TaskPending, ecs.AttachmentAttached},
		{acs.TaskState{Status: ecs.TaskPending, Containers: containers(ecs.TaskRunning, ecs.TaskPending)}, ecs.TaskActivating, ecs.AttachmentAttached},
		{acs.TaskState{Status: ecs.TaskRunning, Containers: containers(ecs.TaskRunning, ecs.TaskRunning)}, ecs.TaskRunning, ecs.AttachmentAttached},
		{acs.TaskState{Attachment: ecs.AttachmentCreated}, ecs.TaskRunning, ecs.AttachmentAttached},
		{acs.TaskState{Containers: containers(ecs.TaskStopped, ecs.TaskStopped)}, ecs.TaskDeprovisioning, ecs.AttachmentDetaching},
		{acs.TaskState{Status: ecs.TaskStopped}, ecs.TaskStopped, ecs.AttachmentDeleted},
	} {
		step.report.ID = task.ID
		task = update(t, s, task.ID, report(step.report, 200))
		check(step.status, step.attachment)
	}
}

func TestManagedAgents(t *testing.T) {
	s := open(t)
	var task *ecs.Task
	err := s.Update(context.Background(), func(tx *state.Tx) error {
		d := definition()
		tx.Definitions.Put(d)
		task = lifecycle.Create(tx, 100, lifecycle.Spec{Cluster: "c", Definition: d, Instance: ecs.InstanceID{1}, EnableExecuteCommand: true})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := task.Containers[1].ManagedAgents; len(a) != 1 || a[0].Name != "ExecuteCommandAgent" || a[0].LastStatus != ecs.TaskPending {
		t.Errorf("at the start: %+v", a)
	}
	running := acs.TaskState{ID: task.ID, Containers: []ecs.Container{{Name: "main", ManagedAgents: []ecs.ManagedAgent{
		{Name: "ExecuteCommandAgent", LastStatus: ecs.TaskRunning, LastStartedAt: 150}, {Name: "Unknown"}}}}}
	before := task.Version
	task = update(t, s, task.ID, report(running, 200))
	if a := task.Containers[0].ManagedAgents; len(a) != 1 || a[0].LastStatus != ecs.TaskRunning || a[0].LastStartedAt != 150 || task.Version == before {
		t.Errorf("reported: %+v", a)
	}
	task = update(t, s, task.ID, report(acs.TaskState{ID: task.ID, Status: ecs.TaskStopped}, 300))
	if a := task.Containers[0].ManagedAgents; a[0].LastStatus != ecs.TaskStopped {
		t.Errorf("at the end: %+v", a)
	}
}
