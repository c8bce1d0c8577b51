package ecsapi

import (
	"context"
	"iter"
	"strconv"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/placement/query"
	"roadstead.dev/roadstead/internal/state"
)

// DescribeContainerInstances describes up to 100 instances of a cluster, with what is free of them.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
func (a *API) DescribeContainerInstances(_ context.Context, in *sdk.DescribeContainerInstancesInput) (*sdk.DescribeContainerInstancesOutput, error) {
	switch {
	case len(in.ContainerInstances) == 0:
		return nil, fault.New(fault.InvalidParameter, "Container instances cannot be empty.")
	case len(in.ContainerInstances) > maxDescribe:
		return nil, tooMany("Container instances")
	}
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	cluster, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &sdk.DescribeContainerInstancesOutput{ContainerInstances: []types.ContainerInstance{}, Failures: []types.Failure{}}
	for _, ref := range in.ContainerInstances {
		i, err := a.instance(t, ref, cluster)
		if err != nil {
			return nil, err
		}
		if i == nil {
			out.Failures = append(out.Failures, types.Failure{Arn: a.missingARN(ref, kindInstance, cluster), Reason: ptr(reasonMissing)})
			continue
		}
		out.ContainerInstances = append(out.ContainerInstances, a.wireInstance(t, i, include))
	}
	return out, nil
}

// ListContainerInstances lists a cluster's instances, those that are not INACTIVE unless a status is asked for.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListContainerInstances.html
func (a *API) ListContainerInstances(_ context.Context, in *sdk.ListContainerInstancesInput) (*sdk.ListContainerInstancesOutput, error) {
	if in.Status != "" && !known(in.Status) {
		return nil, fault.New(fault.InvalidParameter, "Invalid status: %q.", string(in.Status))
	}
	t := &a.Store.View().Tables
	cluster, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	meant, err := a.instanceFilter(t, cluster, str(in.Filter))
	if err != nil {
		return nil, err
	}
	p, err := newPager(in.MaxResults, in.NextToken, "ListContainerInstances", cluster, string(in.Status), str(in.Filter))
	if err != nil {
		return nil, err
	}
	first, err := ecs.ParseInstanceID(p.after)
	if p.after != "" && err != nil {
		return nil, errToken
	}
	ids := func(yield func(ecs.InstanceID) bool) {
		for i := range t.Instances.InClusterFrom(cluster, first) {
			if listed(i, in.Status) && meant(i) && !yield(i.ID) {
				return
			}
		}
	}
	found, next := page(p, iter.Seq[ecs.InstanceID](ids), ecs.InstanceID.String, behindID[ecs.InstanceID])
	arns := make([]string, len(found))
	for n, id := range found {
		arns[n] = a.Place.InstanceARN(cluster, id)
	}
	return &sdk.ListContainerInstancesOutput{ContainerInstanceArns: arns, NextToken: next}, nil
}

// instanceFilter makes a condition of an expression of the cluster query language; "" is any instance.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
func (a *API) instanceFilter(t *state.Tables, cluster, filter string) (func(*ecs.Instance) bool, error) {
	if filter == "" {
		return func(*ecs.Instance) bool { return true }, nil
	}
	e, err := query.Parse(filter)
	if err != nil {
		return nil, fault.New(fault.InvalidParameter, "Invalid filter expression: %v.", err)
	}
	return placement.Filter(t, cluster, e, a.Connected), nil
}

var errToken = fault.New(fault.InvalidParameter, "Invalid token.")

// behindID orders ids by their text.
func behindID[ID interface{ String() string }](id ID, after string) bool { return id.String() > after }

func listed(i *ecs.Instance, status types.ContainerInstanceStatus) bool {
	if status == "" {
		return i.Status != ecs.InstanceInactive
	}
	return string(i.Status) == string(status)
}

// DeregisterContainerInstance makes an instance INACTIVE. With force its tasks end too: nobody will report on them.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
func (a *API) DeregisterContainerInstance(ctx context.Context, in *sdk.DeregisterContainerInstanceInput) (*sdk.DeregisterContainerInstanceOutput, error) {
	if str(in.ContainerInstance) == "" {
		return nil, fault.New(fault.InvalidParameter, "Container instance can not be null or empty.")
	}
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	force := in.Force != nil && *in.Force
	var out types.ContainerInstance
	var id ecs.InstanceID
	ended := 0
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, name); err != nil {
			return err
		}
		old, err := a.instance(&tx.Tables, *in.ContainerInstance, name)
		if err != nil {
			return err
		}
		if old == nil {
			return fault.New(fault.InvalidParameter, "The referenced container instance was not found.")
		}
		if err := a.speaksFor(ctx, old); err != nil {
			return err
		}
		if !force && hasLiveTaskOn(&tx.Tables, old.ID) {
			return fault.New(fault.InvalidParameter, "Found running tasks on the instance.")
		}
		id = old.ID
		ended = a.endTasks(tx, id)
		i := *old
		if i.Status != ecs.InstanceInactive {
			i.Status, i.StatusReason, i.DeregisteredAt = ecs.InstanceInactive, "", a.now()
			i.Version++
			tx.Instances.Put(&i)
		}
		if force && a.Agent(ctx) == "" {
			withdrawKey(tx, i.AgentKey, a.now())
		}
		out = a.wireInstance(&tx.Tables, &i, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// No task comes to an INACTIVE instance any more, so the rest may end bit by bit.
	for ended == tasksAtOnce {
		if err := a.Store.Update(ctx, func(tx *state.Tx) error {
			ended = a.endTasks(tx, id)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return &sdk.DeregisterContainerInstanceOutput{ContainerInstance: &out}, nil
}

// tasksAtOnce is how many tasks end in one update: with what else it writes it fits in any store's transaction.
const tasksAtOnce = 100

func (a *API) endTasks(tx *state.Tx, id ecs.InstanceID) int {
	return lifecycle.InstanceGone(tx, a.now(), id, tasksAtOnce, ecs.StopUserInitiated, "Container instance deregistered by user.")
}

func hasLiveTaskOn(t *state.Tables, id ecs.InstanceID) bool {
	for task := range t.Tasks.OnInstance(id) {
		if task.LastStatus < ecs.TaskStopped {
			return true
		}
	}
	return false
}

func (a *API) wireInstance(t *state.Tables, i *ecs.Instance, include map[types.ContainerInstanceField]bool) types.ContainerInstance {
	arn, status, n := a.Place.InstanceARN(i.Cluster, i.ID), string(i.Status), t.InstanceCounts(i.ID)
	out := types.ContainerInstance{
		ContainerInstanceArn: &arn,
		Ec2InstanceId:        ptr(i.HostID),
		Status:               &status,
		StatusReason:         ptr(i.StatusReason),
		AgentConnected:       i.Status != ecs.InstanceInactive && a.Connected(i.ID),
		RunningTasksCount:    n.Running,
		PendingTasksCount:    n.Pending,
		RegisteredAt:         moment(i.RegisteredAt),
		Version:              i.Version,
		VersionInfo:          &types.VersionInfo{AgentHash: ptr(i.AgentHash), AgentVersion: ptr(i.AgentVersion), DockerVersion: ptr(i.RuntimeVersion)},
		Attributes:           mirror.Slice[types.Attribute](i.Attributes),
		CapacityProviderName: ptr(i.CapacityProvider),
		AgentUpdateStatus:    wireAgentUpdate(i),
		Attachments:          a.instanceAttachments(t, i.ID),
		RegisteredResources:  wireResources(i.Registered, ecs.Resources{}),
		RemainingResources:   wireResources(i.Registered, t.InUse(i.ID)),
		Tags:                 []types.Tag{},
	}
	list(&out.Attributes)
	if include[types.ContainerInstanceFieldTags] {
		out.Tags = wireTags(i.Tags)
	}
	if include[types.ContainerInstanceFieldContainerInstanceHealth] {
		out.HealthStatus = a.instanceHealth(i)
	}
	return out
}

// instanceAttachments are the network interfaces of the tasks on an instance that have not STOPPED; never nil.
func (a *API) instanceAttachments(t *state.Tables, id ecs.InstanceID) []types.Attachment {
	out := []types.Attachment{}
	if t.InUse(id).ENIs == 0 {
		return out
	}
	for task := range t.Tasks.OnInstance(id) {
		if task.LastStatus < ecs.TaskStopped {
			out = append(out, a.wireAttachments(task)...)
		}
	}
	return out
}

// wireResources gives resources less those in use. As ECS has it, PORTS are the ports that are taken, so those in use are added.
func wireResources(r, used ecs.Resources) []types.Resource {
	tcp, udp := portNumbers(r.Ports, used.Ports)
	out := []types.Resource{
		{Name: ptr(resourceCPU), Type: ptr("INTEGER"), IntegerValue: r.CPU - used.CPU},
		{Name: ptr(resourceMemory), Type: ptr("INTEGER"), IntegerValue: r.MemoryMiB - used.MemoryMiB},
		{Name: ptr(resourcePorts), Type: ptr("STRINGSET"), StringSetValue: tcp},
		{Name: ptr(resourcePortsUDP), Type: ptr("STRINGSET"), StringSetValue: udp},
	}
	if len(r.GPUs) > 0 {
		free := []string{}
		taken := make(map[string]bool, len(used.GPUs))
		for _, g := range used.GPUs {
			taken[g] = true
		}
		for _, g := range r.GPUs {
			if !taken[g] {
				free = append(free, g)
			}
		}
		out = append(out, types.Resource{Name: ptr(resourceGPU), Type: ptr("STRINGSET"), StringSetValue: free})
	}
	return out
}

func portNumbers(lists ...[]ecs.Port) (tcp, udp []string) {
	tcp, udp = []string{}, []string{}
	for _, l := range lists {
		for _, p := range l {
			n := strconv.Itoa(int(p.Number))
			if p.UDP {
				udp = append(udp, n)
			} else {
				tcp = append(tcp, n)
			}
		}
	}
	return tcp, udp
}
