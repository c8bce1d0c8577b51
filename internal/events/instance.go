package events

import (
	"strconv"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// instanceDetail is the detail of a container instance's event.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
type instanceDetail struct {
	AgentConnected      bool            `json:"agentConnected"`
	Attributes          []ecs.Attribute `json:"attributes"`
	ClusterARN          string          `json:"clusterArn"`
	InstanceARN         string          `json:"containerInstanceArn"`
	EC2InstanceID       string          `json:"ec2InstanceId,omitempty"`
	PendingTasksCount   int32           `json:"pendingTasksCount"`
	RegisteredAt        *string         `json:"registeredAt,omitempty"`
	RegisteredResources []resource      `json:"registeredResources"`
	RemainingResources  []resource      `json:"remainingResources"`
	RunningTasksCount   int32           `json:"runningTasksCount"`
	Status              string          `json:"status"`
	StatusReason        string          `json:"statusReason,omitempty"`
	CapacityProvider    string          `json:"capacityProviderName,omitempty"`
	Version             int64           `json:"version"`
	VersionInfo         versionInfo     `json:"versionInfo"`
	UpdatedAt           *string         `json:"updatedAt"`
}

type resource struct {
	Name           string   `json:"name"`
	Type           string   `json:"type"`
	IntegerValue   *int32   `json:"integerValue,omitempty"`
	StringSetValue []string `json:"stringSetValue,omitzero"`
}

type versionInfo struct {
	AgentHash     string `json:"agentHash,omitempty"`
	AgentVersion  string `json:"agentVersion,omitempty"`
	DockerVersion string `json:"dockerVersion,omitempty"`
}

func instanceEvent(p ecs.Place, c *state.EventInstance, at ecs.Millis, id string) *Event {
	i := &c.Instance
	arn := p.InstanceARN(i.Cluster, i.ID)
	e := New(p, id, SourceECS, TypeInstance, at, arn)
	e.Detail = &instanceDetail{
		// Whether a session is there right now is not stored: an instance that is not INACTIVE has just been heard of or acted on.
		AgentConnected: i.Status != ecs.InstanceInactive,
		Attributes:     append([]ecs.Attribute{}, i.Attributes...), ClusterARN: p.ClusterARN(i.Cluster), InstanceARN: arn, EC2InstanceID: i.HostID,
		PendingTasksCount: c.Pending, RunningTasksCount: c.Running, RegisteredAt: instant(i.RegisteredAt),
		RegisteredResources: resources(i.Registered, ecs.Resources{}), RemainingResources: resources(i.Registered, c.InUse),
		Status: string(i.Status), StatusReason: i.StatusReason, CapacityProvider: i.CapacityProvider, Version: i.Version,
		VersionInfo: versionInfo{i.AgentHash, i.AgentVersion, i.RuntimeVersion}, UpdatedAt: instant(at),
	}
	return e
}

// resources gives what is left; the ports are those that are taken, as ECS has it.
func resources(r, used ecs.Resources) []resource {
	cpu, memory := r.CPU-used.CPU, r.MemoryMiB-used.MemoryMiB
	tcp, udp := []string{}, []string{}
	for _, ports := range [][]ecs.Port{r.Ports, used.Ports} {
		for _, p := range ports {
			n := strconv.Itoa(int(p.Number))
			if p.UDP {
				udp = append(udp, n)
			} else {
				tcp = append(tcp, n)
			}
		}
	}
	return []resource{
		{Name: "CPU", Type: "INTEGER", IntegerValue: &cpu},
		{Name: "MEMORY", Type: "INTEGER", IntegerValue: &memory},
		{Name: "PORTS", Type: "STRINGSET", StringSetValue: tcp},
		{Name: "PORTS_UDP", Type: "STRINGSET", StringSetValue: udp},
	}
}
