package events

import (
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// impairedDetail is the detail of a daemon's task that could not be started.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-daemons-events.html
type impairedDetail struct {
	EventType         string  `json:"eventType"`
	EventName         string  `json:"eventName"`
	ClusterARN        string  `json:"clusterArn"`
	InstanceARN       string  `json:"containerInstanceArn"`
	TaskARN           string  `json:"taskArn,omitempty"`
	DaemonRevisionARN string  `json:"daemonRevisionArn"`
	CapacityProvider  string  `json:"capacityProviderName"`
	DaemonARN         string  `json:"daemonArn"`
	DefinitionARN     string  `json:"daemonTaskDefinitionArn"`
	FailureType       string  `json:"failureType"`
	CreatedAt         *string `json:"createdAt"`
	Reason            string  `json:"reason"`
}

// rolloutDetail is the detail of a change of a daemon's deployment.
type rolloutDetail struct {
	EventType            string  `json:"eventType"`
	EventName            string  `json:"eventName"`
	ClusterARN           string  `json:"clusterArn"`
	DaemonARN            string  `json:"daemonArn"`
	DaemonDeploymentARN  string  `json:"daemonDeploymentArn"`
	TargetDaemonRevision string  `json:"targetDaemonRevisionArn,omitempty"`
	UpdatedAt            *string `json:"updatedAt"`
}

// impaired adds the events of daemons' tasks that did not come to run, and of instances that have no room for one.
func (o *Outbox) impaired(out []state.EventChange, tx *state.Tx, c *state.Commit) []state.EventChange {
	for _, ch := range c.Tasks {
		task := ch.New
		if task == nil || task.LastStatus < ecs.TaskStopped || ch.Old == nil || ch.Old.LastStatus >= ecs.TaskStopped || task.StopCode != ecs.StopTaskFailedToStart {
			continue
		}
		name, ok := ecs.DaemonOfGroup(task.Group)
		if !ok {
			continue
		}
		arn := o.place.TaskARN(task.Cluster, task.ID)
		e := New(o.place, stableID(arn, "impaired"), SourceECS, TypeDaemon, task.StoppedAt, arn)
		d := o.impairedOf(tx, task.Cluster, name, ecs.RevisionOfStarter(task.StartedBy), task.Instance)
		d.TaskARN, d.FailureType, d.CreatedAt = arn, "TASK_FAILED_TO_RUN", instant(task.StoppedAt)
		d.Reason = "Task failed to reach RUNNING status: " + task.StoppedReason
		e.Detail = d
		out = appendEvent(out, e)
	}
	for _, ch := range c.Daemons {
		d := ch.New
		if d == nil || d.Unplaced == nil || ch.Old != nil && ch.Old.Unplaced == d.Unplaced {
			continue
		}
		u := d.Unplaced
		e := New(o.place, stableID(o.place.DaemonARN(d.Cluster, d.Name), u.Instance, u.At), SourceECS, TypeDaemon, u.At)
		detail := o.impairedOf(tx, d.Cluster, d.Name, d.Revisions[0], u.Instance)
		detail.FailureType, detail.CreatedAt = "TASK_CREATION_FAILED", instant(u.At)
		detail.Reason = u.Reason + " - Unable to place daemon task on container instance"
		e.Detail = detail
		out = appendEvent(out, e)
	}
	return out
}

func (o *Outbox) impairedOf(tx *state.Tx, cluster, daemon, revision string, instance ecs.InstanceID) impairedDetail {
	d := impairedDetail{
		EventType: "WARNING", EventName: "DAEMON_TASK_START_IMPAIRED", ClusterARN: o.place.ClusterARN(cluster), InstanceARN: o.place.InstanceARN(cluster, instance),
		DaemonRevisionARN: o.place.DaemonRevisionARN(cluster, daemon, revision), DaemonARN: o.place.DaemonARN(cluster, daemon),
	}
	if r := tx.DaemonRevisions.Get(cluster + "/" + daemon + "/" + revision); r != nil {
		d.DefinitionARN = o.place.DefinitionARN(r.Definition)
	}
	if i := tx.Instances.Get(instance); i != nil {
		d.CapacityProvider = i.CapacityProvider
	}
	return d
}

// rollouts adds the events of daemons' deployments that came to another status.
func (o *Outbox) rollouts(out []state.EventChange, changed []state.Change[ecs.DaemonDeployment]) []state.EventChange {
	for _, ch := range changed {
		d := ch.New
		if d == nil || ch.Old != nil && ch.Old.Status == d.Status {
			continue
		}
		daemon, arn := o.place.DaemonARN(d.Cluster, d.Daemon), o.place.DaemonDeploymentARN(d.Cluster, d.Daemon, d.ID)
		e := New(o.place, stableID(arn, d.Status), SourceECS, TypeRollout, d.UpdatedAt, daemon)
		detail := rolloutDetail{
			EventType: "INFO", EventName: "DAEMON_DEPLOYMENT_" + string(d.Status), ClusterARN: o.place.ClusterARN(d.Cluster), DaemonARN: daemon,
			DaemonDeploymentARN: arn, UpdatedAt: instant(d.UpdatedAt),
		}
		if d.Status == ecs.ServiceDeploymentRollbackFailed {
			detail.EventType = "ERROR"
		}
		if d.Target != "" {
			detail.TargetDaemonRevision = o.place.DaemonRevisionARN(d.Cluster, d.Daemon, d.Target)
		}
		e.Detail = detail
		out = appendEvent(out, e)
	}
	return out
}
