package ecsapi

import (
	"context"
	"iter"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// StopTask asks for the end of a task. Its agent is told; the answer is the task as it is now.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
func (a *API) StopTask(ctx context.Context, in *sdk.StopTaskInput) (*sdk.StopTaskOutput, error) {
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	if str(in.Task) == "" {
		return nil, fault.New(fault.InvalidParameter, "Task can not be null or empty.")
	}
	reason := str(in.Reason)
	if len(reason) > 1024 {
		return nil, fault.New(fault.InvalidParameter, "reason must be at most 1024 characters long.")
	}
	if reason == "" {
		reason = "Task stopped by user"
	}
	var out types.Task
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, name); err != nil {
			return err
		}
		task, err := a.task(&tx.Tables, *in.Task, name)
		if err != nil {
			return err
		}
		if task == nil {
			return fault.New(fault.InvalidParameter, "The referenced task was not found.")
		}
		task = lifecycle.Stop(tx, a.now(), task, ecs.StopUserInitiated, reason)
		out = a.wireTask(&tx.Tables, task, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.StopTaskOutput{Task: &out}, nil
}

// DescribeTasks describes up to 100 tasks of a cluster; stopped ones for as long as they are kept.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
func (a *API) DescribeTasks(_ context.Context, in *sdk.DescribeTasksInput) (*sdk.DescribeTasksOutput, error) {
	switch {
	case len(in.Tasks) == 0:
		return nil, fault.New(fault.InvalidParameter, "Tasks cannot be empty.")
	case len(in.Tasks) > maxDescribe:
		return nil, tooMany("Tasks")
	}
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &sdk.DescribeTasksOutput{Tasks: make([]types.Task, 0, len(in.Tasks)), Failures: []types.Failure{}}
	for _, ref := range in.Tasks {
		task, err := a.task(t, ref, name)
		if err != nil {
			return nil, err
		}
		if task == nil {
			out.Failures = append(out.Failures, types.Failure{Arn: a.missingARN(ref, kindTask, name), Reason: ptr(reasonMissing)})
			continue
		}
		out.Tasks = append(out.Tasks, a.wireTask(t, task, include[types.TaskFieldTags]))
	}
	return out, nil
}

// ListTasks lists the tasks of a cluster that every filter given lets through; startedBy goes with no other. Without
// desiredStatus it lists those that are to be RUNNING; none is ever to be PENDING.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
func (a *API) ListTasks(_ context.Context, in *sdk.ListTasksInput) (*sdk.ListTasksOutput, error) {
	if in.DesiredStatus != "" && !known(in.DesiredStatus) {
		return nil, fault.New(fault.InvalidParameter, "Invalid desiredStatus: %q.", string(in.DesiredStatus))
	}
	if in.LaunchType != "" && !known(in.LaunchType) {
		return nil, fault.New(fault.InvalidParameter, "Invalid launchType: %q.", string(in.LaunchType))
	}
	if str(in.StartedBy) != "" && (str(in.Family) != "" || str(in.ServiceName) != "" || str(in.DaemonName) != "" || str(in.ContainerInstance) != "" || in.LaunchType != "") {
		return nil, fault.New(fault.InvalidParameter, "startedBy must be the only filter.")
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	p, err := newPager(in.MaxResults, in.NextToken, "ListTasks", name, str(in.ContainerInstance), str(in.Family), str(in.StartedBy),
		str(in.ServiceName), string(in.DesiredStatus), string(in.LaunchType), str(in.DaemonName))
	if err != nil {
		return nil, err
	}
	f, err := a.taskFilter(t, in, name)
	if err != nil {
		return nil, err
	}
	first, err := ecs.ParseTaskID(p.after)
	if p.after != "" && err != nil {
		return nil, errToken
	}
	found, next := page(p, f.ids(t, first), ecs.TaskID.String, behindID[ecs.TaskID])
	arns := make([]string, len(found))
	for i, id := range found {
		arns[i] = a.Place.TaskARN(name, id)
	}
	return &sdk.ListTasksOutput{TaskArns: arns, NextToken: next}, nil
}

// taskFilter is a ListTasks request, checked. An empty field lets all through.
type taskFilter struct {
	cluster    string
	instance   ecs.InstanceID
	family     string
	startedBy  string
	group      string
	desired    ecs.TaskStatus
	launchType string
}

func (a *API) taskFilter(t *state.Tables, in *sdk.ListTasksInput, cluster string) (*taskFilter, error) {
	f := &taskFilter{cluster: cluster, family: str(in.Family), startedBy: str(in.StartedBy), launchType: string(in.LaunchType)}
	f.desired, _ = ecs.ParseTaskStatus(string(in.DesiredStatus))
	if in.DesiredStatus == "" {
		f.desired = ecs.TaskRunning
	}
	if s := str(in.ServiceName); s != "" {
		if isARN(s) {
			arn, err := a.arn(s, "service")
			if err != nil {
				return nil, err
			}
			s = arn.Resource
		}
		if t.Services.Get(cluster+"/"+s) == nil {
			return nil, fault.New(fault.ServiceNotFound, "Service not found.")
		}
		f.group = ecs.ServiceGroup(s)
	}
	if d := str(in.DaemonName); d != "" {
		if f.group != "" {
			return nil, fault.New(fault.InvalidParameter, "serviceName and daemonName cannot be specified together.")
		}
		if t.Daemons.Get(cluster+"/"+d) == nil {
			return nil, errNoDaemon
		}
		f.group = ecs.DaemonGroup(d)
	}
	if ref := str(in.ContainerInstance); ref != "" {
		i, err := a.instance(t, ref, cluster)
		if err != nil {
			return nil, err
		}
		if i == nil {
			return nil, fault.New(fault.InvalidParameter, "The referenced container instance was not found.")
		}
		f.instance = i.ID
	}
	return f, nil
}

func (f *taskFilter) lets(t *ecs.Task) bool {
	return t.Cluster == f.cluster && t.DesiredStatus == f.desired &&
		(f.instance.IsZero() || t.Instance == f.instance) &&
		(f.family == "" || t.Definition.Family == f.family) &&
		(f.startedBy == "" || t.StartedBy == f.startedBy) &&
		(f.group == "" || t.Group == f.group) &&
		(f.launchType == "" || t.LaunchType == f.launchType)
}

// ids goes over the narrowest index there is for the filter, from an id on where the index has that; each is ordered by id.
func (f *taskFilter) ids(t *state.Tables, first ecs.TaskID) iter.Seq[ecs.TaskID] {
	tasks := t.Tasks.InClusterFrom(f.cluster, first)
	switch {
	case !f.instance.IsZero():
		tasks = t.Tasks.OnInstance(f.instance)
	case f.group != "":
		tasks = t.Tasks.OfGroup(f.cluster, f.group)
	case f.startedBy != "":
		tasks = t.Tasks.StartedBy(f.cluster, f.startedBy)
	case f.family != "":
		tasks = t.Tasks.OfFamily(f.cluster, f.family)
	}
	return func(yield func(ecs.TaskID) bool) {
		for task := range tasks {
			if f.lets(task) && !yield(task.ID) {
				return
			}
		}
	}
}
