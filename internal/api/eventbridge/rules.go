package eventbridge

import (
	"context"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/pattern"
	"roadstead.dev/roadstead/internal/events/schedule"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Quotas. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const (
	mostRules   = 300
	mostPattern = 4096
)

// parsePattern reads a pattern, or refuses it as EventBridge does.
func parsePattern(text string) (*pattern.Pattern, error) {
	p, err := pattern.Parse(text)
	if err != nil {
		return nil, fault.New(invalidPattern, "Event pattern is not valid. Reason: %v", err)
	}
	return p, nil
}

// PutRule makes a rule, or changes one: what is not given becomes empty, targets and tags stay.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
func (a *API) PutRule(ctx context.Context, in *sdk.PutRuleInput) (*sdk.PutRuleOutput, error) {
	var c checks
	r := &state.EventRule{
		Bus: a.busOf(&c, in.EventBusName), Name: c.Text(in.Name, "name", nameForm),
		Description: c.Optional(in.Description, "description", descriptionForm), RoleARN: c.Optional(in.RoleArn, "roleArn", arnForm),
		Pattern: c.Optional(in.EventPattern, "eventPattern", patternForm), Schedule: c.Optional(in.ScheduleExpression, "scheduleExpression", scheduleForm),
		State: string(in.State), Created: a.now(),
	}
	c.Enum(r.State, "state", "ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
	if err := c.err(); err != nil {
		return nil, err
	}
	switch {
	case r.State == "":
		r.State = state.RuleEnabled
	case r.State != state.RuleEnabled && r.State != state.RuleDisabled:
		return nil, fault.New(fault.Unsupported, "The state %s is not supported: there is no CloudTrail.", r.State)
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := a.checkRule(r); err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if err := checkBus(&tx.Tables, r.Bus); err != nil {
			return err
		}
		if old := tx.EventRules.Get(r.Key()); old != nil {
			r.Targets, r.Created, r.Tags = old.Targets, old.Created, old.Tags
			if old.Schedule == r.Schedule && old.State == r.State {
				r.NextAt = old.NextAt
			}
		} else {
			r.Tags = tags
			if n := len(slices.Collect(tx.EventRules.Under(r.Bus))); n >= mostRules {
				return fault.New(fault.LimitExceeded, "The requested resource exceeds the maximum number allowed.")
			}
		}
		tx.EventRules.Put(r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	arn := events.RuleARN(a.Place, r)
	return &sdk.PutRuleOutput{RuleArn: &arn}, nil
}

// checkRule checks a rule's pattern and schedule, and says when it is due.
func (a *API) checkRule(r *state.EventRule) error {
	if r.Pattern == "" && r.Schedule == "" {
		return fault.New(fault.Validation, "Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if r.Pattern != "" {
		if _, err := parsePattern(r.Pattern); err != nil {
			return err
		}
	}
	if r.Schedule == "" {
		return nil
	}
	if r.Bus != events.DefaultBus {
		return fault.New(fault.Validation, "ScheduleExpression is supported only on the default event bus.")
	}
	if _, err := schedule.Parse(r.Schedule); err != nil {
		return fault.New(fault.Validation, "Parameter ScheduleExpression is not valid.")
	}
	r.NextAt = a.dueOf(r)
	return nil
}

// dueOf is when a rule is due next; 0 is never.
func (a *API) dueOf(r *state.EventRule) ecs.Millis {
	if r.Schedule == "" || r.State == state.RuleDisabled {
		return 0
	}
	s, err := schedule.Parse(r.Schedule)
	if err != nil {
		return 0 // It was checked when it was put.
	}
	if t := s.Next(a.Now()); !t.IsZero() {
		return ecs.MillisOf(t)
	}
	return 0
}

// DescribeRule describes a rule.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeRule.html
func (a *API) DescribeRule(_ context.Context, in *sdk.DescribeRuleInput) (*sdk.DescribeRuleOutput, error) {
	bus, name, err := a.ruleName(in.EventBusName, in.Name)
	if err != nil {
		return nil, err
	}
	r, err := rule(a.tables(), bus, name)
	if err != nil {
		return nil, err
	}
	w := a.wireRule(r)
	return &sdk.DescribeRuleOutput{
		Arn: w.Arn, CreatedBy: &a.Place.Account, Description: w.Description, EventBusName: w.EventBusName, EventPattern: w.EventPattern, Name: w.Name,
		RoleArn: w.RoleArn, ScheduleExpression: w.ScheduleExpression, State: w.State,
	}, nil
}

func (a *API) ruleName(bus, name *string) (string, string, error) {
	var c checks
	b, n := a.busOf(&c, bus), c.Text(name, "name", nameForm)
	return b, n, c.err()
}

func (a *API) wireRule(r *state.EventRule) types.Rule {
	arn := events.RuleARN(a.Place, r)
	return types.Rule{
		Arn: &arn, Description: ptr(r.Description), EventBusName: &r.Bus, EventPattern: ptr(r.Pattern), Name: &r.Name, RoleArn: ptr(r.RoleARN),
		ScheduleExpression: ptr(r.Schedule), State: types.RuleState(r.State),
	}
}

// ListRules lists the rules of a bus by name.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRules.html
func (a *API) ListRules(_ context.Context, in *sdk.ListRulesInput) (*sdk.ListRulesOutput, error) {
	var c checks
	bus, prefix, p := a.busOf(&c, in.EventBusName), c.Optional(in.NamePrefix, "namePrefix", nameForm), pageOf(&c, in.Limit, in.NextToken)
	if err := c.err(); err != nil {
		return nil, err
	}
	t := a.tables()
	if err := checkBus(t, bus); err != nil {
		return nil, err
	}
	out := &sdk.ListRulesOutput{}
	out.Rules, out.NextToken = cut(p, t.EventRules.Under(bus), func(r *state.EventRule) string { return r.Name },
		func(r *state.EventRule) bool { return strings.HasPrefix(r.Name, prefix) }, a.wireRule)
	return out, nil
}

// DeleteRule deletes a rule that has no targets. One that is not there is deleted already.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteRule.html
func (a *API) DeleteRule(ctx context.Context, in *sdk.DeleteRuleInput) (*sdk.DeleteRuleOutput, error) {
	bus, name, err := a.ruleName(in.EventBusName, in.Name)
	if err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if err := checkBus(&tx.Tables, bus); err != nil {
			return err
		}
		r := tx.EventRules.Get((&state.EventRule{Bus: bus, Name: name}).Key())
		if r == nil {
			return nil
		}
		if len(r.Targets) > 0 {
			return fault.New(fault.Validation, "Rule can't be deleted since it has targets.")
		}
		tx.EventRules.Delete(r.Key())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteRuleOutput{}, nil
}

// EnableRule lets a rule match again. A schedule begins anew.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_EnableRule.html
func (a *API) EnableRule(ctx context.Context, in *sdk.EnableRuleInput) (*sdk.EnableRuleOutput, error) {
	if err := a.setState(ctx, in.EventBusName, in.Name, state.RuleEnabled); err != nil {
		return nil, err
	}
	return &sdk.EnableRuleOutput{}, nil
}

// DisableRule keeps a rule from matching.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DisableRule.html
func (a *API) DisableRule(ctx context.Context, in *sdk.DisableRuleInput) (*sdk.DisableRuleOutput, error) {
	if err := a.setState(ctx, in.EventBusName, in.Name, state.RuleDisabled); err != nil {
		return nil, err
	}
	return &sdk.DisableRuleOutput{}, nil
}

func (a *API) setState(ctx context.Context, bus, name *string, to string) error {
	b, n, err := a.ruleName(bus, name)
	if err != nil {
		return err
	}
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := rule(&tx.Tables, b, n)
		if err != nil || old.State == to {
			return err
		}
		r := *old
		r.State = to
		r.NextAt = a.dueOf(&r)
		tx.EventRules.Put(&r)
		return nil
	})
}
