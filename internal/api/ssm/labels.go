package ssm

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Bounds of labels and tags.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-labels.html
const (
	mostLabels = 10
	mostTags   = 50
)

var labelForm = regexp.MustCompile(`^[a-zA-Z_.-][a-zA-Z0-9_.-]{0,99}$`)

func isLabel(s string) bool {
	l := strings.ToLower(s)
	return labelForm.MatchString(s) && !strings.HasPrefix(l, "aws") && !strings.HasPrefix(l, "ssm")
}

// LabelParameterVersion puts labels at a version, the latest if none is named; a label is at one version.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_LabelParameterVersion.html
func (a *API) LabelParameterVersion(ctx context.Context, in *sdk.LabelParameterVersionInput) (*sdk.LabelParameterVersionOutput, error) {
	if err := checkLabels(in.Labels); err != nil {
		return nil, err
	}
	out := &sdk.LabelParameterVersionOutput{InvalidLabels: []string{}}
	err := a.relabel(ctx, in.Name, in.ParameterVersion, func(p *secrets.Parameter, v *secrets.ParameterVersion) error {
		out.ParameterVersion, out.InvalidLabels = v.Number, []string{}
		for _, l := range in.Labels {
			if !isLabel(l) {
				out.InvalidLabels = append(out.InvalidLabels, l)
				continue
			}
			for i := range p.Versions {
				p.Versions[i].Labels = slices.DeleteFunc(p.Versions[i].Labels, func(at string) bool { return at == l })
			}
			v.Labels = append(v.Labels, l)
		}
		if len(v.Labels) > mostLabels {
			return fault.New(labelLimit, "A parameter version can have a maximum of %d labels. Move one or more labels to another version and try again.", mostLabels)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UnlabelParameterVersion takes labels away.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_UnlabelParameterVersion.html
func (a *API) UnlabelParameterVersion(ctx context.Context, in *sdk.UnlabelParameterVersionInput) (*sdk.UnlabelParameterVersionOutput, error) {
	if err := checkLabels(in.Labels); err != nil {
		return nil, err
	}
	if in.ParameterVersion == nil {
		return nil, fault.New(fault.Validation, "ParameterVersion is required.")
	}
	out := &sdk.UnlabelParameterVersionOutput{}
	err := a.relabel(ctx, in.Name, in.ParameterVersion, func(_ *secrets.Parameter, v *secrets.ParameterVersion) error {
		out.RemovedLabels, out.InvalidLabels = []string{}, []string{}
		for _, l := range in.Labels {
			i := slices.Index(v.Labels, l)
			if i < 0 {
				out.InvalidLabels = append(out.InvalidLabels, l)
				continue
			}
			v.Labels = slices.Delete(v.Labels, i, i+1)
			out.RemovedLabels = append(out.RemovedLabels, l)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func checkLabels(labels []string) error {
	if len(labels) == 0 || len(labels) > mostLabels {
		return fault.New(fault.Validation, "There must be from 1 to %d labels.", mostLabels)
	}
	return nil
}

func (a *API) relabel(ctx context.Context, name *string, number *int64, f func(*secrets.Parameter, *secrets.ParameterVersion) error) error {
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.mustFind(&tx.Tables, aws.ToString(name))
		if err != nil {
			return err
		}
		p, sel := old.Clone(), ""
		if number != nil {
			sel = ":" + itoa(*number)
		}
		v, err := version(p, sel)
		if err != nil {
			return err
		}
		if err := f(p, v); err != nil {
			return err
		}
		tx.Parameters.Put(p)
		return nil
	})
}

func (a *API) tagged(t *state.Tables, kind types.ResourceTypeForTagging, id *string) (*secrets.Parameter, error) {
	if kind != types.ResourceTypeForTaggingParameter {
		return nil, fault.New(fault.Unsupported, "Resources of the type %.80q are not supported; parameters are.", string(kind))
	}
	p := a.find(t, aws.ToString(id))
	if p == nil {
		return nil, fault.New(invalidResourceID, "The resource ID is not valid. Verify that you entered the correct ID and try again.")
	}
	return p, nil
}

func (a *API) retag(ctx context.Context, kind types.ResourceTypeForTagging, id *string, f func([]ecs.Tag) ([]ecs.Tag, error)) error {
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.tagged(&tx.Tables, kind, id)
		if err != nil {
			return err
		}
		p := old.Clone()
		if p.Tags, err = f(p.Tags); err != nil {
			return err
		}
		tx.Parameters.Put(p)
		return nil
	})
}

// AddTagsToResource adds tags to a parameter, or gives those that are there other values.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_AddTagsToResource.html
func (a *API) AddTagsToResource(ctx context.Context, in *sdk.AddTagsToResourceInput) (*sdk.AddTagsToResourceOutput, error) {
	err := a.retag(ctx, in.ResourceType, in.ResourceId, func(list []ecs.Tag) ([]ecs.Tag, error) { return mergeTags(list, in.Tags) })
	return &sdk.AddTagsToResourceOutput{}, err
}

// RemoveTagsFromResource takes tags away.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_RemoveTagsFromResource.html
func (a *API) RemoveTagsFromResource(ctx context.Context, in *sdk.RemoveTagsFromResourceInput) (*sdk.RemoveTagsFromResourceOutput, error) {
	err := a.retag(ctx, in.ResourceType, in.ResourceId, func(list []ecs.Tag) ([]ecs.Tag, error) {
		return slices.DeleteFunc(list, func(t ecs.Tag) bool { return slices.Contains(in.TagKeys, t.Key) }), nil
	})
	return &sdk.RemoveTagsFromResourceOutput{}, err
}

// ListTagsForResource gives a parameter's tags.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ListTagsForResource.html
func (a *API) ListTagsForResource(_ context.Context, in *sdk.ListTagsForResourceInput) (*sdk.ListTagsForResourceOutput, error) {
	view := a.Store.View()
	p, err := a.tagged(&view.Tables, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	out := &sdk.ListTagsForResourceOutput{TagList: []types.Tag{}}
	for i := range p.Tags {
		out.TagList = append(out.TagList, types.Tag{Key: &p.Tags[i].Key, Value: &p.Tags[i].Value})
	}
	return out, nil
}

// mergeTags adds tags to a list that may be changed.
func mergeTags(list []ecs.Tag, more []types.Tag) ([]ecs.Tag, error) {
	for _, t := range more {
		key, value := aws.ToString(t.Key), aws.ToString(t.Value)
		if key == "" || len(key) > 128 || len(value) > 256 || strings.HasPrefix(key, "aws:") {
			return nil, fault.New(fault.Validation, "A tag's key has 1 to 128 characters and does not begin with aws:, its value has at most 256.")
		}
		if i := slices.IndexFunc(list, func(t ecs.Tag) bool { return t.Key == key }); i >= 0 {
			list[i].Value = value
		} else {
			list = append(list, ecs.Tag{Key: key, Value: value})
		}
	}
	if len(list) > mostTags {
		return nil, fault.New(tooManyTags, "A parameter can have at most %d tags.", mostTags)
	}
	return list, nil
}
