package payload

import (
	"fmt"

	"roadstead.dev/roadstead/internal/ecs"
)

// AttachInterfaces tells an agent of the network interface that a task will have. The agent waits for it, reports it ATTACHED, and only
// then is given the task.
type AttachInterfaces struct {
	Envelope
	TaskARN        string `json:"taskArn"`
	TaskClusterARN string `json:"taskClusterArn"`
	// WaitTimeoutMs is for how long the agent waits, in milliseconds.
	WaitTimeoutMs int64       `json:"waitTimeoutMs"`
	Interfaces    []Interface `json:"elasticNetworkInterfaces"`
}

// Interface is a network interface as the agent knows it: one of its machine that has that MAC address.
type Interface struct {
	AttachmentARN  string    `json:"attachmentArn"`
	ID             string    `json:"ec2Id"`
	MAC            string    `json:"macAddress"`
	Addresses      []Address `json:"ipv4Addresses"`
	Gateway        string    `json:"subnetGatewayIpv4Address"`
	PrivateDNSName string    `json:"privateDnsName,omitempty"`
	Protocol       string    `json:"interfaceAssociationProtocol"`
}

// Address is one of an interface's.
type Address struct {
	Address string `json:"privateAddress"`
	Primary bool   `json:"primary"`
}

// protocolDefault is an interface of the machine's own, not a branch of one.
const protocolDefault = "default"

// TaskInterface says the interface of a task, which must be one that its instance offers.
func TaskInterface(place ecs.Place, t *ecs.Task, i *ecs.Instance) (*Interface, error) {
	if t.Interface == nil {
		return nil, nil
	}
	for _, s := range i.SpareInterfaces() {
		if s.MAC != t.Interface.MAC {
			continue
		}
		return &Interface{
			AttachmentARN: place.AttachmentARN(t.Interface.AttachmentID), ID: t.Interface.ID, MAC: s.MAC,
			Addresses:      []Address{{Address: s.Prefix.Addr().String(), Primary: true}},
			Gateway:        fmt.Sprintf("%s/%d", s.Gateway, s.Prefix.Bits()),
			PrivateDNSName: place.PrivateDNSName(t.Interface.Address), Protocol: protocolDefault,
		}, nil
	}
	return nil, fmt.Errorf("the host does not offer the network interface %s any more", t.Interface.MAC)
}
