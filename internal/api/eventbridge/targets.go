package eventbridge

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/transform"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// mostTargets is how many targets a rule can have.
const mostTargets = 5

// PutTargets adds targets to a rule, or replaces those of the same ids.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutTargets.html
func (a *API) PutTargets(ctx context.Context, in *sdk.PutTargetsInput) (*sdk.PutTargetsOutput, error) {
	var c checks
	bus, name := a.busOf(&c, in.EventBusName), c.Text(in.Rule, "rule", nameForm)
	c.list(len(in.Targets), "targets", 1, 100)
	if err := c.err(); err != nil {
		return nil, err
	}
	given := make([]state.EventTarget, len(in.Targets))
	for i := range in.Targets {
		var err error
		if given[i], err = a.readTarget(&in.Targets[i]); err != nil {
			return nil, err
		}
	}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := rule(&tx.Tables, bus, name)
		if err != nil {
			return err
		}
		r := *old
		r.Targets = slices.Clone(old.Targets)
		for i := range given {
			if kind, _ := events.KindOf(a.Place, given[i].ARN); kind == events.TargetHTTP && events.DestinationOfARN(a.Place, &tx.Tables, given[i].ARN) == nil {
				return fault.New(fault.Validation, "API Destination %s does not exist.", given[i].ARN)
			}
			if t := r.Target(given[i].ID); t != nil {
				*t = given[i]
			} else {
				r.Targets = append(r.Targets, given[i])
			}
		}
		if len(r.Targets) > mostTargets {
			return fault.New(fault.LimitExceeded, "The requested resource exceeds the maximum number allowed.")
		}
		tx.EventRules.Put(&r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.PutTargetsOutput{FailedEntries: []types.PutTargetsResultEntry{}}, nil
}

// readTarget checks a target.
func (a *API) readTarget(in *types.Target) (state.EventTarget, error) {
	var c checks
	t := state.EventTarget{
		ID: c.Text(in.Id, "targets.member.id", nameForm), ARN: c.Text(in.Arn, "targets.member.arn", arnForm),
		RoleARN: c.Optional(in.RoleArn, "targets.member.roleArn", arnForm), Input: in.Input, InputPath: in.InputPath,
	}
	c.Optional(in.Input, "targets.member.input", constraint.Form{Max: 8192})
	c.Optional(in.InputPath, "targets.member.inputPath", constraint.Form{Max: 256})
	if p := in.RetryPolicy; p != nil {
		c.number(p.MaximumEventAgeInSeconds, "targets.member.retryPolicy.maximumEventAgeInSeconds", 60, 86400)
		c.number(p.MaximumRetryAttempts, "targets.member.retryPolicy.maximumRetryAttempts", 0, 185)
		t.MaxAgeSeconds, t.MaxRetries = p.MaximumEventAgeInSeconds, p.MaximumRetryAttempts
	}
	err := first(c.err(), unsupported(in.AppSyncParameters != nil, "AppSyncParameters"), unsupported(in.BatchParameters != nil, "BatchParameters"),
		unsupported(in.DeadLetterConfig != nil, "DeadLetterConfig"), unsupported(in.KinesisParameters != nil, "KinesisParameters"),
		unsupported(in.RedshiftDataParameters != nil, "RedshiftDataParameters"), unsupported(in.RunCommandParameters != nil, "RunCommandParameters"),
		unsupported(in.SageMakerPipelineParameters != nil, "SageMakerPipelineParameters"), unsupported(in.SqsParameters != nil, "SqsParameters"),
		readInput(&t, in), a.readKind(&t, in))
	return t, err
}

// readInput checks what a target is sent.
func readInput(t *state.EventTarget, in *types.Target) error {
	n := 0
	for _, given := range []bool{in.Input != nil, in.InputPath != nil, in.InputTransformer != nil} {
		if given {
			n++
		}
	}
	if n > 1 {
		return fault.New(fault.Validation, "Only one of Input, InputPath, or InputTransformer must be provided for target %s.", t.ID)
	}
	if in.Input != nil && !json.Valid([]byte(*in.Input)) {
		return fault.New(fault.Validation, "JSON syntax error in input for target %s", t.ID)
	}
	if in.InputPath != nil {
		if _, err := transform.ParsePath(*in.InputPath); err != nil {
			return fault.New(fault.Validation, "Parameter InputPath is not valid for target %s: %v.", t.ID, err)
		}
	}
	x := in.InputTransformer
	if x == nil {
		return nil
	}
	var c checks
	template := c.Text(x.InputTemplate, "targets.member.inputTransformer.inputTemplate", constraint.Form{Min: 1, Max: 8192})
	c.list(len(x.InputPathsMap), "targets.member.inputTransformer.inputPathsMap", 0, 100)
	if err := c.err(); err != nil {
		return err
	}
	for name, path := range x.InputPathsMap {
		if strings.HasPrefix(strings.ToUpper(name), "AWS") {
			return fault.New(fault.Validation, "InputPathsMap for target %s has the name %s: names that begin with AWS are reserved.", t.ID, name)
		}
		if _, err := transform.ParsePath(path); err != nil {
			return fault.New(fault.Validation, "InputPathsMap for target %s has no valid path for %s: %v.", t.ID, name, err)
		}
	}
	t.Transformer = &state.EventTransformer{Paths: x.InputPathsMap, Template: template}
	return nil
}

// readKind checks what a target is, and the parameters that go with it.
func (a *API) readKind(t *state.EventTarget, in *types.Target) error {
	kind, _ := events.KindOf(a.Place, t.ARN)
	switch {
	case !strings.HasPrefix(t.ARN, "arn:"):
		return fault.New(fault.Validation, "Parameter Arn is not valid. Reason: Provided Arn is not in correct format.")
	case kind == events.TargetUnknown:
		return fault.New(fault.Unsupported, "The target %s is not supported: targets are log groups, ECS clusters and API destinations of this account and region.", t.ARN)
	case kind != events.TargetTask && in.EcsParameters != nil:
		return fault.New(fault.Validation, "EcsParameters is not supported for target %s.", t.ID)
	case kind != events.TargetHTTP && in.HttpParameters != nil:
		return fault.New(fault.Validation, "HttpParameters is not supported for target %s.", t.ID)
	case kind == events.TargetTask && in.EcsParameters == nil:
		return fault.New(fault.Validation, "EcsParameters is required for target %s.", t.ID)
	case kind == events.TargetTask:
		return readTask(t, in.EcsParameters)
	}
	if h := in.HttpParameters; h != nil {
		t.HTTP = &state.EventHTTP{Headers: h.HeaderParameters, Query: h.QueryStringParameters, Path: h.PathParameterValues}
		return checkHeaders(h.HeaderParameters)
	}
	return nil
}

// readTask checks the task that a target starts as far as it can be without the state; RunTask does the rest.
func readTask(t *state.EventTarget, in *types.EcsParameters) error {
	var c checks
	task := mirror.Of[state.EventTask](in)
	task.ReferenceID = c.Optional(in.ReferenceId, "targets.member.ecsParameters.referenceId", constraint.Form{Max: 1024})
	task.Definition, task.Count = c.Text(in.TaskDefinitionArn, "targets.member.ecsParameters.taskDefinitionArn", arnForm), 1
	c.number(in.TaskCount, "targets.member.ecsParameters.taskCount", 1, 10)
	c.Enum(task.LaunchType, "targets.member.ecsParameters.launchType", "EC2", "FARGATE", "EXTERNAL")
	c.Enum(task.PropagateTags, "targets.member.ecsParameters.propagateTags", "TASK_DEFINITION")
	if err := c.err(); err != nil {
		return err
	}
	if in.TaskCount != nil {
		task.Count = *in.TaskCount
	}
	var err error
	if task.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return err
	}
	t.Task = &task
	return nil
}

// RemoveTargets takes targets from a rule. What has not been delivered to them is given up.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RemoveTargets.html
func (a *API) RemoveTargets(ctx context.Context, in *sdk.RemoveTargetsInput) (*sdk.RemoveTargetsOutput, error) {
	var c checks
	bus, name := a.busOf(&c, in.EventBusName), c.Text(in.Rule, "rule", nameForm)
	c.list(len(in.Ids), "ids", 1, 100)
	if err := c.err(); err != nil {
		return nil, err
	}
	out := &sdk.RemoveTargetsOutput{}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := rule(&tx.Tables, bus, name)
		if err != nil {
			return err
		}
		r := *old
		out.FailedEntries = []types.RemoveTargetsResultEntry{}
		for _, id := range in.Ids {
			if old.Target(id) == nil {
				out.FailedEntries = append(out.FailedEntries, types.RemoveTargetsResultEntry{TargetId: &id, ErrorCode: ptr("ResourceNotFoundException"),
					ErrorMessage: ptr("Rule " + name + " has no target " + id + ".")})
			}
		}
		r.Targets = slices.DeleteFunc(slices.Clone(old.Targets), func(t state.EventTarget) bool { return slices.Contains(in.Ids, t.ID) })
		tx.EventRules.Put(&r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.FailedEntryCount = int32(len(out.FailedEntries))
	return out, nil
}

// ListTargetsByRule lists the targets of a rule by id.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListTargetsByRule.html
func (a *API) ListTargetsByRule(_ context.Context, in *sdk.ListTargetsByRuleInput) (*sdk.ListTargetsByRuleOutput, error) {
	var c checks
	bus, name, p := a.busOf(&c, in.EventBusName), c.Text(in.Rule, "rule", nameForm), pageOf(&c, in.Limit, in.NextToken)
	if err := c.err(); err != nil {
		return nil, err
	}
	r, err := rule(a.tables(), bus, name)
	if err != nil {
		return nil, err
	}
	targets := slices.SortedFunc(slices.Values(r.Targets), func(a, b state.EventTarget) int { return strings.Compare(a.ID, b.ID) })
	out := &sdk.ListTargetsByRuleOutput{}
	out.Targets, out.NextToken = cut(p, slices.Values(targets), func(t state.EventTarget) string { return t.ID },
		func(state.EventTarget) bool { return true }, wireTarget)
	return out, nil
}

func wireTarget(t state.EventTarget) types.Target {
	w := types.Target{Id: &t.ID, Arn: &t.ARN, RoleArn: ptr(t.RoleARN), Input: t.Input, InputPath: t.InputPath}
	if x := t.Transformer; x != nil {
		w.InputTransformer = &types.InputTransformer{InputPathsMap: x.Paths, InputTemplate: &x.Template}
	}
	if h := t.HTTP; h != nil {
		w.HttpParameters = &types.HttpParameters{HeaderParameters: h.Headers, QueryStringParameters: h.Query, PathParameterValues: h.Path}
	}
	if t.MaxAgeSeconds != nil || t.MaxRetries != nil {
		w.RetryPolicy = &types.RetryPolicy{MaximumEventAgeInSeconds: t.MaxAgeSeconds, MaximumRetryAttempts: t.MaxRetries}
	}
	if t.Task != nil {
		task := mirror.Of[types.EcsParameters](t.Task)
		task.TaskDefinitionArn, task.TaskCount, task.ReferenceId = &t.Task.Definition, &t.Task.Count, ptr(t.Task.ReferenceID)
		w.EcsParameters = &task
	}
	return w
}

// ListRuleNamesByTarget lists the rules of a bus that have a target.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRuleNamesByTarget.html
func (a *API) ListRuleNamesByTarget(_ context.Context, in *sdk.ListRuleNamesByTargetInput) (*sdk.ListRuleNamesByTargetOutput, error) {
	var c checks
	bus, arn, p := a.busOf(&c, in.EventBusName), c.Text(in.TargetArn, "targetArn", arnForm), pageOf(&c, in.Limit, in.NextToken)
	if err := c.err(); err != nil {
		return nil, err
	}
	t := a.tables()
	if err := checkBus(t, bus); err != nil {
		return nil, err
	}
	out := &sdk.ListRuleNamesByTargetOutput{}
	name := func(r *state.EventRule) string { return r.Name }
	out.RuleNames, out.NextToken = cut(p, t.EventRules.Under(bus), name, func(r *state.EventRule) bool {
		return slices.ContainsFunc(r.Targets, func(t state.EventTarget) bool { return t.ARN == arn })
	}, name)
	return out, nil
}
