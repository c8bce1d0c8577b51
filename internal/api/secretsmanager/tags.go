package secretsmanager

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// TagResource adds tags, or gives those that are there other values.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html
func (a *API) TagResource(ctx context.Context, in *sdk.TagResourceInput) (*sdk.TagResourceOutput, error) {
	err := a.change(ctx, in.SecretId, func(s *secrets.Secret) (err error) {
		s.Tags, err = mergeTags(s.Tags, in.Tags)
		return err
	})
	return &sdk.TagResourceOutput{}, err
}

// UntagResource takes tags away.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UntagResource.html
func (a *API) UntagResource(ctx context.Context, in *sdk.UntagResourceInput) (*sdk.UntagResourceOutput, error) {
	err := a.change(ctx, in.SecretId, func(s *secrets.Secret) error {
		s.Tags = slices.DeleteFunc(s.Tags, func(t ecs.Tag) bool { return slices.Contains(in.TagKeys, t.Key) })
		return nil
	})
	return &sdk.UntagResourceOutput{}, err
}

func (a *API) change(ctx context.Context, id *string, f func(*secrets.Secret) error) error {
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.living(&tx.Tables, id)
		if err != nil {
			return err
		}
		s := old.Clone()
		if err := f(s); err != nil {
			return err
		}
		tx.Secrets.Put(s)
		return nil
	})
}

// mergeTags adds tags to a list that may be changed.
func mergeTags(list []ecs.Tag, more []types.Tag) ([]ecs.Tag, error) {
	for _, t := range more {
		key, value := aws.ToString(t.Key), aws.ToString(t.Value)
		if key == "" || len(key) > 128 || len(value) > 256 || strings.HasPrefix(key, "aws:") {
			return nil, fault.New(fault.InvalidParameter, "A tag's key has 1 to 128 characters and does not begin with aws:, its value has at most 256.")
		}
		if i := slices.IndexFunc(list, func(t ecs.Tag) bool { return t.Key == key }); i >= 0 {
			list[i].Value = value
		} else {
			list = append(list, ecs.Tag{Key: key, Value: value})
		}
	}
	if len(list) > mostTags {
		return nil, fault.New(fault.InvalidParameter, "A secret can have at most %d tags.", mostTags)
	}
	return list, nil
}

func wireTags(tags []ecs.Tag) []types.Tag {
	var out []types.Tag
	for i := range tags {
		out = append(out, types.Tag{Key: &tags[i].Key, Value: &tags[i].Value})
	}
	return out
}
