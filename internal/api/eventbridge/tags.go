package eventbridge

import (
	"context"
	"regexp"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

var reservedTag = regexp.MustCompile(`(?i)^aws:`)

// mergeTags sets tags among others, or refuses them.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Tag.html
func mergeTags(old []ecs.Tag, more []types.Tag) ([]ecs.Tag, error) {
	const most = 50
	var c checks
	out := slices.Clone(old)
	for _, t := range more {
		tag := ecs.Tag{Key: c.Text(t.Key, "tags.member.key", tagKeyForm), Value: c.Text(t.Value, "tags.member.value", tagValueForm)}
		if reservedTag.MatchString(tag.Key) {
			return nil, fault.New(fault.Validation, "Tag keys that begin with aws: are reserved.")
		}
		if i := slices.IndexFunc(out, func(o ecs.Tag) bool { return o.Key == tag.Key }); i >= 0 {
			out[i] = tag
		} else {
			out = append(out, tag)
		}
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if len(out) > most {
		return nil, fault.New(fault.Validation, "A resource can have at most %d tags.", most)
	}
	return out, nil
}

// tagged finds the tags of the rule or bus that an ARN names. In an update, put writes others; from a view it is not called.
func (a *API) tagged(t *state.Tables, arn string) (tags []ecs.Tag, put func([]ecs.Tag), err error) {
	if key, ok := events.RuleOfARN(a.Place, arn); ok {
		r := t.EventRules.Get(key)
		if r == nil {
			return nil, nil, fault.New(fault.ResourceNotFound, "Rule %s does not exist.", arn)
		}
		return r.Tags, func(tags []ecs.Tag) { n := *r; n.Tags = tags; t.EventRules.Put(&n) }, nil
	}
	if name, ok := events.BusOfARN(a.Place, arn); ok {
		b := t.EventBuses.Get(name)
		if b == nil {
			return nil, nil, fault.New(fault.ResourceNotFound, "Event bus %s does not exist.", name)
		}
		return b.Tags, func(tags []ecs.Tag) { n := *b; n.Tags = tags; t.EventBuses.Put(&n) }, nil
	}
	return nil, nil, fault.New(fault.Validation, "Parameter ResourceARN is not valid: it is not the ARN of a rule or of an event bus of one's own.")
}

// change puts other tags.
func (a *API) change(ctx context.Context, arn *string, to func([]ecs.Tag) ([]ecs.Tag, error)) error {
	var c checks
	name := c.Text(arn, "resourceARN", arnForm)
	if err := c.err(); err != nil {
		return err
	}
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		old, put, err := a.tagged(&tx.Tables, name)
		if err != nil {
			return err
		}
		tags, err := to(old)
		if err != nil {
			return err
		}
		put(tags)
		return nil
	})
}

// TagResource sets tags of a rule or a bus.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TagResource.html
func (a *API) TagResource(ctx context.Context, in *sdk.TagResourceInput) (*sdk.TagResourceOutput, error) {
	if err := a.change(ctx, in.ResourceARN, func(old []ecs.Tag) ([]ecs.Tag, error) { return mergeTags(old, in.Tags) }); err != nil {
		return nil, err
	}
	return &sdk.TagResourceOutput{}, nil
}

// UntagResource takes tags away.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_UntagResource.html
func (a *API) UntagResource(ctx context.Context, in *sdk.UntagResourceInput) (*sdk.UntagResourceOutput, error) {
	err := a.change(ctx, in.ResourceARN, func(old []ecs.Tag) ([]ecs.Tag, error) {
		return slices.DeleteFunc(slices.Clone(old), func(t ecs.Tag) bool { return slices.Contains(in.TagKeys, t.Key) }), nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UntagResourceOutput{}, nil
}

// ListTagsForResource lists the tags of a rule or a bus.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListTagsForResource.html
func (a *API) ListTagsForResource(_ context.Context, in *sdk.ListTagsForResourceInput) (*sdk.ListTagsForResourceOutput, error) {
	var c checks
	name := c.Text(in.ResourceARN, "resourceARN", arnForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	tags, _, err := a.tagged(a.tables(), name)
	if err != nil {
		return nil, err
	}
	out := &sdk.ListTagsForResourceOutput{Tags: make([]types.Tag, len(tags))}
	for i := range tags {
		out.Tags[i] = types.Tag{Key: &tags[i].Key, Value: &tags[i].Value}
	}
	return out, nil
}
