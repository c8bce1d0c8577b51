package ecsapi

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// settingDualStackIPv6 is a setting that AWS documents and its SDK's enumeration lacks.
const settingDualStackIPv6 types.SettingName = "dualStackIPv6"

// accountSetting is one of the settings that an account has.
type accountSetting struct {
	name types.SettingName
	// value is what holds where nothing was set.
	value  string
	others []string
	// fixed says why nothing else can be set, if so.
	fixed *fault.Error
	// rootOnly settings are those of the account as a whole.
	rootOnly bool
	kind     types.SettingType
}

var (
	errLongARNs = fault.New(fault.InvalidParameter, "You can no longer disable Long Arn settings")
	// GuardDuty alone sets it.
	errManagedSetting = fault.New(fault.InvalidParameter, "The account setting guardDutyActivate is managed by AWS and can not be changed.")
	errFIPS           = fault.New(fault.Unsupported, "fargateFIPSMode enabled is not supported yet.")
)

// accountSettings are ordered by name.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html
var accountSettings = []accountSetting{
	{name: types.SettingNameAwsvpcTrunking, value: "disabled", others: []string{"enabled"}},
	{name: types.SettingNameContainerInsights, value: ecs.InsightsDisabled, others: []string{ecs.InsightsEnabled, ecs.InsightsEnhanced}},
	{name: types.SettingNameContainerInstanceLongArnFormat, value: "enabled", others: []string{"disabled"}, fixed: errLongARNs},
	{name: types.SettingNameDefaultLogDriverMode, value: "non-blocking", others: []string{"blocking"}},
	{name: settingDualStackIPv6, value: "enabled", others: []string{"disabled"}},
	{name: types.SettingNameFargateEventWindows, value: "disabled", others: []string{"enabled"}},
	{name: types.SettingNameFargateFipsMode, value: "disabled", others: []string{"enabled"}, fixed: errFIPS},
	{name: types.SettingNameFargateTaskRetirementWaitPeriod, value: "7", others: []string{"0", "14"}, rootOnly: true},
	{name: types.SettingNameGuardDutyActivate, value: "off", others: []string{"on"}, fixed: errManagedSetting, kind: types.SettingTypeAwsManaged},
	{name: types.SettingNameServiceLongArnFormat, value: "enabled", others: []string{"disabled"}, fixed: errLongARNs},
	{name: types.SettingNameTagResourceAuthorization, value: "off", others: []string{"on"}},
	{name: types.SettingNameTaskLongArnFormat, value: "enabled", others: []string{"disabled"}, fixed: errLongARNs},
}

// settingOf finds a setting by name.
func settingOf(name types.SettingName) (accountSetting, error) {
	for _, s := range accountSettings {
		if s.name == name {
			return s, nil
		}
	}
	return accountSetting{}, fault.New(fault.InvalidParameter, "Invalid setting 'name'")
}

// settable checks a value that is to be set.
func (s *accountSetting) settable(value string) error {
	switch {
	case value != s.value && !slices.Contains(s.others, value):
		return fault.New(fault.InvalidParameter, "Invalid setting 'value'")
	case s.kind == types.SettingTypeAwsManaged, s.fixed != nil && value != s.value:
		return s.fixed
	}
	return nil
}

func (s *accountSetting) wireKind() types.SettingType {
	if s.kind == "" {
		return types.SettingTypeUser
	}
	return s.kind
}

// effective gives the setting that holds for a principal: its own, else the account's, else AWS's. The principal of what it
// gives is "" unless it is the principal's own. The principal "" is the account.
func effective(t *state.Tables, principal string, name types.SettingName) state.Setting {
	for _, p := range []string{principal, ""} {
		if s := t.Settings.Get(p, string(name)); s != nil {
			return *s
		}
	}
	s, _ := settingOf(name) // A name that is none has no value.
	return state.Setting{Name: string(name), Value: s.value}
}

func (a *API) rootARN() string { return "arn:aws:iam::" + a.Place.Account + ":root" }

// callerPrincipal is whose settings hold for a request: "" for the account's root, an assumed role's role, else the
// caller's ARN.
func (a *API) callerPrincipal(ctx context.Context) string {
	if a.Caller == nil {
		return ""
	}
	return a.settingPrincipal(a.Caller(ctx))
}

func (a *API) settingPrincipal(arn string) string {
	if arn == a.rootARN() {
		return ""
	}
	if rest, ok := strings.CutPrefix(arn, "arn:aws:sts::"+a.Place.Account+":assumed-role/"); ok {
		role, _, _ := strings.Cut(rest, "/")
		return "arn:aws:iam::" + a.Place.Account + ":role/" + role
	}
	return arn
}

// principal reads whose settings a request is about: the caller's if it names nobody. Only the root may ask for others'.
func (a *API) principal(ctx context.Context, ref *string) (string, error) {
	caller := a.callerPrincipal(ctx)
	if str(ref) == "" {
		return caller, nil
	}
	resource, ok := strings.CutPrefix(*ref, "arn:aws:iam::"+a.Place.Account+":")
	kind, name, _ := strings.Cut(resource, "/")
	if !ok || resource != "root" && (kind != "user" && kind != "role" || name == "") {
		return "", fault.New(fault.InvalidParameter, "Invalid principalArn: %s", *ref)
	}
	p := a.settingPrincipal(*ref)
	if caller != "" && p != caller {
		return "", fault.New(fault.Client, "You must be the root user, or the principal, to use principalArn.")
	}
	return p, nil
}

func (a *API) wireSetting(s state.Setting) *types.Setting {
	known, err := settingOf(types.SettingName(s.Name))
	if err != nil {
		return nil // Not stored by this version.
	}
	who := s.Principal
	if who == "" {
		who = a.rootARN()
	}
	return &types.Setting{Name: known.name, Value: &s.Value, PrincipalArn: &who, Type: known.wireKind()}
}
