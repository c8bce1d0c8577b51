package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/fault"
)

// settingDefaults are the values that hold in an account that has set nothing, ordered by name.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html
var settingDefaults = []struct {
	name  types.SettingName
	value string
}{
	{types.SettingNameAwsvpcTrunking, "disabled"},
	{types.SettingNameContainerInsights, "disabled"},
	{types.SettingNameContainerInstanceLongArnFormat, "enabled"},
	{types.SettingNameDefaultLogDriverMode, "non-blocking"},
	{types.SettingNameFargateEventWindows, "disabled"},
	{types.SettingNameFargateFipsMode, "disabled"},
	{types.SettingNameFargateTaskRetirementWaitPeriod, "7"},
	{types.SettingNameGuardDutyActivate, "off"},
	{types.SettingNameServiceLongArnFormat, "enabled"},
	{types.SettingNameTagResourceAuthorization, "off"},
	{types.SettingNameTaskLongArnFormat, "enabled"},
}

// ListAccountSettings gives the settings that were made, or with effectiveSettings those that hold.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListAccountSettings.html
func (a *API) ListAccountSettings(_ context.Context, in *sdk.ListAccountSettingsInput) (*sdk.ListAccountSettingsOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	if in.Name != "" && !known(in.Name) {
		return nil, fault.New(fault.InvalidParameter, "Invalid setting name: %q.", string(in.Name))
	}
	if in.MaxResults < 0 || in.MaxResults > 10 && !in.EffectiveSettings {
		return nil, fault.New(fault.InvalidParameter, "maxResults must be between 1 and 10.")
	}
	out := &sdk.ListAccountSettingsOutput{Settings: []types.Setting{}}
	t, root := &a.Store.View().Tables, "arn:aws:iam::"+a.Place.Account+":root"
	for _, d := range settingDefaults {
		value, made := d.value, t.Settings.Get("", string(d.name))
		if made != nil {
			value = made.Value
		}
		if in.Name != "" && in.Name != d.name || in.Value != nil && *in.Value != value || made == nil && !in.EffectiveSettings {
			continue
		}
		out.Settings = append(out.Settings, types.Setting{Name: d.name, Value: &value, PrincipalArn: &root, Type: types.SettingTypeUser})
	}
	return out, nil
}
