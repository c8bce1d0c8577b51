package metadata

import (
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
)

// The documents' fields are named and left out as the stock agent does.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html

type limitsDocument struct {
	CPU    *float64 `json:"CPU,omitempty"`
	Memory *int64   `json:"Memory,omitempty"`
}

type taskDocument struct {
	Cluster            string              `json:"Cluster"`
	ServiceName        string              `json:"ServiceName,omitempty"`
	TaskARN            string              `json:"TaskARN"`
	Family             string              `json:"Family"`
	Revision           string              `json:"Revision"`
	DesiredStatus      string              `json:"DesiredStatus,omitempty"`
	KnownStatus        string              `json:"KnownStatus"`
	Limits             *limitsDocument     `json:"Limits,omitempty"`
	PullStartedAt      *time.Time          `json:"PullStartedAt,omitempty"`
	PullStoppedAt      *time.Time          `json:"PullStoppedAt,omitempty"`
	ExecutionStoppedAt *time.Time          `json:"ExecutionStoppedAt,omitempty"`
	AvailabilityZone   string              `json:"AvailabilityZone,omitempty"`
	LaunchType         string              `json:"LaunchType,omitempty"`
	Containers         []containerDocument `json:"Containers,omitempty"`
}

type containerDocument struct {
	DockerID      string            `json:"DockerId"`
	Name          string            `json:"Name"`
	DockerName    string            `json:"DockerName"`
	Image         string            `json:"Image"`
	ImageID       string            `json:"ImageID"`
	Ports         []portDocument    `json:"Ports,omitempty"`
	Labels        map[string]string `json:"Labels,omitempty"`
	DesiredStatus string            `json:"DesiredStatus"`
	KnownStatus   string            `json:"KnownStatus"`
	ExitCode      *int32            `json:"ExitCode,omitempty"`
	Limits        limitsDocument    `json:"Limits"`
	CreatedAt     *time.Time        `json:"CreatedAt,omitempty"`
	StartedAt     *time.Time        `json:"StartedAt,omitempty"`
	FinishedAt    *time.Time        `json:"FinishedAt,omitempty"`
	Type          string            `json:"Type"`
	Health        *healthDocument   `json:"Health,omitempty"`
	Volumes       []volumeDocument  `json:"Volumes,omitempty"`
	LogDriver     string            `json:"LogDriver,omitempty"`
	LogOptions    map[string]string `json:"LogOptions,omitempty"`
	ContainerARN  string            `json:"ContainerARN,omitempty"`
	Networks      []networkDocument `json:"Networks,omitempty"`
	RestartCount  *int              `json:"RestartCount,omitempty"`
	Snapshotter   string            `json:"Snapshotter,omitempty"`
}

type portDocument struct {
	ContainerPort int32  `json:"ContainerPort,omitempty"`
	Protocol      string `json:"Protocol,omitempty"`
	HostPort      int32  `json:"HostPort,omitempty"`
	HostIP        string `json:"HostIp,omitempty"`
}

type healthDocument struct {
	Status   string     `json:"status,omitempty"`
	Since    *time.Time `json:"statusSince,omitempty"`
	ExitCode int        `json:"exitCode,omitempty"`
	Output   string     `json:"output,omitempty"`
}

type volumeDocument struct {
	DockerName  string `json:"DockerName,omitempty"`
	Source      string `json:"Source,omitempty"`
	Destination string `json:"Destination,omitempty"`
}

type networkDocument struct {
	NetworkMode              string   `json:"NetworkMode,omitempty"`
	IPv4Addresses            []string `json:"IPv4Addresses,omitempty"`
	AttachmentIndex          *int     `json:"AttachmentIndex,omitempty"`
	MACAddress               string   `json:"MACAddress,omitempty"`
	IPv4SubnetCIDRBlock      string   `json:"IPv4SubnetCIDRBlock,omitempty"`
	DomainNameServers        []string `json:"DomainNameServers,omitempty"`
	DomainNameSearchList     []string `json:"DomainNameSearchList,omitempty"`
	PrivateDNSName           string   `json:"PrivateDNSName,omitempty"`
	SubnetGatewayIPV4Address string   `json:"SubnetGatewayIpv4Address,omitempty"`
}

// version is that of the endpoint: 3 or 4. What 4 added is left out of 3.
type version int

func (v version) task(t *Task) *taskDocument {
	d := &taskDocument{
		Cluster: t.Cluster, TaskARN: t.ARN, Family: t.Family, Revision: revision(t.Revision),
		DesiredStatus: statusName(t.Desired), KnownStatus: t.Known.String(),
		PullStartedAt: moment(t.PullStarted), PullStoppedAt: moment(t.PullEnded), ExecutionStoppedAt: moment(t.ExecutionStopped),
		AvailabilityZone: t.Zone, Containers: make([]containerDocument, len(t.Containers)),
	}
	if t.CPUs > 0 || t.MemoryMiB > 0 {
		d.Limits = &limitsDocument{}
		if t.CPUs > 0 {
			d.Limits.CPU = &t.CPUs
		}
		if t.MemoryMiB > 0 {
			d.Limits.Memory = &t.MemoryMiB
		}
	}
	if v >= 4 {
		d.ServiceName, d.LaunchType = t.Service, t.LaunchType
	}
	for i := range t.Containers {
		d.Containers[i] = *v.container(t, i)
	}
	return d
}

func (v version) container(t *Task, i int) *containerDocument {
	c := &t.Containers[i]
	d := &containerDocument{
		DockerID: c.RuntimeID, Name: c.Name, DockerName: dockerName(t, c), Image: c.Image, ImageID: c.ImageDigest, Labels: c.Labels,
		DesiredStatus: statusName(c.Desired), KnownStatus: c.Known.String(), ExitCode: c.ExitCode,
		Limits: limitsDocument{CPU: &c.CPU, Memory: &c.MemoryMiB}, Type: "NORMAL",
		CreatedAt: moment(c.Created), StartedAt: moment(c.Started), FinishedAt: moment(c.Finished),
	}
	for _, p := range c.Ports {
		d.Ports = append(d.Ports, portDocument{ContainerPort: number(p.ContainerPort), Protocol: p.Protocol, HostPort: number(p.HostPort), HostIP: p.BindIP})
	}
	for _, m := range c.Volumes {
		d.Volumes = append(d.Volumes, volumeDocument{DockerName: m.Name, Source: m.Source, Destination: m.Destination})
	}
	if h := c.Health; h != nil {
		d.Health = &healthDocument{Status: string(h.Status), Since: moment(h.Since), ExitCode: h.ExitCode, Output: h.Output}
	}
	for _, n := range c.Networks {
		d.Networks = append(d.Networks, v.network(n))
	}
	if v >= 4 {
		d.LogDriver, d.LogOptions, d.ContainerARN = c.LogDriver, c.LogOptions, c.ARN
		d.RestartCount, d.Snapshotter = c.RestartCount, c.Snapshotter
	}
	return d
}

func (v version) network(n Network) networkDocument {
	d := networkDocument{NetworkMode: n.Mode, IPv4Addresses: n.IPv4}
	if v >= 4 {
		d.AttachmentIndex, d.MACAddress, d.IPv4SubnetCIDRBlock = n.AttachmentIndex, n.MAC, n.SubnetCIDR
		d.DomainNameServers, d.DomainNameSearchList = n.DNSNameservers, n.DNSSearchDomains
		d.PrivateDNSName, d.SubnetGatewayIPV4Address = n.PrivateDNSName, n.SubnetGateway
	}
	return d
}

// dockerName is made as the stock agent's: what a person looks for in a list of containers.
func dockerName(t *Task, c *Container) string {
	id := c.RuntimeID
	if len(id) > 20 {
		id = id[:20]
	}
	return strings.Join([]string{"ecs", t.Family, revision(t.Revision), c.Name, id}, "-")
}

func statusName(s ecs.TaskStatus) string {
	if s == ecs.TaskStatusNone {
		return ""
	}
	return s.String()
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func number(p *int32) int32 {
	if p == nil {
		return 0
	}
	return *p
}
