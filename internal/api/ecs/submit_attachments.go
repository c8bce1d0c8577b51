package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

const kindAttachment = "attachment"

// SubmitAttachmentStateChanges takes reports on network interfaces. One of a task that is not known is an
// InvalidParameterException, upon which agents forget it.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SubmitAttachmentStateChanges.html
func (a *API) SubmitAttachmentStateChanges(ctx context.Context, in *sdk.SubmitAttachmentStateChangesInput) (*sdk.SubmitAttachmentStateChangesOutput, error) {
	if err := a.allowed(ctx, callReport); err != nil {
		return nil, err
	}
	if len(in.Attachments) == 0 {
		return nil, fault.New(fault.InvalidParameter, "Attachments cannot be empty.")
	}
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	reports := make([]acs.TaskState, len(in.Attachments))
	for i := range in.Attachments {
		if reports[i], err = a.reportedAttachment(&in.Attachments[i]); err != nil {
			return nil, err
		}
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		for _, r := range reports {
			task := tx.Tasks.Get(r.ID)
			if task == nil || task.Cluster != name || task.Interface == nil {
				return errNoAttachment
			}
			if err := a.speaksFor(ctx, tx.Instances.Get(task.Instance)); err != nil {
				return err
			}
			if err := lifecycle.Report(tx, a.now(), r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.SubmitAttachmentStateChangesOutput{Acknowledgment: &acknowledged}, nil
}

var errNoAttachment = fault.New(fault.InvalidParameter, "The referenced attachment was not found.")

// reportedAttachment reads a report on an attachment; its task is the report's.
func (a *API) reportedAttachment(in *types.AttachmentStateChange) (acs.TaskState, error) {
	arn, err := a.arn(str(in.AttachmentArn), kindAttachment)
	if err != nil {
		return acs.TaskState{}, err
	}
	status, ok := ecs.ParseAttachmentStatus(str(in.Status))
	if !ok {
		return acs.TaskState{}, fault.New(fault.InvalidParameter, "Invalid status: %q.", str(in.Status))
	}
	task, ok := lifecycle.TaskOfAttachment(arn.Resource)
	if !ok {
		return acs.TaskState{}, errNoAttachment
	}
	return acs.TaskState{ID: task, Attachment: status}, nil
}

// reportedManagedAgents adds what is said of managed agents to the containers that it is said of.
func (a *API) reportedManagedAgents(in []types.ManagedAgentStateChange, report *acs.TaskState) error {
	for i := range in {
		m := &in[i]
		if m.ManagedAgentName != "" && !known(m.ManagedAgentName) {
			return fault.New(fault.InvalidParameter, "Invalid managedAgentName: %q.", string(m.ManagedAgentName))
		}
		status, err := reportedStatus(m.Status)
		if err != nil {
			return err
		}
		agent := ecs.ManagedAgent{Name: string(m.ManagedAgentName), LastStatus: status, Reason: limited(str(m.Reason), maxReason)}
		if status == ecs.TaskRunning {
			agent.LastStartedAt = a.now()
		}
		report.Containers = append(report.Containers, ecs.Container{Name: str(m.ContainerName), ManagedAgents: []ecs.ManagedAgent{agent}})
	}
	return nil
}
