package ecsapi

import (
	"context"
	"iter"
	"regexp"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

var familyName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)

// RegisterTaskDefinition makes the next revision of a family. Numbers are never given twice.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
func (a *API) RegisterTaskDefinition(ctx context.Context, in *sdk.RegisterTaskDefinitionInput) (*sdk.RegisterTaskDefinitionOutput, error) {
	if err := refuseInDefinition(in); err != nil {
		return nil, err
	}
	given, err := definitionTags(in.Tags)
	if err != nil {
		return nil, err
	}
	d := mirror.Of[ecs.TaskDefinition](in)
	d.Tags = nil
	if err := taskdef.Prepare(&d); err != nil {
		return nil, err
	}
	if err := a.putDefinition(ctx, &d, given); err != nil {
		return nil, err
	}
	out := &sdk.RegisterTaskDefinitionOutput{TaskDefinition: a.wireDefinition(&d)}
	if len(given) > 0 {
		out.Tags = wireTags(given)
	}
	return out, nil
}

// putDefinition makes a prepared definition the next revision of its family.
func (a *API) putDefinition(ctx context.Context, d *ecs.TaskDefinition, given []ecs.Tag) error {
	now := a.now().Time()
	d.Tags, d.Status, d.RegisteredAt = given, ecs.DefinitionActive, &now
	if a.Caller != nil {
		d.RegisteredBy = a.Caller(ctx)
	}
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		family := ecs.Family{Name: d.Family}
		if old := tx.Families.Get(d.Family); old != nil {
			family = *old
		}
		last := &family.LastRevision
		if d.Daemon {
			last = &family.LastDaemonRevision
		}
		*last++
		d.Revision = *last
		tx.Families.Put(&family)
		tx.Definitions.Put(d)
		return nil
	})
}

// refuseInDefinition refuses what the domain has no field for.
func refuseInDefinition(in *sdk.RegisterTaskDefinitionInput) error {
	for i := range in.ContainerDefinitions {
		for _, r := range in.ContainerDefinitions[i].ResourceRequirements {
			if r.SharingStrategy != nil {
				return fault.New(fault.Unsupported, notYet, "resourceRequirements.sharingStrategy")
			}
		}
	}
	return nil
}

// definitionTags differs from tags in refusing an empty list, as ECS does here alone.
func definitionTags(in []types.Tag) ([]ecs.Tag, error) {
	if in != nil && len(in) == 0 {
		return nil, fault.New(fault.Client, "Tags can not be empty.")
	}
	return tags(in)
}

// DescribeTaskDefinition describes one revision, or the latest ACTIVE one of a family.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
func (a *API) DescribeTaskDefinition(_ context.Context, in *sdk.DescribeTaskDefinitionInput) (*sdk.DescribeTaskDefinitionOutput, error) {
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	id, err := a.definitionRef(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	d := definition(&a.Store.View().Tables, id)
	if d == nil {
		return nil, fault.New(fault.Client, "Unable to describe task definition.")
	}
	out := &sdk.DescribeTaskDefinitionOutput{TaskDefinition: a.wireDefinition(d)}
	if include[types.TaskDefinitionFieldTags] {
		out.Tags = wireTags(d.Tags)
	}
	return out, nil
}

// DeregisterTaskDefinition makes a revision INACTIVE. Tasks that run stay; INACTIVE revisions stay so.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html
func (a *API) DeregisterTaskDefinition(ctx context.Context, in *sdk.DeregisterTaskDefinitionInput) (*sdk.DeregisterTaskDefinitionOutput, error) {
	id, err := a.definitionRef(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	if id.Revision == 0 {
		return nil, fault.New(fault.Client, "Revision is missing.")
	}
	var d ecs.TaskDefinition
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.Definitions.Get(id)
		if old == nil {
			return fault.New(fault.Client, "The specified task definition does not exist.")
		}
		d = *old
		if d.Status != ecs.DefinitionActive {
			return nil
		}
		now := a.now().Time()
		d.Status, d.DeregisteredAt = ecs.DefinitionInactive, &now
		stored := d
		tx.Definitions.Put(&stored)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeregisterTaskDefinitionOutput{TaskDefinition: a.wireDefinition(&d)}, nil
}

// ListTaskDefinitions lists revisions by family and number. familyPrefix, in spite of its name, is a whole family.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html
func (a *API) ListTaskDefinitions(_ context.Context, in *sdk.ListTaskDefinitionsInput) (*sdk.ListTaskDefinitionsOutput, error) {
	status := ecs.DefinitionActive
	if in.Status != "" {
		if !known(in.Status) {
			return nil, fault.New(fault.InvalidParameter, "Invalid status: %q.", string(in.Status))
		}
		status = ecs.DefinitionStatus(in.Status)
	}
	if in.Sort != "" && !known(in.Sort) {
		return nil, fault.New(fault.InvalidParameter, "Invalid sort: %q.", string(in.Sort))
	}
	descending := in.Sort == types.SortOrderDesc
	family := str(in.FamilyPrefix)
	p, err := newPager(in.MaxResults, in.NextToken, "ListTaskDefinitions", family, string(status), string(in.Sort))
	if err != nil {
		return nil, err
	}
	found, next := pageOfDefinitions(p, definitionIDs(&a.Store.View().Tables, family, status), descending)
	arns := make([]string, len(found))
	for i, id := range found {
		arns[i] = a.Place.DefinitionARN(id)
	}
	return &sdk.ListTaskDefinitionsOutput{TaskDefinitionArns: arns, NextToken: next}, nil
}

// pageOfDefinitions takes a page of revisions that come ascending.
func pageOfDefinitions(p *pager, ids iter.Seq[ecs.DefinitionID], descending bool) ([]ecs.DefinitionID, *string) {
	if descending {
		ids = reversed(ids)
	}
	return page(p, ids, ecs.DefinitionID.String, func(id ecs.DefinitionID, after string) bool {
		last, err := ecs.ParseDefinitionID(after)
		if err != nil {
			return true // Only a forged token has such a name; the list starts anew.
		}
		return compareDefinitions(id, last) != 0 && (compareDefinitions(id, last) < 0) == descending
	})
}

func compareDefinitions(a, b ecs.DefinitionID) int {
	if c := strings.Compare(a.Family, b.Family); c != 0 {
		return c
	}
	return int(a.Revision - b.Revision)
}

func definitionIDs(t *state.Tables, family string, status ecs.DefinitionStatus) iter.Seq[ecs.DefinitionID] {
	all := t.Definitions.All()
	if family != "" {
		all = t.Definitions.OfFamily(ecs.DefinitionID{Family: family})
	}
	return func(yield func(ecs.DefinitionID) bool) {
		for d := range all {
			if d.Status == status && !yield(d.ID()) {
				return
			}
		}
	}
}

func reversed[T any](seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		var all []T
		for v := range seq {
			all = append(all, v)
		}
		for i := len(all) - 1; i >= 0; i-- {
			if !yield(all[i]) {
				return
			}
		}
	}
}

// ListTaskDefinitionFamilies lists the families that have an ACTIVE revision, or none, or all.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitionFamilies.html
func (a *API) ListTaskDefinitionFamilies(_ context.Context, in *sdk.ListTaskDefinitionFamiliesInput) (*sdk.ListTaskDefinitionFamiliesOutput, error) {
	if in.Status != "" && !known(in.Status) {
		return nil, fault.New(fault.InvalidParameter, "Invalid status: %q.", string(in.Status))
	}
	prefix := str(in.FamilyPrefix)
	p, err := newPager(in.MaxResults, in.NextToken, "ListTaskDefinitionFamilies", prefix, string(in.Status))
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	names := func(yield func(string) bool) {
		for f := range t.Families.All() {
			if f.LastRevision == 0 || !strings.HasPrefix(f.Name, prefix) || !familyHas(t, f.Name, in.Status) {
				continue
			}
			if !yield(f.Name) {
				return
			}
		}
	}
	families, next := page(p, names, itself, func(name, after string) bool { return name > after })
	return &sdk.ListTaskDefinitionFamiliesOutput{Families: families, NextToken: next}, nil
}

func familyHas(t *state.Tables, family string, status types.TaskDefinitionFamilyStatus) bool {
	active := t.Definitions.LatestActive(ecs.DefinitionID{Family: family}) != nil
	switch status {
	case "", types.TaskDefinitionFamilyStatusActive:
		return active
	case types.TaskDefinitionFamilyStatusInactive:
		return !active
	}
	return true
}

// wireDefinition gives what was registered, with the lists that ECS always has.
func (a *API) wireDefinition(d *ecs.TaskDefinition) *types.TaskDefinition {
	listed := *d
	listed.RequiresAttributes = taskdef.Listed(d.RequiresAttributes)
	out := mirror.Of[types.TaskDefinition](&listed)
	arn := a.Place.DefinitionARN(d.ID())
	out.TaskDefinitionArn = &arn
	out.RegisteredAt, out.DeregisteredAt, out.DeleteRequestedAt = clone(d.RegisteredAt), clone(d.DeregisteredAt), clone(d.DeleteRequestedAt)
	list(&out.Volumes)
	list(&out.PlacementConstraints)
	list(&out.RequiresAttributes)
	for i := range out.ContainerDefinitions {
		c := &out.ContainerDefinitions[i]
		list(&c.PortMappings)
		list(&c.Environment)
		list(&c.MountPoints)
		list(&c.VolumesFrom)
		list(&c.SystemControls)
	}
	return &out
}

// list makes an absent list an empty one.
func list[T any](l *[]T) {
	if *l == nil {
		*l = []T{}
	}
}

func clone(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	c := *t
	return &c
}
