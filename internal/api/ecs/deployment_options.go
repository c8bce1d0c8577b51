package ecsapi

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/document"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// Limits of what a deployment's configuration has beside percentages.
const (
	maxHooks        = 20
	maxHookMinutes  = 20160
	maxDeployAlarms = 10
)

// readBreaker reads a circuit breaker.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentCircuitBreaker.html
func readBreaker(in *types.DeploymentCircuitBreaker) (*ecs.DeploymentCircuitBreaker, error) {
	out := &ecs.DeploymentCircuitBreaker{Enable: in.Enable, Rollback: in.Rollback, KeepCount: in.ResetOnHealthyTask != nil && !*in.ResetOnHealthyTask}
	t := in.ThresholdConfiguration
	switch {
	case out.Rollback && !out.Enable:
		return nil, fault.New(fault.InvalidParameter, "Invalid deployment circuit breaker: rollback cannot be enabled while the circuit breaker is disabled.")
	case t == nil:
		return out, nil
	case !known(t.Type):
		return nil, fault.New(fault.InvalidParameter, "Invalid thresholdConfiguration type: %q.", string(t.Type))
	case t.Value < 1:
		return nil, fault.New(fault.InvalidParameter, "The value of thresholdConfiguration must be greater than 0.")
	case t.Type != types.ThresholdTypeCount && t.Value > 100:
		return nil, fault.New(fault.InvalidParameter, "The value of thresholdConfiguration must be at most 100 for type %s.", string(t.Type))
	}
	out.ThresholdType, out.ThresholdValue = string(t.Type), t.Value
	return out, nil
}

// readEarlySuccess reads when a deployment is done before all of its tasks are there; c has the percentages that hold.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
func readEarlySuccess(in *types.DeploymentEarlySuccessCriteria, c *ecs.DeploymentConfiguration) (*ecs.EarlySuccess, error) {
	if !in.Enable {
		return &ecs.EarlySuccess{}, nil
	}
	switch {
	case in.HealthyPercent == nil || in.SourceServiceRevisionCleanup == "":
		return nil, fault.New(fault.InvalidParameter, "earlySuccessCriteria: healthyPercent and sourceServiceRevisionCleanup must be specified.")
	case !known(in.SourceServiceRevisionCleanup):
		return nil, fault.New(fault.InvalidParameter, "Invalid sourceServiceRevisionCleanup: %q.", string(in.SourceServiceRevisionCleanup))
	case *in.HealthyPercent < 0 || *in.HealthyPercent > 100:
		return nil, fault.New(fault.InvalidParameter, "earlySuccessCriteria: healthyPercent must be between 0 and 100.")
	case *in.HealthyPercent < c.MinimumHealthyPercent:
		return nil, fault.New(fault.InvalidParameter, "earlySuccessCriteria: healthyPercent must be greater than or equal to minimumHealthyPercent.")
	}
	return &ecs.EarlySuccess{Enable: true, HealthyPercent: *in.HealthyPercent, Cleanup: string(in.SourceServiceRevisionCleanup)}, nil
}

// readAlarms reads which alarms end a deployment. There must be all of them.
func (a *API) readAlarms(in *types.DeploymentAlarms) (*ecs.DeploymentAlarms, error) {
	out := &ecs.DeploymentAlarms{AlarmNames: in.AlarmNames, Enable: in.Enable, Rollback: in.Rollback}
	switch {
	case !in.Enable:
		return out, nil
	case a.Alarm == nil:
		return nil, fault.New(fault.Unsupported, notYet, "deploymentConfiguration.alarms")
	case len(in.AlarmNames) == 0:
		return nil, fault.New(fault.InvalidParameter, "Deployment alarms cannot be enabled without alarm names.")
	case len(in.AlarmNames) > maxDeployAlarms:
		return nil, fault.New(fault.InvalidParameter, "Deployment alarms cannot contain more than %d names.", maxDeployAlarms)
	}
	var missing []string
	for _, name := range in.AlarmNames {
		if _, ok := a.Alarm(name); !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.InvalidParameter, "The following alarms do not exist: %s.", strings.Join(missing, ", "))
	}
	return out, nil
}

// hookStages are those of a rolling deployment at which a hook may be.
var hookStages = map[types.DeploymentLifecycleHookStage]bool{
	types.DeploymentLifecycleHookStageReconcileService: true, types.DeploymentLifecycleHookStagePreScaleUp: true, types.DeploymentLifecycleHookStagePostScaleUp: true,
}

func (a *API) readHooks(in []types.DeploymentLifecycleHook) ([]ecs.LifecycleHook, error) {
	if len(in) > maxHooks {
		return nil, fault.New(fault.InvalidParameter, "lifecycleHooks cannot contain more than %d entries.", maxHooks)
	}
	var out []ecs.LifecycleHook
	for i := range in {
		h, err := a.readHook(&in[i])
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// readHook reads a life-cycle hook. Where AWS calls a Lambda function, a URL is called if the installation allows that.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHook.html
func (a *API) readHook(in *types.DeploymentLifecycleHook) (ecs.LifecycleHook, error) {
	h := ecs.LifecycleHook{TargetType: string(in.TargetType), TargetARN: str(in.HookTargetArn), RoleARN: str(in.RoleArn), TimeoutAction: ecs.HookRollback}
	if h.TargetType == "" {
		h.TargetType = ecs.HookLambda
	}
	isURL := strings.HasPrefix(h.TargetARN, "http://") || strings.HasPrefix(h.TargetARN, "https://")
	switch {
	case in.TargetType != "" && !known(in.TargetType):
		return h, fault.New(fault.InvalidParameter, "Invalid lifecycle hook targetType: %q.", string(in.TargetType))
	case h.TargetType == ecs.HookPause && h.TargetARN != "":
		return h, fault.New(fault.InvalidParameter, "hookTargetArn cannot be specified for lifecycle hooks of type PAUSE.")
	case h.TargetType == ecs.HookLambda && h.TargetARN == "":
		return h, fault.New(fault.InvalidParameter, "hookTargetArn must be specified for lifecycle hooks.")
	case h.TargetType == ecs.HookLambda && (!isURL || !a.HookURLs):
		return h, fault.New(fault.Unsupported, notYet, "A lifecycle hook with the target "+h.TargetARN)
	case len(in.LifecycleStages) == 0:
		return h, fault.New(fault.InvalidParameter, "lifecycleStages must be specified for lifecycle hooks.")
	}
	for _, s := range in.LifecycleStages {
		if !known(s) {
			return h, fault.New(fault.InvalidParameter, "Invalid lifecycle stage: %q.", string(s))
		}
		if !hookStages[s] {
			return h, fault.New(fault.Unsupported, notYet, "A lifecycle hook at the stage "+string(s))
		}
		h.Stages = append(h.Stages, string(s))
	}
	if in.HookDetails != nil {
		raw, err := in.HookDetails.MarshalSmithyDocument()
		if err != nil {
			return h, fault.New(fault.InvalidParameter, "hookDetails is not a JSON value.")
		}
		h.Details = string(raw)
	}
	return h, readHookTimeout(in.TimeoutConfiguration, &h)
}

func readHookTimeout(in *types.DeploymentLifecycleHookTimeoutConfiguration, h *ecs.LifecycleHook) error {
	switch {
	case in == nil:
		return nil
	case in.Action != "" && !known(in.Action):
		return fault.New(fault.InvalidParameter, "Invalid timeout action: %q.", string(in.Action))
	case in.TimeoutInMinutes != nil && (*in.TimeoutInMinutes < 1 || *in.TimeoutInMinutes > maxHookMinutes):
		return fault.New(fault.InvalidParameter, "timeoutInMinutes must be between 1 and %d.", maxHookMinutes)
	}
	if in.Action != "" {
		h.TimeoutAction = string(in.Action)
	}
	if in.TimeoutInMinutes != nil {
		h.TimeoutMinutes = *in.TimeoutInMinutes
	}
	return nil
}

func wireHooks(hooks []ecs.LifecycleHook) []types.DeploymentLifecycleHook {
	var out []types.DeploymentLifecycleHook
	for i := range hooks {
		h := &hooks[i]
		w := types.DeploymentLifecycleHook{
			TargetType: types.DeploymentLifecycleHookTargetType(h.TargetType), HookTargetArn: ptr(h.TargetARN), RoleArn: ptr(h.RoleARN), HookDetails: wireDetails(h.Details),
			TimeoutConfiguration: &types.DeploymentLifecycleHookTimeoutConfiguration{Action: types.DeploymentLifecycleHookAction(h.TimeoutAction)},
		}
		if h.TimeoutMinutes != 0 {
			w.TimeoutConfiguration.TimeoutInMinutes = &h.TimeoutMinutes
		}
		for _, s := range h.Stages {
			w.LifecycleStages = append(w.LifecycleStages, types.DeploymentLifecycleHookStage(s))
		}
		out = append(out, w)
	}
	return out
}

// wireDetails gives stored JSON as a document.
func wireDetails(stored string) document.Interface {
	var v any
	if stored == "" || json.Unmarshal([]byte(stored), &v) != nil {
		return nil
	}
	return document.NewLazyDocument(v)
}

func wireDeploymentConfiguration(c *ecs.DeploymentConfiguration) *types.DeploymentConfiguration {
	out := &types.DeploymentConfiguration{
		MinimumHealthyPercent: &c.MinimumHealthyPercent, MaximumPercent: &c.MaximumPercent, Strategy: types.DeploymentStrategyRolling, BakeTimeInMinutes: &c.BakeTimeInMinutes,
		LifecycleHooks: wireHooks(c.Hooks),
	}
	if b := c.CircuitBreaker; b != nil {
		w := &types.DeploymentCircuitBreaker{Enable: b.Enable, Rollback: b.Rollback}
		if b.KeepCount {
			w.ResetOnHealthyTask = new(bool)
		}
		if b.ThresholdType != "" {
			w.ThresholdConfiguration = &types.ThresholdConfiguration{Type: types.ThresholdType(b.ThresholdType), Value: b.ThresholdValue}
		}
		out.DeploymentCircuitBreaker = w
	}
	if e := c.EarlySuccess; e != nil {
		out.EarlySuccessCriteria = &types.DeploymentEarlySuccessCriteria{Enable: e.Enable}
		if e.Enable {
			out.EarlySuccessCriteria.HealthyPercent, out.EarlySuccessCriteria.SourceServiceRevisionCleanup = &e.HealthyPercent, types.ServiceRevisionCleanup(e.Cleanup)
		}
	}
	if m := c.Alarms; m != nil {
		out.Alarms = &types.DeploymentAlarms{AlarmNames: m.AlarmNames, Enable: m.Enable, Rollback: m.Rollback}
	}
	return out
}
