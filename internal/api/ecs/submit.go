package ecsapi

import (
	"context"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// acknowledged is what agents are told of a report that is durable. They do not look at it.
var acknowledged = "ACK"

// DiscoverPollEndpoint tells an agent where to open its sessions.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DiscoverPollEndpoint.html
func (a *API) DiscoverPollEndpoint(ctx context.Context, in *sdk.DiscoverPollEndpointInput) (*sdk.DiscoverPollEndpointOutput, error) {
	if a.Endpoint == nil {
		return nil, fault.New(fault.Unsupported, "This server has no endpoint for agents.")
	}
	acs, telemetry := a.Endpoint(ctx)
	return &sdk.DiscoverPollEndpointOutput{Endpoint: &acs, TelemetryEndpoint: &telemetry}, nil
}

// SubmitTaskStateChange takes an agent's report. A task that is not known is an InvalidParameterException, upon which the
// agent forgets it; any other error makes agents try for ever.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SubmitTaskStateChange.html
func (a *API) SubmitTaskStateChange(ctx context.Context, in *sdk.SubmitTaskStateChangeInput) (*sdk.SubmitTaskStateChangeOutput, error) {
	if err := a.allowed(ctx, callReport); err != nil {
		return nil, err
	}
	report := acs.TaskState{Reason: limited(str(in.Reason), maxReason)}
	if in.PullStartedAt != nil {
		report.PullStartedAt = ecs.MillisOf(*in.PullStartedAt)
	}
	if in.PullStoppedAt != nil {
		report.PullStoppedAt = ecs.MillisOf(*in.PullStoppedAt)
	}
	if in.ExecutionStoppedAt != nil {
		report.ExecutionStoppedAt = ecs.MillisOf(*in.ExecutionStoppedAt)
	}
	var err error
	if report.Status, err = reportedStatus(in.Status); err != nil {
		return nil, err
	}
	for i := range in.Containers {
		c, err := reportedContainer(&in.Containers[i])
		if err != nil {
			return nil, err
		}
		report.Containers = append(report.Containers, c)
	}
	if err := a.reportedManagedAgents(in.ManagedAgents, &report); err != nil {
		return nil, err
	}
	for i := range in.Attachments {
		r, err := a.reportedAttachment(&in.Attachments[i])
		if err != nil {
			return nil, err
		}
		report.ID, report.Attachment = r.ID, r.Attachment
	}
	if err := a.submit(ctx, in.Cluster, in.Task, report); err != nil {
		return nil, err
	}
	return &sdk.SubmitTaskStateChangeOutput{Acknowledgment: &acknowledged}, nil
}

// SubmitContainerStateChange takes a report on one container alone.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SubmitContainerStateChange.html
func (a *API) SubmitContainerStateChange(ctx context.Context, in *sdk.SubmitContainerStateChangeInput) (*sdk.SubmitContainerStateChangeOutput, error) {
	if err := a.allowed(ctx, callReport); err != nil {
		return nil, err
	}
	c, err := reportedContainer(&types.ContainerStateChange{ContainerName: in.ContainerName, ExitCode: in.ExitCode,
		NetworkBindings: in.NetworkBindings, Reason: in.Reason, RuntimeId: in.RuntimeId, Status: in.Status})
	if err != nil {
		return nil, err
	}
	if err := a.submit(ctx, in.Cluster, in.Task, acs.TaskState{Containers: []ecs.Container{c}}); err != nil {
		return nil, err
	}
	return &sdk.SubmitContainerStateChangeOutput{Acknowledgment: &acknowledged}, nil
}

// submit applies a report to the task that it names; the report's own id is that of an attachment's task, if it has one.
func (a *API) submit(ctx context.Context, clusterRef, taskRef *string, report acs.TaskState) error {
	name, err := a.clusterRef(clusterRef)
	if err != nil {
		return err
	}
	if str(taskRef) == "" {
		return fault.New(fault.InvalidParameter, "Task can not be null or empty.")
	}
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		task, err := a.task(&tx.Tables, *taskRef, name)
		if err != nil {
			return err
		}
		if task == nil {
			return fault.New(fault.InvalidParameter, "The referenced task was not found.")
		}
		if err := a.speaksFor(ctx, tx.Instances.Get(task.Instance)); err != nil {
			return err
		}
		if !report.ID.IsZero() && (report.ID != task.ID || task.Interface == nil) {
			return errNoAttachment
		}
		report.ID = task.ID
		return lifecycle.Report(tx, a.now(), report)
	})
}

// Limits that agents keep to; what is longer is cut.
const (
	maxReason    = 1024
	maxRuntimeID = 255
	// maxBindings is more than the ports that a container can have.
	maxBindings = 500
)

// limited cuts at n bytes, between characters.
func limited(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

func reportedStatus(s *string) (ecs.TaskStatus, error) {
	if str(s) == "" {
		return ecs.TaskStatusNone, nil
	}
	status, ok := ecs.ParseTaskStatus(*s)
	if !ok || status > ecs.TaskStopped {
		return 0, fault.New(fault.InvalidParameter, "Invalid status: %q.", *s)
	}
	return status, nil
}

func reportedContainer(in *types.ContainerStateChange) (ecs.Container, error) {
	status, err := reportedStatus(in.Status)
	if err != nil {
		return ecs.Container{}, err
	}
	if len(in.NetworkBindings) > maxBindings {
		return ecs.Container{}, fault.New(fault.InvalidParameter, "networkBindings can have at most %d items.", maxBindings)
	}
	return ecs.Container{
		Name:            str(in.ContainerName),
		RuntimeID:       limited(str(in.RuntimeId), maxRuntimeID),
		LastStatus:      status,
		ExitCode:        in.ExitCode,
		Reason:          limited(str(in.Reason), maxReason),
		ImageDigest:     limited(str(in.ImageDigest), maxRuntimeID),
		NetworkBindings: mirror.Slice[ecs.NetworkBinding](in.NetworkBindings),
	}, nil
}
