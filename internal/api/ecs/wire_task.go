package ecsapi

import (
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// wireTask gives a task as ECS shows it: cpu and memory are strings, and the lists that ECS always has are there.
func (a *API) wireTask(t *state.Tables, task *ecs.Task, withTags bool) types.Task {
	arn, clusterARN, definitionARN := a.Place.TaskARN(task.Cluster, task.ID), a.Place.ClusterARN(task.Cluster), a.Place.DefinitionARN(task.Definition)
	last, desired := task.LastStatus.String(), task.DesiredStatus.String()
	out := types.Task{
		Attachments:          a.wireAttachments(task),
		Attributes:           []types.Attribute{},
		CapacityProviderName: ptr(task.CapacityProvider),
		ClusterArn:           &clusterARN,
		ConnectivityAt:       moment(task.ConnectivityAt),
		Cpu:                  number(task.Reserved.CPU),
		CreatedAt:            moment(task.CreatedAt),
		DesiredStatus:        &desired,
		EnableExecuteCommand: task.EnableExecuteCommand,
		ExecutionStoppedAt:   moment(task.ExecutionStoppedAt),
		Group:                ptr(task.Group),
		HealthStatus:         health(task.HealthStatus),
		//lint:ignore SA1019 ECS still gives the empty list
		InferenceAccelerators: []types.InferenceAccelerator{},
		LastStatus:            &last,
		LaunchType:            types.LaunchType(task.LaunchType),
		Memory:                number(task.Reserved.MemoryMiB),
		Overrides:             wireOverride(task),
		PlatformVersion:       ptr(task.PlatformVersion),
		PullStartedAt:         moment(task.PullStartedAt),
		PullStoppedAt:         moment(task.PullStoppedAt),
		StartedAt:             moment(task.StartedAt),
		StartedBy:             ptr(task.StartedBy),
		StopCode:              types.TaskStopCode(task.StopCode),
		StoppedAt:             moment(task.StoppedAt),
		StoppedReason:         ptr(task.StoppedReason),
		StoppingAt:            moment(task.StoppingAt),
		Tags:                  []types.Tag{},
		TaskArn:               &arn,
		TaskDefinitionArn:     &definitionARN,
		Version:               task.Version,
	}
	a.wireConnectivity(task, &out)
	if withTags {
		out.Tags = wireTags(task.Tags)
	}
	a.wireInstanceOf(t, task, &out)
	a.wireContainers(t, task, &arn, &out)
	return out
}

// wireInstanceOf adds what a task shows of its instance.
func (a *API) wireInstanceOf(t *state.Tables, task *ecs.Task, out *types.Task) {
	if task.Instance.IsZero() {
		return
	}
	if task.LaunchType != ecs.LaunchFargate {
		arn := a.Place.InstanceARN(task.Cluster, task.Instance)
		out.ContainerInstanceArn = &arn
	}
	i := t.Instances.Get(task.Instance)
	if i == nil {
		return
	}
	if zone, ok := i.Attribute(ecs.AttributeZone); ok {
		out.AvailabilityZone = &zone
	}
	if arch, ok := i.Attribute(attributeArch); ok {
		out.Attributes = []types.Attribute{{Name: ptr(attributeArch), Value: &arch}}
	}
}

// wireConnectivity tells whether the agent of a live task is there; a stopped task shows how it was seen last.
func (a *API) wireConnectivity(task *ecs.Task, out *types.Task) {
	switch {
	case task.ConnectivityAt == 0:
	case task.LastStatus < ecs.TaskStopped && !a.Connected(task.Instance):
		out.Connectivity = types.ConnectivityDisconnected
	default:
		out.Connectivity = types.ConnectivityConnected
	}
}

func (a *API) wireContainers(t *state.Tables, task *ecs.Task, taskARN *string, out *types.Task) {
	d := t.Definitions.Get(task.Definition)
	wireFargate(task, d, out)
	interfaces := wireInterfaces(task)
	out.Containers = make([]types.Container, len(task.Containers))
	for i := range task.Containers {
		c := &task.Containers[i]
		arn, last := a.Place.ContainerARN(task.Cluster, task.ID, c.ID), c.LastStatus.String()
		w := types.Container{
			ContainerArn:      &arn,
			ExitCode:          c.ExitCode,
			GpuIds:            c.GpuIDs,
			HealthStatus:      health(c.HealthStatus),
			ImageDigest:       ptr(c.ImageDigest),
			LastStatus:        &last,
			ManagedAgents:     wireManagedAgents(c.ManagedAgents),
			Name:              &c.Name,
			NetworkBindings:   mirror.Slice[types.NetworkBinding](c.NetworkBindings),
			NetworkInterfaces: interfaces,
			Reason:            ptr(c.Reason),
			RuntimeId:         ptr(c.RuntimeID),
			TaskArn:           taskARN,
		}
		list(&w.NetworkBindings)
		if d != nil && i < len(d.ContainerDefinitions) {
			wireContainerSize(&d.ContainerDefinitions[i], task.Overrides, &w)
		}
		out.Containers[i] = w
	}
}

func wireContainerSize(d *ecs.ContainerDefinition, o *ecs.TaskOverride, w *types.Container) {
	cpu, memory, reservation := d.Cpu, d.Memory, d.MemoryReservation
	if o != nil {
		for i := range o.ContainerOverrides {
			if c := &o.ContainerOverrides[i]; c.Name == d.Name {
				if c.Cpu != nil {
					cpu = *c.Cpu
				}
				memory, reservation = orElse(c.Memory, memory), orElse(c.MemoryReservation, reservation)
			}
		}
	}
	w.Image = &d.Image
	w.Cpu = number(cpu)
	if memory != nil {
		w.Memory = number(*memory)
	}
	if reservation != nil {
		w.MemoryReservation = number(*reservation)
	}
}

func orElse(a, b *int32) *int32 {
	if a != nil {
		return a
	}
	return b
}

func number(n int32) *string {
	s := strconv.Itoa(int(n))
	return &s
}

func health(h ecs.HealthStatus) types.HealthStatus {
	if h == "" {
		return types.HealthStatusUnknown
	}
	return types.HealthStatus(h)
}

// wireOverride has an element for each container, in the task's order: one without an override has its name alone, as ECS
// shows it.
func wireOverride(task *ecs.Task) *types.TaskOverride {
	var out types.TaskOverride
	if task.Overrides != nil {
		out = mirror.Of[types.TaskOverride](task.Overrides)
	}
	given := out.ContainerOverrides
	out.ContainerOverrides = make([]types.ContainerOverride, 0, len(task.Containers))
	for i := range task.Containers {
		name := task.Containers[i].Name
		of := slices.IndexFunc(given, func(o types.ContainerOverride) bool { return str(o.Name) == name })
		if of < 0 {
			out.ContainerOverrides = append(out.ContainerOverrides, types.ContainerOverride{Name: &name})
		} else {
			out.ContainerOverrides = append(out.ContainerOverrides, given[of])
		}
	}
	//lint:ignore SA1019 ECS still gives the empty list
	list(&out.InferenceAcceleratorOverrides)
	return &out
}
