package ecs

// InstanceStatus says whether an instance takes tasks.
type InstanceStatus string

// The states of a container instance.
const (
	InstanceRegistering   InstanceStatus = "REGISTERING"
	InstanceActive        InstanceStatus = "ACTIVE"
	InstanceDraining      InstanceStatus = "DRAINING"
	InstanceDeregistering InstanceStatus = "DEREGISTERING"
	InstanceInactive      InstanceStatus = "INACTIVE"
)

// AttributeZone is the attribute of an instance's availability zone.
const AttributeZone = "ecs.availability-zone"

// Instance is a container instance: one agent and what its machine offers. Whether its agent is connected right now is
// known to the leader's sessions and not stored; what is free of its resources is derived from the tasks.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
type Instance struct {
	ID           InstanceID     `json:"id"`
	Cluster      string         `json:"cluster"`
	Status       InstanceStatus `json:"status"`
	StatusReason string         `json:"statusReason,omitempty"`
	// HostID is the machine's own name for itself, ECS's ec2InstanceId.
	HostID         string      `json:"hostId,omitempty"`
	Attributes     []Attribute `json:"attributes,omitempty"`
	Registered     Resources   `json:"registered"`
	AgentVersion   string      `json:"agentVersion,omitempty"`
	AgentHash      string      `json:"agentHash,omitempty"`
	RuntimeVersion string      `json:"runtimeVersion,omitempty"`
	RegisteredAt   Millis      `json:"registeredAt"`
	// DeregisteredAt is when it became INACTIVE.
	DeregisteredAt Millis `json:"deregisteredAt,omitempty"`
	// AgentKey is the id of the access key of the agent that registered it, which alone may speak for it; "" if it was not
	// an agent's own key.
	AgentKey string `json:"agentKey,omitempty"`
	// Version counts the changes ECS shows of an instance, from 1.
	Version int64 `json:"version"`
	// Sequence is the last number given to a message for this instance; numbers are reserved in blocks, so a restart never
	// gives one twice.
	Sequence int64 `json:"sequence,omitempty"`
	Tags     []Tag `json:"tags,omitempty"`
	// ClientToken is that of the registration, so that a retried one finds its instance.
	ClientToken string `json:"clientToken,omitempty"`
	// Native says that the agent takes tasks in ECS's own terms and batches its reports (package acs).
	Native bool `json:"native,omitempty"`
	// CapacityProvider is the name of the provider whose group the instance belongs to, if any.
	CapacityProvider string `json:"capacityProvider,omitempty"`
	// AgentUpdate is nil until an update of the agent is asked for.
	AgentUpdate *AgentUpdate `json:"agentUpdate,omitempty"`
}

// Attribute gives the value of a name, and whether the instance has it.
func (i *Instance) Attribute(name string) (string, bool) {
	for _, a := range i.Attributes {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// Port is a host port in one protocol.
type Port struct {
	Number uint16 `json:"number"`
	UDP    bool   `json:"udp,omitempty"`
}

// Resources is an amount of what instances have and tasks take.
type Resources struct {
	// CPU is in units, 1024 to a core.
	CPU int32 `json:"cpu,omitempty"`
	// MemoryMiB is in mebibytes.
	MemoryMiB int32 `json:"memory,omitempty"`
	// Ports are host ports: taken ones of an instance, wanted ones of a task.
	Ports []Port   `json:"ports,omitempty"`
	GPUs  []string `json:"gpus,omitempty"`
	// ENIs are network interfaces: how many of an instance's tasks may have one of their own (0 is no limit), and how many a
	// task takes.
	ENIs int32 `json:"enis,omitempty"`
}
