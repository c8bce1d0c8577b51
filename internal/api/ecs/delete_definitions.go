package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// maxDelete is how many revisions one call deletes.
const maxDelete = 10

// DeleteTaskDefinitions makes INACTIVE revisions DELETE_IN_PROGRESS: no new task or service can use them, and they are gone
// once none does. What cannot be deleted is in failures.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskDefinitions.html
func (a *API) DeleteTaskDefinitions(ctx context.Context, in *sdk.DeleteTaskDefinitionsInput) (*sdk.DeleteTaskDefinitionsOutput, error) {
	switch n := len(in.TaskDefinitions); {
	case n == 0:
		return nil, fault.New(fault.InvalidParameter, "Task definitions cannot be empty.")
	case n > maxDelete:
		return nil, fault.New(fault.InvalidParameter, "Task definitions cannot contain more than %d entries.", maxDelete)
	}
	ids := make([]ecs.DefinitionID, len(in.TaskDefinitions))
	for i := range in.TaskDefinitions {
		id, err := a.definitionRef(&in.TaskDefinitions[i])
		if err != nil {
			return nil, err
		}
		if id.Revision == 0 {
			return nil, fault.New(fault.InvalidParameter, "Revision is missing: %s", in.TaskDefinitions[i])
		}
		ids[i] = id
	}
	var deleted []*ecs.TaskDefinition
	out := &sdk.DeleteTaskDefinitionsOutput{TaskDefinitions: []types.TaskDefinition{}, Failures: []types.Failure{}}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		for _, id := range ids {
			d, reason := deleteDefinition(tx, a.now(), id)
			if reason != "" {
				arn := a.Place.DefinitionARN(id)
				out.Failures = append(out.Failures, types.Failure{Arn: &arn, Reason: &reason})
				continue
			}
			deleted = append(deleted, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range deleted {
		out.TaskDefinitions = append(out.TaskDefinitions, *a.wireDefinition(d))
	}
	return out, nil
}

// deleteDefinition gives the revision as it is then, or why it cannot be deleted.
func deleteDefinition(tx *state.Tx, now ecs.Millis, id ecs.DefinitionID) (*ecs.TaskDefinition, string) {
	old := tx.Definitions.Get(id)
	switch {
	case old == nil:
		return nil, "The specified task definition does not exist. Specify a valid account, family, revision and try again."
	case old.Status == ecs.DefinitionActive:
		return nil, "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
	case old.Status == ecs.DefinitionDeleteInProgress:
		return old, ""
	}
	d := *old
	at := now.Time()
	d.Status, d.DeleteRequestedAt = ecs.DefinitionDeleteInProgress, &at
	tx.Definitions.Put(&d)
	return &d, ""
}
