package ecsapi

import (
	"context"
	"iter"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// namespaceHost is the mode of a task definition that a daemon's mode "shared" is; "none" is that of one that says nothing.
const namespaceHost = "host"

// RegisterDaemonTaskDefinition makes the next revision of a family of daemon task definitions. It is a task definition with fewer fields,
// in the network mode host.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-daemons-task-definitions.html
func (a *API) RegisterDaemonTaskDefinition(ctx context.Context, in *sdk.RegisterDaemonTaskDefinitionInput) (*sdk.RegisterDaemonTaskDefinitionOutput, error) {
	if err := refuseInDaemonDefinition(in); err != nil {
		return nil, err
	}
	given, err := definitionTags(in.Tags)
	if err != nil {
		return nil, err
	}
	d := mirror.Of[ecs.TaskDefinition](in)
	d.Tags, d.Daemon, d.NetworkMode = nil, true, ecs.NetworkHost
	d.PidMode, d.IpcMode = "", ""
	if in.PidMode == types.DaemonPidModeShared {
		d.PidMode = namespaceHost
	}
	if in.IpcMode == types.DaemonIpcModeShared {
		d.IpcMode = namespaceHost
	}
	if err := taskdef.Prepare(&d); err != nil {
		return nil, err
	}
	if err := a.putDefinition(ctx, &d, given); err != nil {
		return nil, err
	}
	arn := a.Place.DefinitionARN(d.ID())
	return &sdk.RegisterDaemonTaskDefinitionOutput{DaemonTaskDefinitionArn: &arn}, nil
}

// refuseInDaemonDefinition refuses what a daemon has and a task definition has not.
func refuseInDaemonDefinition(in *sdk.RegisterDaemonTaskDefinitionInput) error {
	if in.PidMode != "" && !known(in.PidMode) {
		return fault.New(fault.Client, "Invalid 'pidMode' setting for daemon: %s.", string(in.PidMode))
	}
	if in.IpcMode != "" && !known(in.IpcMode) {
		return fault.New(fault.Client, "Invalid 'ipcMode' setting for daemon: %s.", string(in.IpcMode))
	}
	for i := range in.Volumes {
		if in.Volumes[i].LogDriverVolumeConfiguration != nil {
			return fault.New(fault.Unsupported, notYet, "logDriverVolumeConfiguration")
		}
	}
	return nil
}

var errNoDaemonDefinition = fault.New(fault.Client, "The specified daemon task definition does not exist. Specify a valid account, family, revision and try again.")

// DescribeDaemonTaskDefinition describes one revision, or the latest ACTIVE one of a family. One that was deleted and that no daemon uses
// any more is DELETED for an hour.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemonTaskDefinition.html
func (a *API) DescribeDaemonTaskDefinition(_ context.Context, in *sdk.DescribeDaemonTaskDefinitionInput) (*sdk.DescribeDaemonTaskDefinitionOutput, error) {
	id, err := a.definitionRefOf(kindDaemonDefinition, in.DaemonTaskDefinition)
	if err != nil {
		return nil, err
	}
	d := definition(&a.Store.View().Tables, id)
	if d == nil {
		return nil, errNoDaemonDefinition
	}
	return &sdk.DescribeDaemonTaskDefinitionOutput{DaemonTaskDefinition: a.wireDaemonDefinition(d)}, nil
}

func (a *API) wireDaemonDefinition(d *ecs.TaskDefinition) *types.DaemonTaskDefinition {
	modes := *d
	modes.PidMode, modes.IpcMode = daemonMode(d.PidMode), daemonMode(d.IpcMode)
	out := mirror.Of[types.DaemonTaskDefinition](&modes)
	arn := a.Place.DefinitionARN(d.ID())
	out.DaemonTaskDefinitionArn = &arn
	out.RegisteredAt, out.DeleteRequestedAt = clone(d.RegisteredAt), clone(d.DeleteRequestedAt)
	list(&out.Volumes)
	for i := range out.ContainerDefinitions {
		c := &out.ContainerDefinitions[i]
		list(&c.Environment)
		list(&c.MountPoints)
		list(&c.SystemControls)
	}
	return &out
}

// daemonMode is a namespace's mode in the words of daemons.
func daemonMode(mode string) string {
	if mode == namespaceHost {
		return string(types.DaemonPidModeShared)
	}
	return string(types.DaemonPidModeNone)
}

// DeleteDaemonTaskDefinition makes an ACTIVE revision DELETE_IN_PROGRESS: no daemon can be given it any more, those that have it keep it, and
// once none has it is DELETED.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteDaemonTaskDefinition.html
func (a *API) DeleteDaemonTaskDefinition(ctx context.Context, in *sdk.DeleteDaemonTaskDefinitionInput) (*sdk.DeleteDaemonTaskDefinitionOutput, error) {
	id, err := a.definitionRefOf(kindDaemonDefinition, in.DaemonTaskDefinition)
	if err != nil {
		return nil, err
	}
	if id.Revision == 0 {
		return nil, fault.New(fault.Client, "Revision is missing.")
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.Definitions.Get(id)
		switch {
		case old == nil:
			return errNoDaemonDefinition
		case old.Status != ecs.DefinitionActive:
			return fault.New(fault.Client, "The specified daemon task definition is in %s status. Only one in ACTIVE status can be deleted.", string(old.Status))
		}
		d := *old
		now := a.now().Time()
		d.Status, d.DeleteRequestedAt = ecs.DefinitionDeleteInProgress, &now
		tx.Definitions.Put(&d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	arn := a.Place.DefinitionARN(id)
	return &sdk.DeleteDaemonTaskDefinitionOutput{DaemonTaskDefinitionArn: &arn}, nil
}

// ListDaemonTaskDefinitions lists revisions by family and number.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemonTaskDefinitions.html
func (a *API) ListDaemonTaskDefinitions(_ context.Context, in *sdk.ListDaemonTaskDefinitionsInput) (*sdk.ListDaemonTaskDefinitionsOutput, error) {
	switch {
	case in.Status != "" && !known(in.Status):
		return nil, fault.New(fault.InvalidParameter, "Invalid status: %q.", string(in.Status))
	case in.Sort != "" && !known(in.Sort):
		return nil, fault.New(fault.InvalidParameter, "Invalid sort: %q.", string(in.Sort))
	case in.Revision != "" && !known(in.Revision):
		return nil, fault.New(fault.InvalidParameter, "Invalid revision: %q.", string(in.Revision))
	}
	p, err := newPager(in.MaxResults, in.NextToken, "ListDaemonTaskDefinitions", str(in.Family), str(in.FamilyPrefix), string(in.Status), string(in.Sort), string(in.Revision))
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	found, next := pageOfDefinitions(p, daemonDefinitionIDs(t, in), in.Sort == types.SortOrderDesc)
	out := &sdk.ListDaemonTaskDefinitionsOutput{DaemonTaskDefinitions: []types.DaemonTaskDefinitionSummary{}, NextToken: next}
	for _, id := range found {
		d, arn := t.Definitions.Get(id), a.Place.DefinitionARN(id)
		out.DaemonTaskDefinitions = append(out.DaemonTaskDefinitions, types.DaemonTaskDefinitionSummary{
			Arn: &arn, Status: types.DaemonTaskDefinitionStatus(d.Status), RegisteredAt: clone(d.RegisteredAt), RegisteredBy: ptr(d.RegisteredBy),
			DeleteRequestedAt: clone(d.DeleteRequestedAt),
		})
	}
	return out, nil
}

func daemonDefinitionIDs(t *state.Tables, in *sdk.ListDaemonTaskDefinitionsInput) iter.Seq[ecs.DefinitionID] {
	all := t.Definitions.AllDaemon()
	if family := str(in.Family); family != "" {
		all = t.Definitions.OfFamily(ecs.DefinitionID{Family: family, Daemon: true})
	}
	status := ecs.DefinitionStatus(in.Status)
	if status == "" {
		status = ecs.DefinitionActive
	}
	return func(yield func(ecs.DefinitionID) bool) {
		for d := range all {
			switch {
			case !strings.HasPrefix(d.Family, str(in.FamilyPrefix)):
			case status != ecs.DefinitionStatus(types.DaemonTaskDefinitionStatusFilterAll) && d.Status != status:
			case in.Revision != "" && d.Revision != t.Families.Get(d.Family).LastDaemonRevision:
			case !yield(d.ID()):
				return
			}
		}
	}
}
