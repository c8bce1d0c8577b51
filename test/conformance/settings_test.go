package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestEffectiveSettings(t *testing.T) {
	s := begin(t)
	out := must[ecs.ListAccountSettingsOutput](s)(s.ecs.ListAccountSettings(s.ctx, &ecs.ListAccountSettingsInput{EffectiveSettings: true}))
	found := map[types.SettingName]string{}
	for _, setting := range out.Settings {
		if setting.Value == nil || setting.PrincipalArn == nil {
			t.Errorf("setting: %+v", setting)
			continue
		}
		found[setting.Name] = *setting.Value
	}
	for _, name := range []types.SettingName{types.SettingNameTaskLongArnFormat, types.SettingNameServiceLongArnFormat, types.SettingNameContainerInstanceLongArnFormat} {
		if found[name] != "enabled" {
			t.Errorf("%s is %q", name, found[name])
		}
	}
	for _, name := range []types.SettingName{types.SettingNameAwsvpcTrunking, types.SettingNameContainerInsights, types.SettingNameTagResourceAuthorization} {
		if found[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	one := must[ecs.ListAccountSettingsOutput](s)(s.ecs.ListAccountSettings(s.ctx, &ecs.ListAccountSettingsInput{
		EffectiveSettings: true, Name: types.SettingNameTaskLongArnFormat}))
	if len(one.Settings) != 1 {
		t.Errorf("one by name: %+v", one.Settings)
	}
}
