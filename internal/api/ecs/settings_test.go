package ecsapi_test

import (
	"context"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
)

const (
	root  = "arn:aws:iam::000000000000:root"
	alice = "arn:aws:iam::000000000000:user/alice"
)

// as is an installation whose requests come from whoever is named at the moment.
func as(caller *string) func(*ecsapi.Config) {
	return func(c *ecsapi.Config) { c.Caller = func(context.Context) string { return *caller } }
}

// settings lists all settings, page by page, as NAME=VALUE of PRINCIPAL.
func (f *fixture) settings(in sdk.ListAccountSettingsInput) (out []string) {
	f.t.Helper()
	for {
		page := must(f.ListAccountSettings(f.ctx, &in))
		for _, s := range page.Settings {
			out = append(out, string(s.Name)+"="+*s.Value+" of "+*s.PrincipalArn)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return out
		}
	}
}

func TestDefaultSettings(t *testing.T) {
	f := newFixture(t)
	if got := f.settings(sdk.ListAccountSettingsInput{}); len(got) != 0 {
		t.Errorf("nothing was set, got %v", got)
	}
	got := f.settings(sdk.ListAccountSettingsInput{EffectiveSettings: true})
	for _, name := range types.SettingName("").Values() {
		if !slices.ContainsFunc(got, func(s string) bool { return len(s) > len(name) && s[:len(name)+1] == string(name)+"=" }) {
			t.Errorf("%s has no default", name)
		}
	}
	if !slices.IsSorted(got) || !slices.Contains(got, "taskLongArnFormat=enabled of "+root) || !slices.Contains(got, "fargateTaskRetirementWaitPeriod=7 of "+root) {
		t.Errorf("got %v", got)
	}
	out := must(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{EffectiveSettings: true, Name: "guardDutyActivate"}))
	if len(out.Settings) != 1 || out.Settings[0].Type != "aws_managed" {
		t.Errorf("got %+v", out.Settings)
	}
	if page := must(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{EffectiveSettings: true, MaxResults: 3})); len(page.Settings) != 3 || page.NextToken == nil {
		t.Errorf("a page of 3: %+v", page)
	}
}

func TestSettingsOfPrincipals(t *testing.T) {
	caller := root
	f := newFixture(t, as(&caller))
	must(f.PutAccountSettingDefault(f.ctx, &sdk.PutAccountSettingDefaultInput{Name: "awsvpcTrunking", Value: aws.String("enabled")}))
	caller = alice
	put := must(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "containerInsights", Value: aws.String("enhanced")})).Setting
	if *put.PrincipalArn != alice || *put.Value != "enhanced" || put.Type != "user" {
		t.Errorf("put: %+v", put)
	}
	if got := f.settings(sdk.ListAccountSettingsInput{}); !slices.Equal(got, []string{"containerInsights=enhanced of " + alice}) {
		t.Errorf("her own: %v", got)
	}
	got := f.settings(sdk.ListAccountSettingsInput{EffectiveSettings: true})
	if !slices.Contains(got, "containerInsights=enhanced of "+alice) || !slices.Contains(got, "awsvpcTrunking=enabled of "+root) {
		t.Errorf("what holds for her: %v", got)
	}
	if c := must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("hers")})).Cluster; *c.Settings[0].Value != "enhanced" {
		t.Errorf("her cluster: %+v", c.Settings)
	}
	caller = "arn:aws:sts::000000000000:assumed-role/deploy/session"
	if c := must(f.CreateCluster(f.ctx, &sdk.CreateClusterInput{ClusterName: aws.String("its")})).Cluster; *c.Settings[0].Value != "disabled" {
		t.Errorf("another's cluster: %+v", c.Settings)
	}
	must(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "containerInsights", Value: aws.String("enabled")}))
	if got := f.settings(sdk.ListAccountSettingsInput{}); !slices.Equal(got, []string{"containerInsights=enabled of arn:aws:iam::000000000000:role/deploy"}) {
		t.Errorf("the role's own: %v", got)
	}
	caller = root
	if got := f.settings(sdk.ListAccountSettingsInput{PrincipalArn: aws.String(alice), Name: "containerInsights", Value: aws.String("enhanced")}); len(got) != 1 {
		t.Errorf("hers, asked for by the root: %v", got)
	}
	deleted := must(f.DeleteAccountSetting(f.ctx, &sdk.DeleteAccountSettingInput{Name: "containerInsights", PrincipalArn: aws.String(alice)})).Setting
	if *deleted.Value != "disabled" || *deleted.PrincipalArn != alice {
		t.Errorf("deleted: %+v", deleted)
	}
	if got := f.settings(sdk.ListAccountSettingsInput{PrincipalArn: aws.String(alice)}); len(got) != 0 {
		t.Errorf("still there: %v", got)
	}
	must(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "taskLongArnFormat", Value: aws.String("enabled")}))
	if got := f.settings(sdk.ListAccountSettingsInput{}); !slices.Equal(got, []string{"awsvpcTrunking=enabled of " + root, "taskLongArnFormat=enabled of " + root}) {
		t.Errorf("the account's: %v", got)
	}
}

func putSetting(name types.SettingName, value string) func(*fixture) error {
	return func(f *fixture) error {
		return only(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: name, Value: &value}))
	}
}

var refusedSettings = []refused{
	{"name", putSetting("X", "enabled"), "InvalidParameterException: Invalid setting 'name'"},
	{"default's name", func(f *fixture) error {
		return only(f.PutAccountSettingDefault(f.ctx, &sdk.PutAccountSettingDefaultInput{Name: "X", Value: aws.String("enabled")}))
	}, "InvalidParameterException: Invalid setting 'name'"},
	{"value", putSetting("taskLongArnFormat", "ENABLED"), "InvalidParameterException: Invalid setting 'value'"},
	{"no value", putSetting("awsvpcTrunking", ""), "InvalidParameterException: Invalid setting 'value'"},
	{"on, not enabled", putSetting("tagResourceAuthorization", "enabled"), "InvalidParameterException: Invalid setting 'value'"},
	{"long ARNs", putSetting("serviceLongArnFormat", "disabled"), "InvalidParameterException: You can no longer disable Long Arn settings"},
	{"default long ARNs", func(f *fixture) error {
		return only(f.PutAccountSettingDefault(f.ctx, &sdk.PutAccountSettingDefaultInput{Name: "taskLongArnFormat", Value: aws.String("disabled")}))
	}, "InvalidParameterException: You can no longer disable Long Arn settings"},
	{"managed", putSetting("guardDutyActivate", "on"), "InvalidParameterException: The account setting guardDutyActivate is managed by AWS and can not be changed."},
	{"managed, as it is", putSetting("guardDutyActivate", "off"), "InvalidParameterException: The account setting guardDutyActivate is managed by AWS and can not be changed."},
	{"FIPS", putSetting("fargateFIPSMode", "enabled"), "UnsupportedFeatureException: fargateFIPSMode enabled is not supported yet."},
	{"retirement", putSetting("fargateTaskRetirementWaitPeriod", "3"), "InvalidParameterException: Invalid setting 'value'"},
	{"the root's", putSetting("fargateTaskRetirementWaitPeriod", "14"), "ClientException: You must be the root user to set fargateTaskRetirementWaitPeriod."},
	{"principal", func(f *fixture) error {
		return only(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "containerInsights", Value: aws.String("enabled"), PrincipalArn: aws.String("x")}))
	}, "InvalidParameterException: Invalid principalArn: x"},
	{"another account's", func(f *fixture) error {
		return only(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "containerInsights", Value: aws.String("enabled"), PrincipalArn: aws.String("arn:aws:iam::111111111111:root")}))
	}, "InvalidParameterException: Invalid principalArn: arn:aws:iam::111111111111:root"},
	{"another's", func(f *fixture) error {
		return only(f.PutAccountSetting(f.ctx, &sdk.PutAccountSettingInput{Name: "containerInsights", Value: aws.String("enabled"), PrincipalArn: aws.String("arn:aws:iam::000000000000:user/bob")}))
	}, "ClientException: You must be the root user, or the principal, to use principalArn."},
	{"the account's", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{PrincipalArn: aws.String(root)}))
	}, "ClientException: You must be the root user, or the principal, to use principalArn."},
	{"list name", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{Name: "X"}))
	}, "InvalidParameterException: Invalid setting 'name'"},
	{"list value", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{Value: aws.String("enabled")}))
	}, "InvalidParameterException: A setting name must be given to filter by value."},
	{"list size", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{MaxResults: 11}))
	}, "InvalidParameterException: maxResults must be between 1 and 10."},
	{"list token", func(f *fixture) error {
		return only(f.ListAccountSettings(f.ctx, &sdk.ListAccountSettingsInput{NextToken: aws.String("x")}))
	}, "InvalidParameterException: Invalid token."},
	{"delete name", func(f *fixture) error {
		return only(f.DeleteAccountSetting(f.ctx, &sdk.DeleteAccountSettingInput{Name: "X"}))
	}, "InvalidParameterException: Invalid setting 'name'"},
	{"delete managed", func(f *fixture) error {
		return only(f.DeleteAccountSetting(f.ctx, &sdk.DeleteAccountSettingInput{Name: "guardDutyActivate"}))
	}, "InvalidParameterException: The account setting guardDutyActivate is managed by AWS and can not be changed."},
	{"delete another's", func(f *fixture) error {
		return only(f.DeleteAccountSetting(f.ctx, &sdk.DeleteAccountSettingInput{Name: "awsvpcTrunking", PrincipalArn: aws.String("arn:aws:iam::000000000000:user/bob")}))
	}, "ClientException: You must be the root user, or the principal, to use principalArn."},
}

func TestRefusedSettings(t *testing.T) {
	caller := alice
	newFixture(t, as(&caller)).refuses(t, refusedSettings)
}
