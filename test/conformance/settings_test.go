package conformance

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestEffectiveSettings(t *testing.T) {
	s := begin(t)
	found := map[types.SettingName]string{}
	for pages := ecs.NewListAccountSettingsPaginator(s.ecs, &ecs.ListAccountSettingsInput{EffectiveSettings: true}); pages.HasMorePages(); {
		page := must[ecs.ListAccountSettingsOutput](s)(pages.NextPage(s.ctx))
		if len(page.Settings) > 10 {
			t.Errorf("a page of %d", len(page.Settings))
		}
		for _, setting := range page.Settings {
			if setting.Value == nil || setting.PrincipalArn == nil {
				t.Errorf("setting: %+v", setting)
				continue
			}
			found[setting.Name] = *setting.Value
		}
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

// TestSettings changes one that changes nothing for the other tests.
func TestSettings(t *testing.T) {
	s := begin(t)
	set := must[ecs.PutAccountSettingOutput](s)(s.ecs.PutAccountSetting(s.ctx, &ecs.PutAccountSettingInput{Name: types.SettingNameAwsvpcTrunking, Value: aws.String("enabled")}))
	s.cleanup(func(ctx context.Context) error {
		_, err := s.ecs.DeleteAccountSetting(ctx, &ecs.DeleteAccountSettingInput{Name: types.SettingNameAwsvpcTrunking})
		return err
	})
	if set.Setting == nil || set.Setting.Name != types.SettingNameAwsvpcTrunking || aws.ToString(set.Setting.Value) != "enabled" || aws.ToString(set.Setting.PrincipalArn) == "" {
		t.Errorf("PutAccountSetting: %+v", set.Setting)
	}
	list := must[ecs.ListAccountSettingsOutput](s)(s.ecs.ListAccountSettings(s.ctx, &ecs.ListAccountSettingsInput{Name: types.SettingNameAwsvpcTrunking}))
	if len(list.Settings) != 1 || aws.ToString(list.Settings[0].Value) != "enabled" {
		t.Errorf("ListAccountSettings: %+v", list.Settings)
	}
	_, err := s.ecs.PutAccountSetting(s.ctx, &ecs.PutAccountSettingInput{Name: types.SettingNameAwsvpcTrunking, Value: aws.String("perhaps")})
	refused[*types.InvalidParameterException](s, err, "")
	_, err = s.ecs.PutAccountSetting(s.ctx, &ecs.PutAccountSettingInput{Name: "noSuchSetting", Value: aws.String("enabled")})
	refused[*types.InvalidParameterException](s, err, "")
}
