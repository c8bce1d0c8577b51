package ecsapi

import (
	"context"
	"slices"
	"strconv"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// ListAccountSettings gives the settings that were made for a principal, the caller if none is named, or with
// effectiveSettings those that hold for it, whoever made them.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListAccountSettings.html
func (a *API) ListAccountSettings(ctx context.Context, in *sdk.ListAccountSettingsInput) (*sdk.ListAccountSettingsOutput, error) {
	principal, err := a.principal(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		if _, err := settingOf(in.Name); err != nil {
			return nil, err
		}
	} else if in.Value != nil {
		return nil, fault.New(fault.InvalidParameter, "A setting name must be given to filter by value.")
	}
	var size *int32
	if in.MaxResults != 0 {
		size = &in.MaxResults
	}
	p, err := newPagerOf(maxSmallPage, size, in.NextToken, "ListAccountSettings", principal, string(in.Name), str(in.Value), strconv.FormatBool(in.EffectiveSettings))
	if err != nil {
		return nil, err
	}
	var found []state.Setting
	t := &a.Store.View().Tables
	for _, known := range accountSettings {
		if in.Name != "" && in.Name != known.name {
			continue
		}
		s := effective(t, principal, known.name)
		if !in.EffectiveSettings {
			own := t.Settings.Get(principal, string(known.name))
			if own == nil {
				continue
			}
			s = *own
		}
		if in.Value == nil || *in.Value == s.Value {
			found = append(found, s)
		}
	}
	given, next := page(p, slices.Values(found), func(s state.Setting) string { return s.Name }, func(s state.Setting, after string) bool { return s.Name > after })
	out := &sdk.ListAccountSettingsOutput{Settings: []types.Setting{}, NextToken: next}
	for _, s := range given {
		out.Settings = append(out.Settings, *a.wireSetting(s))
	}
	return out, nil
}

// PutAccountSetting sets what holds for a principal, the caller if none is named. The root's setting is the account's default.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAccountSetting.html
func (a *API) PutAccountSetting(ctx context.Context, in *sdk.PutAccountSettingInput) (*sdk.PutAccountSettingOutput, error) {
	principal, err := a.principal(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	s, err := a.putSetting(ctx, principal, in.Name, str(in.Value))
	if err != nil {
		return nil, err
	}
	return &sdk.PutAccountSettingOutput{Setting: s}, nil
}

// PutAccountSettingDefault sets what holds for everyone who has no setting of his own.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAccountSettingDefault.html
func (a *API) PutAccountSettingDefault(ctx context.Context, in *sdk.PutAccountSettingDefaultInput) (*sdk.PutAccountSettingDefaultOutput, error) {
	s, err := a.putSetting(ctx, "", in.Name, str(in.Value))
	if err != nil {
		return nil, err
	}
	return &sdk.PutAccountSettingDefaultOutput{Setting: s}, nil
}

func (a *API) putSetting(ctx context.Context, principal string, name types.SettingName, value string) (*types.Setting, error) {
	known, err := settingOf(name)
	if err != nil {
		return nil, err
	}
	if err := known.settable(value); err != nil {
		return nil, err
	}
	if known.rootOnly && principal != "" {
		return nil, fault.New(fault.Client, "You must be the root user to set %s.", name)
	}
	s := state.Setting{Principal: principal, Name: string(name), Value: value}
	if err := a.Store.Update(ctx, func(tx *state.Tx) error {
		tx.Settings.Put(&s)
		return nil
	}); err != nil {
		return nil, err
	}
	return a.wireSetting(s), nil
}

// DeleteAccountSetting takes back what was set for a principal, and answers what holds for it from then on.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteAccountSetting.html
func (a *API) DeleteAccountSetting(ctx context.Context, in *sdk.DeleteAccountSettingInput) (*sdk.DeleteAccountSettingOutput, error) {
	principal, err := a.principal(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	known, err := settingOf(in.Name)
	if err != nil {
		return nil, err
	}
	if known.kind == types.SettingTypeAwsManaged {
		return nil, known.fixed
	}
	var holds state.Setting
	if err := a.Store.Update(ctx, func(tx *state.Tx) error {
		tx.Settings.Delete(principal, string(in.Name))
		holds = effective(&tx.Tables, principal, in.Name)
		return nil
	}); err != nil {
		return nil, err
	}
	holds.Principal = principal
	return &sdk.DeleteAccountSettingOutput{Setting: a.wireSetting(holds)}, nil
}
