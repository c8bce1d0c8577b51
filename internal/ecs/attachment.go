package ecs

import (
	"fmt"
	"net/netip"
)

// AttachmentStatus is a state of an attachment's life, in its order, so that "not backwards" is a comparison.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html
type AttachmentStatus uint8

// The states in order. An interface is ATTACHED when its node says so.
const (
	AttachmentNone AttachmentStatus = iota
	AttachmentPrecreated
	AttachmentCreated
	AttachmentAttaching
	AttachmentAttached
	AttachmentDetaching
	AttachmentDetached
	AttachmentDeleted
	AttachmentFailed
)

var attachmentStatusNames = [...]string{"", "PRECREATED", "CREATED", "ATTACHING", "ATTACHED", "DETACHING", "DETACHED", "DELETED", "FAILED"}

func (s AttachmentStatus) String() string {
	if int(s) < len(attachmentStatusNames) {
		return attachmentStatusNames[s]
	}
	return "UNKNOWN"
}

// ParseAttachmentStatus reads ECS's name of a state; ok is false for any other word.
func ParseAttachmentStatus(s string) (status AttachmentStatus, ok bool) {
	for i, n := range attachmentStatusNames {
		if n == s && i > 0 {
			return AttachmentStatus(i), true
		}
	}
	return 0, false
}

// IPv4 is an address, in the order of its digits.
type IPv4 [4]byte

func (a IPv4) String() string { return netip.AddrFrom4(a).String() }

// MarshalText gives the dotted form.
func (a IPv4) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the dotted form.
func (a *IPv4) UnmarshalText(b []byte) error {
	addr, err := netip.ParseAddr(string(b))
	if err != nil || !addr.Is4() {
		return fmt.Errorf("%q is no IPv4 address", b)
	}
	*a = addr.As4()
	return nil
}

// NetworkInterface is the elastic network interface of one task in the network mode awsvpc. Its address is the task's
// until the task is STOPPED.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-networking-awsvpc.html
type NetworkInterface struct {
	// AttachmentID ends the attachment's ARN: 8-4-4-4-12 hex digits.
	AttachmentID string           `cbor:"1,keyasint" json:"attachmentId"`
	Status       AttachmentStatus `cbor:"2,keyasint" json:"status"`
	// ID is eni- and 17 hex digits.
	ID string `cbor:"3,keyasint" json:"id"`
	// MAC is six bytes in hex, with colons.
	MAC      string `cbor:"4,keyasint" json:"mac"`
	SubnetID string `cbor:"5,keyasint" json:"subnetId"`
	// Address is in the subnet's range.
	Address        IPv4     `cbor:"6,keyasint" json:"address"`
	SecurityGroups []string `cbor:"7,keyasint,omitempty" json:"securityGroups,omitempty"`
	// AssignPublicIP is what was asked for; addresses here are private whatever it says.
	AssignPublicIP bool `cbor:"8,keyasint,omitempty" json:"assignPublicIp,omitempty"`
}
