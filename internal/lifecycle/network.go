package lifecycle

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Subnets says what a subnet becomes whose id is seen for the first time: until the EC2 API makes subnets, naming one is
// making it.
type Subnets struct {
	// Range is what adopted subnets are cut from, a /20 each; the zero value is 100.64.0.0/10 (RFC 6598, shared address space).
	Range netip.Prefix
	// Zones are given to adopted subnets in turn; none leaves them without one.
	Zones []string
}

// adoptedBits is the size of an adopted subnet, that of the ones in AWS's default VPC.
const adoptedBits = 20

// adoptedVPC is the network that adopted subnets are in.
const adoptedVPC = "vpc-00000000000000000"

// How many addresses EC2 keeps for itself at the beginning and the end of each subnet.
// https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
const (
	reservedFirst = 4
	reservedLast  = 1
)

// NoAddressError says that none of the subnets named has a free address.
type NoAddressError struct{ Subnet string }

func (e *NoAddressError) Error() string {
	return fmt.Sprintf("Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled in subnet '%s': InsufficientFreeAddressesInSubnet", e.Subnet)
}

// NewInterface makes the network interface of a task that Create is about to make: in a subnet of its instance's zone if one of
// those named is there, else in the first that has a free address. Subnets that are not known yet are adopted. It is a
// NoAddressError if there is no address. On an instance of Amazon's agent it is one of those that its host offers in these subnets.
func NewInterface(tx *state.Tx, s Subnets, vpc *ecs.AwsVpcConfiguration, at ecs.InstanceID) (*ecs.NetworkInterface, error) {
	zone := ""
	if i := tx.Instances.Get(at); i != nil {
		if !i.Native {
			return hostInterface(tx, i, vpc)
		}
		zone, _ = i.Attribute(ecs.AttributeZone)
	}
	var first, rest []*ecs.Subnet
	for _, id := range vpc.Subnets {
		subnet := tx.Subnets.Get(id)
		if subnet == nil {
			var err error
			if subnet, err = s.adopt(tx, id); err != nil {
				return nil, err
			}
		}
		if zone != "" && subnet.Zone == zone {
			first = append(first, subnet)
		} else {
			rest = append(rest, subnet)
		}
	}
	for _, subnet := range append(first, rest...) {
		addr, ok, err := freeAddress(tx, subnet)
		if err != nil {
			return nil, err
		}
		if ok {
			return &ecs.NetworkInterface{
				Status: ecs.AttachmentPrecreated, ID: newInterfaceID(), MAC: macOf(addr), SubnetID: subnet.ID, Address: addr,
				SecurityGroups: vpc.SecurityGroups, AssignPublicIP: vpc.AssignPublicIp == "ENABLED",
			}, nil
		}
	}
	return nil, &NoAddressError{Subnet: vpc.Subnets[0]}
}

// hostInterface takes one that the host of Amazon's agent offers: that agent makes none, but gives a task one of the machine's.
func hostInterface(tx *state.Tx, i *ecs.Instance, vpc *ecs.AwsVpcConfiguration) (*ecs.NetworkInterface, error) {
	free := tx.SpareInterfaces(i, vpc.Subnets)
	if len(free) == 0 {
		return nil, &NoAddressError{Subnet: vpc.Subnets[0]}
	}
	s := free[0]
	if tx.Subnets.Get(s.SubnetID) == nil {
		tx.Subnets.Put(&ecs.Subnet{ID: s.SubnetID, VPC: adoptedVPC, CIDR: s.Prefix.Masked().String()})
	}
	return &ecs.NetworkInterface{
		Status: ecs.AttachmentPrecreated, ID: newInterfaceID(), MAC: s.MAC, SubnetID: s.SubnetID, Address: ecs.IPv4(s.Prefix.Addr().As4()),
		SecurityGroups: vpc.SecurityGroups,
	}, nil
}

func freeAddress(tx *state.Tx, subnet *ecs.Subnet) (ecs.IPv4, bool, error) {
	cidr, err := netip.ParsePrefix(subnet.CIDR)
	if err != nil || !cidr.Addr().Is4() {
		return ecs.IPv4{}, false, fmt.Errorf("subnet %s has no IPv4 range: %q", subnet.ID, subnet.CIDR)
	}
	first, size := uint64(number(cidr.Masked().Addr())), uint64(1)<<(32-cidr.Bits())
	if size <= reservedFirst+reservedLast {
		return ecs.IPv4{}, false, nil
	}
	addr, ok := tx.FreeAddress(subnet.ID, address(first+reservedFirst), address(first+size-reservedLast-1))
	return addr, ok, nil
}

// adopt puts a subnet in the first part of the range that no subnet has.
func (s Subnets) adopt(tx *state.Tx, id string) (*ecs.Subnet, error) {
	all := s.Range
	if !all.IsValid() {
		all = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
	}
	all = all.Masked()
	bits := max(adoptedBits, all.Bits())
	var taken []netip.Prefix
	for other := range tx.Subnets.All() {
		if p, err := netip.ParsePrefix(other.CIDR); err == nil {
			taken = append(taken, p)
		}
	}
	start, step := uint64(number(all.Addr())), uint64(1)<<(32-bits)
	for n := range uint64(1) << (bits - all.Bits()) {
		cidr := netip.PrefixFrom(netip.AddrFrom4(address(start+n*step)), bits)
		if overlaps(cidr, taken) {
			continue
		}
		subnet := &ecs.Subnet{ID: id, VPC: adoptedVPC, CIDR: cidr.String()}
		if len(s.Zones) > 0 {
			subnet.Zone = s.Zones[tx.Subnets.Len()%len(s.Zones)]
		}
		tx.Subnets.Put(subnet)
		return subnet, nil
	}
	return nil, &NoAddressError{Subnet: id}
}

func overlaps(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if p.Overlaps(o) {
			return true
		}
	}
	return false
}

func address(n uint64) (out ecs.IPv4) {
	binary.BigEndian.PutUint32(out[:], uint32(n))
	return out
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// newInterfaceID makes eni- and 17 random hex digits, as long as EC2's.
func newInterfaceID() string {
	var b [9]byte
	rand.Read(b[:])
	return "eni-0" + hex.EncodeToString(b[:8])
}

// macOf makes a locally administered address of the interface's own, so that no two live ones of a network have the same.
func macOf(a ecs.IPv4) string {
	return fmt.Sprintf("0a:58:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3])
}

// attachmentID is the task's id as a UUID is written, so that an attachment's report finds its task.
func attachmentID(id ecs.TaskID) string { return uuid.UUID(id).String() }

// TaskOfAttachment is the task whose network interface has that attachment id, if there is such a task.
func TaskOfAttachment(id string) (ecs.TaskID, bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return ecs.TaskID{}, false
	}
	task, err := ecs.ParseTaskID(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	return task, err == nil
}

// attach moves a task's interface along with the task, never backwards, and takes over what the agent says of it.
func attach(task *ecs.Task, reported ecs.AttachmentStatus) bool {
	if task.Interface == nil {
		return false
	}
	status := max(task.Interface.Status, reported)
	switch {
	case task.LastStatus >= ecs.TaskStopped:
		status = max(status, ecs.AttachmentDeleted)
	case task.LastStatus >= ecs.TaskDeprovisioning:
		status = max(status, ecs.AttachmentDetaching)
	case task.LastStatus >= ecs.TaskActivating:
		status = max(status, ecs.AttachmentAttached)
	case task.LastStatus >= ecs.TaskPending:
		status = max(status, ecs.AttachmentAttaching)
	}
	if status == task.Interface.Status {
		return false
	}
	moved := *task.Interface
	moved.Status = status
	task.Interface = &moved
	return true
}

// passThrough moves a task with an interface through the states that ECS shows of it between those that agents report:
// ACTIVATING when its containers begin to run, DEPROVISIONING when all have ended.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
func passThrough(task *ecs.Task) {
	if task.Interface == nil || task.LastStatus >= ecs.TaskDeprovisioning {
		return
	}
	running, over := false, len(task.Containers) > 0
	for i := range task.Containers {
		running = running || task.Containers[i].LastStatus >= ecs.TaskRunning
		over = over && task.Containers[i].LastStatus >= ecs.TaskStopped
	}
	switch {
	case over:
		task.LastStatus = ecs.TaskDeprovisioning
	case running:
		task.LastStatus = max(task.LastStatus, ecs.TaskActivating)
	}
}
