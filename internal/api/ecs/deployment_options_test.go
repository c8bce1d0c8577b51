package ecsapi_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/document"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
)

func withOptions(c *ecsapi.Config) {
	c.HookURLs = true
	c.Alarm = func(name string) (ecs.AlarmState, bool) { return ecs.AlarmOK, name == "there" }
}

func pause(stages ...types.DeploymentLifecycleHookStage) types.DeploymentLifecycleHook {
	return types.DeploymentLifecycleHook{TargetType: types.DeploymentLifecycleHookTargetTypePause, LifecycleStages: stages}
}

func TestDeploymentOptions(t *testing.T) {
	f := newFixture(t, withOptions)
	f.cluster()
	f.register()
	given := &types.DeploymentConfiguration{
		DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, ResetOnHealthyTask: aws.Bool(false),
			ThresholdConfiguration: &types.ThresholdConfiguration{Type: types.ThresholdTypeCount, Value: 7}},
		EarlySuccessCriteria: &types.DeploymentEarlySuccessCriteria{Enable: true, HealthyPercent: aws.Int32(100), SourceServiceRevisionCleanup: "DEFERRED"},
		Alarms:               &types.DeploymentAlarms{Enable: true, AlarmNames: []string{"there"}},
		LifecycleHooks: []types.DeploymentLifecycleHook{pause("PRE_SCALE_UP"), {HookTargetArn: aws.String("https://example.com/hook"),
			LifecycleStages: []types.DeploymentLifecycleHookStage{"POST_SCALE_UP"}, HookDetails: document.NewLazyDocument(map[string]any{"a": "b"}),
			TimeoutConfiguration: &types.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: aws.Int32(5), Action: "CONTINUE"}}},
	}
	s := f.service("web", func(in *sdk.CreateServiceInput) { in.DeploymentConfiguration = given })
	c := s.DeploymentConfiguration
	if b := c.DeploymentCircuitBreaker; b.ThresholdConfiguration.Value != 7 || *b.ResetOnHealthyTask || !c.EarlySuccessCriteria.Enable || c.Alarms.AlarmNames[0] != "there" || len(c.LifecycleHooks) != 2 {
		t.Errorf("%+v", c)
	}
	hook := c.LifecycleHooks[1]
	raw, err := hook.HookDetails.MarshalSmithyDocument()
	if err != nil || string(raw) != `{"a":"b"}` || hook.TargetType != types.DeploymentLifecycleHookTargetTypeAwsLambda || *hook.TimeoutConfiguration.TimeoutInMinutes != 5 {
		t.Errorf("%+v, %s, %v", hook, raw, err)
	}
	d := must(f.DescribeServiceDeployments(f.ctx, &sdk.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*s.CurrentServiceDeployment}})).ServiceDeployments[0]
	if d.DeploymentCircuitBreaker.Threshold != 7 || d.Alarms.Status != "MONITORING" {
		t.Errorf("%+v", d)
	}
	// What an update does not give stays, and an empty list takes all hooks away.
	u := must(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), DeploymentConfiguration: &types.DeploymentConfiguration{LifecycleHooks: []types.DeploymentLifecycleHook{}}})).Service
	if len(u.DeploymentConfiguration.LifecycleHooks) != 0 || u.DeploymentConfiguration.Alarms == nil || len(u.Deployments) != 1 {
		t.Errorf("%+v", u)
	}
}

func TestContinueServiceDeployment(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.register()
	arn := f.service("web", func(in *sdk.CreateServiceInput) {
		in.DeploymentConfiguration = &types.DeploymentConfiguration{LifecycleHooks: []types.DeploymentLifecycleHook{pause("PRE_SCALE_UP")}}
	}).CurrentServiceDeployment
	act := func(id, action string) error {
		return only(f.ContinueServiceDeployment(f.ctx, &sdk.ContinueServiceDeploymentInput{ServiceDeploymentArn: arn, HookId: &id, Action: types.DeploymentLifecycleHookAction(action)}))
	}
	status := func() types.DeploymentLifecycleHookDetail {
		return must(f.DescribeServiceDeployments(f.ctx, &sdk.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*arn}})).ServiceDeployments[0].LifecycleHookDetails[0]
	}
	for action, want := range map[string]types.DeploymentLifecycleHookStatus{"": "SUCCEEDED", "CONTINUE": "SUCCEEDED", "ROLLBACK": "FAILED"} {
		f.changeService("web", func(_ *ecs.Service, d *ecs.ServiceDeployment) {
			d.Status, d.Stage = ecs.ServiceDeploymentInProgress, ecs.StagePreScaleUp
			d.Hooks = []ecs.HookRun{{ID: "ecs-pause-1", Stage: ecs.StagePreScaleUp, Status: ecs.HookAwaitingAction, ExpiresAt: 1}}
		})
		if h := status(); h.Status != "AWAITING_ACTION" || *h.HookId != "ecs-pause-1" || h.TargetType != "PAUSE" || h.TimeoutAction != "ROLLBACK" || h.ExpiresAt == nil {
			t.Errorf("%+v", h)
		}
		if err := act("ecs-pause-1", action); err != nil || status().Status != want {
			t.Errorf("%q: %v, %+v", action, err, status())
		}
		if err := act("ecs-pause-1", action); err == nil || err.Error() != "ConflictException: The lifecycle hook is not awaiting an action." {
			t.Errorf("%q once more: %v", action, err)
		}
	}
}

func TestDeploymentOptionsRefused(t *testing.T) {
	f := newFixture(t, withOptions)
	f.cluster()
	f.register()
	arn := f.service("web").CurrentServiceDeployment
	with := func(c types.DeploymentConfiguration) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), DeploymentConfiguration: &c}))
		}
	}
	breaker := func(kind types.ThresholdType, value int32) func(*fixture) error {
		return with(types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, ThresholdConfiguration: &types.ThresholdConfiguration{Type: kind, Value: value}}})
	}
	early := func(percent *int32, cleanup types.ServiceRevisionCleanup) func(*fixture) error {
		return with(types.DeploymentConfiguration{EarlySuccessCriteria: &types.DeploymentEarlySuccessCriteria{Enable: true, HealthyPercent: percent, SourceServiceRevisionCleanup: cleanup}})
	}
	alarms := func(names ...string) func(*fixture) error {
		return with(types.DeploymentConfiguration{Alarms: &types.DeploymentAlarms{Enable: true, AlarmNames: names}})
	}
	hook := func(change func(*types.DeploymentLifecycleHook)) func(*fixture) error {
		h := pause("PRE_SCALE_UP")
		change(&h)
		return with(types.DeploymentConfiguration{LifecycleHooks: []types.DeploymentLifecycleHook{h}})
	}
	goOn := func(arn, id, action string) func(*fixture) error {
		return func(f *fixture) error {
			return only(f.ContinueServiceDeployment(f.ctx, &sdk.ContinueServiceDeploymentInput{ServiceDeploymentArn: &arn, HookId: &id, Action: types.DeploymentLifecycleHookAction(action)}))
		}
	}
	f.refuses(t, []refused{
		{"threshold's type", breaker("X", 1), `InvalidParameterException: Invalid thresholdConfiguration type: "X".`},
		{"threshold of nothing", breaker("COUNT", 0), "InvalidParameterException: The value of thresholdConfiguration must be greater than 0."},
		{"threshold's percentage", breaker("BOUNDED_PERCENT", 101), "InvalidParameterException: The value of thresholdConfiguration must be at most 100 for type BOUNDED_PERCENT."},
		{"early without a percentage", early(nil, "DEFERRED"), "InvalidParameterException: earlySuccessCriteria: healthyPercent and sourceServiceRevisionCleanup must be specified."},
		{"early cleanup", early(aws.Int32(100), "X"), `InvalidParameterException: Invalid sourceServiceRevisionCleanup: "X".`},
		{"early above all", early(aws.Int32(101), "DEFERRED"), "InvalidParameterException: earlySuccessCriteria: healthyPercent must be between 0 and 100."},
		{"early below the minimum", early(aws.Int32(50), "DEFERRED"), "InvalidParameterException: earlySuccessCriteria: healthyPercent must be greater than or equal to minimumHealthyPercent."},
		{"no alarms", alarms(), "InvalidParameterException: Deployment alarms cannot be enabled without alarm names."},
		{"unknown alarms", alarms("there", "x", "y"), "InvalidParameterException: The following alarms do not exist: x, y."},
		{"hook's type", hook(func(h *types.DeploymentLifecycleHook) { h.TargetType = "X" }), `InvalidParameterException: Invalid lifecycle hook targetType: "X".`},
		{"pause with a target", hook(func(h *types.DeploymentLifecycleHook) { h.HookTargetArn = aws.String("x") }), "InvalidParameterException: hookTargetArn cannot be specified for lifecycle hooks of type PAUSE."},
		{"no target", hook(func(h *types.DeploymentLifecycleHook) { h.TargetType = "" }), "InvalidParameterException: hookTargetArn must be specified for lifecycle hooks."},
		{"Lambda", hook(func(h *types.DeploymentLifecycleHook) {
			h.TargetType, h.HookTargetArn = "", aws.String("arn:aws:lambda:x")
		}),
			"UnsupportedFeatureException: A lifecycle hook with the target arn:aws:lambda:x is not supported yet."},
		{"no stages", hook(func(h *types.DeploymentLifecycleHook) { h.LifecycleStages = nil }), "InvalidParameterException: lifecycleStages must be specified for lifecycle hooks."},
		{"stage", hook(func(h *types.DeploymentLifecycleHook) { h.LifecycleStages[0] = "X" }), `InvalidParameterException: Invalid lifecycle stage: "X".`},
		{"traffic", hook(func(h *types.DeploymentLifecycleHook) { h.LifecycleStages[0] = "POST_TEST_TRAFFIC_SHIFT" }),
			"UnsupportedFeatureException: A lifecycle hook at the stage POST_TEST_TRAFFIC_SHIFT is not supported yet."},
		{"timeout", hook(func(h *types.DeploymentLifecycleHook) {
			h.TimeoutConfiguration = &types.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: aws.Int32(0)}
		}), "InvalidParameterException: timeoutInMinutes must be between 1 and 20160."},
		{"timeout's action", hook(func(h *types.DeploymentLifecycleHook) {
			h.TimeoutConfiguration = &types.DeploymentLifecycleHookTimeoutConfiguration{Action: "X"}
		}), `InvalidParameterException: Invalid timeout action: "X".`},
		{"continue nothing", goOn("", "x", ""), "InvalidParameterException: serviceDeploymentArn cannot be empty."},
		{"continue no hook", goOn(*arn, "", ""), "InvalidParameterException: hookId cannot be empty."},
		{"continue an unknown one", goOn(someDeployment, "x", ""), "ServiceDeploymentNotFoundException: Service deployment not found."},
		{"continue an unknown hook", goOn(*arn, "x", ""), "InvalidParameterException: The service deployment has no lifecycle hook with the hookId x."},
		{"continue otherwise", goOn(*arn, "x", "X"), `InvalidParameterException: Invalid action: "X".`},
	})
	none := newFixture(t)
	none.cluster()
	none.register()
	none.service("web")
	none.refuses(t, []refused{
		{"alarms without a source", alarms("there"), "UnsupportedFeatureException: deploymentConfiguration.alarms is not supported yet."},
		{"URL", hook(func(h *types.DeploymentLifecycleHook) { h.TargetType, h.HookTargetArn = "", aws.String("https://x") }),
			"UnsupportedFeatureException: A lifecycle hook with the target https://x is not supported yet."},
	})
}
