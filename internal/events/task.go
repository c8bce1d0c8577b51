package events

import (
	"strconv"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// taskDetail is the detail of a task's event: what DescribeTasks shows, with times as text.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
type taskDetail struct {
	Attachments          []attachment      `json:"attachments"`
	Attributes           []ecs.Attribute   `json:"attributes"`
	AvailabilityZone     string            `json:"availabilityZone,omitempty"`
	CapacityProviderName string            `json:"capacityProviderName,omitempty"`
	ClusterARN           string            `json:"clusterArn"`
	Connectivity         string            `json:"connectivity,omitempty"`
	ConnectivityAt       *string           `json:"connectivityAt,omitempty"`
	InstanceARN          string            `json:"containerInstanceArn,omitempty"`
	Containers           []containerDetail `json:"containers"`
	CPU                  string            `json:"cpu"`
	CreatedAt            *string           `json:"createdAt,omitempty"`
	DesiredStatus        string            `json:"desiredStatus"`
	EnableExecuteCommand bool              `json:"enableExecuteCommand"`
	Group                string            `json:"group,omitempty"`
	LastStatus           string            `json:"lastStatus"`
	LaunchType           string            `json:"launchType,omitempty"`
	Memory               string            `json:"memory"`
	Overrides            overrides         `json:"overrides"`
	PlatformVersion      string            `json:"platformVersion,omitempty"`
	StartedBy            string            `json:"startedBy,omitempty"`
	taskTimes
	StopCode      string  `json:"stopCode,omitempty"`
	StoppedReason string  `json:"stoppedReason,omitempty"`
	TaskARN       string  `json:"taskArn"`
	DefinitionARN string  `json:"taskDefinitionArn"`
	UpdatedAt     *string `json:"updatedAt"`
	Version       int64   `json:"version"`
}

type taskTimes struct {
	PullStartedAt      *string `json:"pullStartedAt,omitempty"`
	PullStoppedAt      *string `json:"pullStoppedAt,omitempty"`
	StartedAt          *string `json:"startedAt,omitempty"`
	StoppingAt         *string `json:"stoppingAt,omitempty"`
	ExecutionStoppedAt *string `json:"executionStoppedAt,omitempty"`
	StoppedAt          *string `json:"stoppedAt,omitempty"`
}

type attachment struct {
	ID      string             `json:"id"`
	Type    string             `json:"type"`
	Status  string             `json:"status"`
	Details []ecs.KeyValuePair `json:"details"`
}

type containerDetail struct {
	ContainerARN      string               `json:"containerArn"`
	ExitCode          *int32               `json:"exitCode,omitempty"`
	LastStatus        string               `json:"lastStatus"`
	Name              string               `json:"name"`
	Image             string               `json:"image,omitempty"`
	ImageDigest       string               `json:"imageDigest,omitempty"`
	RuntimeID         string               `json:"runtimeId,omitempty"`
	Reason            string               `json:"reason,omitempty"`
	HealthStatus      string               `json:"healthStatus,omitempty"`
	GpuIDs            []string             `json:"gpuIds,omitempty"`
	TaskARN           string               `json:"taskArn"`
	NetworkBindings   []ecs.NetworkBinding `json:"networkBindings,omitempty"`
	NetworkInterfaces []networkInterface   `json:"networkInterfaces"`
	CPU               string               `json:"cpu,omitempty"`
	Memory            string               `json:"memory,omitempty"`
	MemoryReservation string               `json:"memoryReservation,omitempty"`
	ManagedAgents     []managedAgent       `json:"managedAgents,omitempty"`
}

type networkInterface struct {
	AttachmentID       string `json:"attachmentId"`
	PrivateIPv4Address string `json:"privateIpv4Address"`
}

type managedAgent struct {
	Name          string  `json:"name"`
	Status        string  `json:"status"`
	Reason        string  `json:"reason,omitempty"`
	LastStartedAt *string `json:"lastStartedAt,omitempty"`
}

// overrides shadows the list of what it holds: there is an element for each container.
type overrides struct {
	ecs.TaskOverride
	ContainerOverrides []ecs.ContainerOverride `json:"containerOverrides"`
}

func taskEvent(p ecs.Place, t *state.Tables, task *ecs.Task, at ecs.Millis) *Event {
	arn := p.TaskARN(task.Cluster, task.ID)
	e := New(p, stableID(arn, task.Version), SourceECS, TypeTask, at, arn)
	d := &taskDetail{
		Attachments: attachments(p, task), Attributes: []ecs.Attribute{}, CapacityProviderName: task.CapacityProvider,
		ClusterARN: p.ClusterARN(task.Cluster), ConnectivityAt: instant(task.ConnectivityAt), Containers: containers(p, t, task, arn),
		CPU: number(task.Reserved.CPU), CreatedAt: instant(task.CreatedAt), DesiredStatus: task.DesiredStatus.String(),
		EnableExecuteCommand: task.EnableExecuteCommand, Group: task.Group, LastStatus: task.LastStatus.String(), LaunchType: task.LaunchType,
		Memory: number(task.Reserved.MemoryMiB), Overrides: overridesOf(task), PlatformVersion: task.PlatformVersion, StartedBy: task.StartedBy,
		taskTimes: taskTimes{
			PullStartedAt: instant(task.PullStartedAt), PullStoppedAt: instant(task.PullStoppedAt), StartedAt: instant(task.StartedAt),
			StoppingAt: instant(task.StoppingAt), ExecutionStoppedAt: instant(task.ExecutionStoppedAt), StoppedAt: instant(task.StoppedAt),
		},
		StopCode: task.StopCode, StoppedReason: task.StoppedReason, TaskARN: arn, DefinitionARN: p.DefinitionARN(task.Definition),
		UpdatedAt: instant(at), Version: task.Version,
	}
	if task.ConnectivityAt != 0 {
		d.Connectivity = "CONNECTED"
	}
	onInstance(p, t, task, d)
	e.Detail = d
	return e
}

// onInstance adds what a task shows of its instance.
func onInstance(p ecs.Place, t *state.Tables, task *ecs.Task, d *taskDetail) {
	if task.Instance.IsZero() {
		return
	}
	if task.LaunchType != ecs.LaunchFargate {
		d.InstanceARN = p.InstanceARN(task.Cluster, task.Instance)
	}
	i := t.Instances.Get(task.Instance)
	if i == nil {
		return
	}
	if zone, ok := i.Attribute(ecs.AttributeZone); ok {
		d.AvailabilityZone = zone
	}
	if arch, ok := i.Attribute("ecs.cpu-architecture"); ok {
		d.Attributes = append(d.Attributes, ecs.Attribute{Name: "ecs.cpu-architecture", Value: arch})
	}
}

func attachments(p ecs.Place, task *ecs.Task) []attachment {
	i := task.Interface
	if i == nil {
		return []attachment{}
	}
	details := []ecs.KeyValuePair{pair("subnetId", i.SubnetID)}
	if i.Status > ecs.AttachmentPrecreated {
		details = append(details, pair("networkInterfaceId", i.ID), pair("macAddress", i.MAC),
			pair("privateDnsName", p.PrivateDNSName(i.Address)), pair("privateIPv4Address", i.Address.String()))
	}
	// Events say eni where DescribeTasks says ElasticNetworkInterface.
	return []attachment{{ID: i.AttachmentID, Type: "eni", Status: i.Status.String(), Details: details}}
}

func pair(name, value string) ecs.KeyValuePair { return ecs.KeyValuePair{Name: name, Value: &value} }

func containers(p ecs.Place, t *state.Tables, task *ecs.Task, taskARN string) []containerDetail {
	def := t.Definitions.Get(task.Definition)
	interfaces := []networkInterface{}
	if i := task.Interface; i != nil && i.Status > ecs.AttachmentPrecreated {
		interfaces = append(interfaces, networkInterface{i.AttachmentID, i.Address.String()})
	}
	out := make([]containerDetail, len(task.Containers))
	for n := range task.Containers {
		c := &task.Containers[n]
		out[n] = containerDetail{
			ContainerARN: p.ContainerARN(task.Cluster, task.ID, c.ID), ExitCode: c.ExitCode, LastStatus: c.LastStatus.String(), Name: c.Name,
			ImageDigest: c.ImageDigest, RuntimeID: c.RuntimeID, Reason: c.Reason, HealthStatus: string(c.HealthStatus), GpuIDs: c.GpuIDs,
			TaskARN: taskARN, NetworkBindings: c.NetworkBindings, NetworkInterfaces: interfaces, ManagedAgents: managedAgents(c.ManagedAgents),
		}
		if def != nil && n < len(def.ContainerDefinitions) {
			size(&out[n], &def.ContainerDefinitions[n], task.Overrides)
		}
	}
	return out
}

// size adds what a container shows of its definition, as the task overrides it.
func size(c *containerDetail, d *ecs.ContainerDefinition, o *ecs.TaskOverride) {
	d = d.With(o.Container(d.Name))
	c.Image, c.CPU = d.Image, number(d.Cpu)
	if d.Memory != nil {
		c.Memory = number(*d.Memory)
	}
	if d.MemoryReservation != nil {
		c.MemoryReservation = number(*d.MemoryReservation)
	}
}

func managedAgents(in []ecs.ManagedAgent) []managedAgent {
	var out []managedAgent
	for _, m := range in {
		out = append(out, managedAgent{m.Name, m.LastStatus.String(), m.Reason, instant(m.LastStartedAt)})
	}
	return out
}

// overridesOf has an element for each container, one without an override with its name alone.
func overridesOf(task *ecs.Task) overrides {
	var out overrides
	if task.Overrides != nil {
		out.TaskOverride = *task.Overrides
	}
	out.ContainerOverrides = make([]ecs.ContainerOverride, len(task.Containers))
	for i := range task.Containers {
		name := task.Containers[i].Name
		out.ContainerOverrides[i].Name = name
		for _, o := range out.TaskOverride.ContainerOverrides {
			if o.Name == name {
				out.ContainerOverrides[i] = o
			}
		}
	}
	return out
}

func number(n int32) string { return strconv.Itoa(int(n)) }
