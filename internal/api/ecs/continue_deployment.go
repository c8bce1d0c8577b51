package ecsapi

import (
	"context"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// ContinueServiceDeployment resolves a PAUSE hook that a deployment waits at.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/continue-service-deployment.html
func (a *API) ContinueServiceDeployment(ctx context.Context, in *sdk.ContinueServiceDeploymentInput) (*sdk.ContinueServiceDeploymentOutput, error) {
	switch {
	case str(in.ServiceDeploymentArn) == "":
		return nil, fault.New(fault.InvalidParameter, "serviceDeploymentArn cannot be empty.")
	case str(in.HookId) == "":
		return nil, fault.New(fault.InvalidParameter, "hookId cannot be empty.")
	case in.Action != "" && !known(in.Action):
		return nil, fault.New(fault.InvalidParameter, "Invalid action: %q.", string(in.Action))
	}
	arn, err := a.historyARN(*in.ServiceDeploymentArn, kindServiceDeployment)
	if err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old, _ := serviceDeployment(&tx.Tables, arn)
		if old == nil {
			return errNoServiceDeployment
		}
		d := *old
		d.Hooks = slices.Clone(old.Hooks)
		at := slices.IndexFunc(d.Hooks, func(h ecs.HookRun) bool { return h.ID == *in.HookId })
		switch {
		case at < 0:
			return fault.New(fault.InvalidParameter, "The service deployment has no lifecycle hook with the hookId %s.", *in.HookId)
		case d.Status != ecs.ServiceDeploymentInProgress || d.Hooks[at].Status != ecs.HookAwaitingAction:
			return fault.New(fault.Conflict, "The lifecycle hook is not awaiting an action.")
		}
		d.UpdatedAt = a.now()
		if in.Action == types.DeploymentLifecycleHookActionRollback {
			d.Hooks[at].Status, d.Hooks[at].Reason = ecs.HookFailed, "Rollback requested by user."
		} else {
			d.Hooks[at].Status = ecs.HookSucceeded
		}
		tx.ServiceDeployments.Put(&d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.ContinueServiceDeploymentOutput{ServiceDeploymentArn: in.ServiceDeploymentArn}, nil
}

// wireHookRuns describes the hooks that a deployment came to.
func wireHookRuns(d *ecs.ServiceDeployment) []types.DeploymentLifecycleHookDetail {
	var out []types.DeploymentLifecycleHookDetail
	for i := range d.Hooks {
		run := &d.Hooks[i]
		w := types.DeploymentLifecycleHookDetail{HookId: &run.ID, Status: types.DeploymentLifecycleHookStatus(run.Status), ExpiresAt: moment(run.ExpiresAt)}
		if run.Hook < len(d.Configuration.Hooks) {
			h := &d.Configuration.Hooks[run.Hook]
			w.TargetType, w.TargetArn = types.DeploymentLifecycleHookTargetType(h.TargetType), ptr(h.TargetARN)
			w.TimeoutAction = types.DeploymentLifecycleHookAction(h.TimeoutAction)
		}
		out = append(out, w)
	}
	return out
}
