package eventbridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"roadstead.dev/roadstead/internal/api/eventbridge"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

const (
	logGroup = "arn:aws:logs:us-east-1:000000000000:log-group:/g"
	cluster  = "arn:aws:ecs:us-east-1:000000000000:cluster/default"
)

type fixture struct {
	*eventbridge.API
	store *state.Store
	now   time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	place := ecs.Place{Account: "000000000000", Region: "us-east-1"}
	outbox := events.NewOutbox(place, nil)
	store, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited), Outbox: outbox.Note})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = store.Run(ctx) }() // Its error is ctx's.
	t.Cleanup(func() { cancel(); <-done })
	f := &fixture{store: store, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.API, err = eventbridge.New(eventbridge.Config{Store: store, Outbox: outbox, Keeper: secrets.New(), Place: place, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func s(v string) *string { return &v }

func (f *fixture) rule(t *testing.T, name string) {
	t.Helper()
	must(f.PutRule(t.Context(), &sdk.PutRuleInput{Name: &name, EventPattern: s(`{"source":["a"]}`)}))
}

func TestRules(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	out := must(f.PutRule(ctx, &sdk.PutRuleInput{Name: s("r"), EventPattern: s(`{"source":["a"]}`), Description: s("d"), Tags: []types.Tag{{Key: s("k"), Value: s("v")}}}))
	if *out.RuleArn != "arn:aws:events:us-east-1:000000000000:rule/r" {
		t.Errorf("%s", *out.RuleArn)
	}
	d := must(f.DescribeRule(ctx, &sdk.DescribeRuleInput{Name: s("r")}))
	if d.State != types.RuleStateEnabled || *d.EventPattern != `{"source":["a"]}` || *d.Description != "d" || *d.EventBusName != "default" {
		t.Errorf("%+v", d)
	}
	must(f.PutTargets(ctx, &sdk.PutTargetsInput{Rule: s("r"), Targets: []types.Target{{Id: s("1"), Arn: s(logGroup)}}}))
	must(f.PutRule(ctx, &sdk.PutRuleInput{Name: s("r"), ScheduleExpression: s("rate(1 hour)"), State: types.RuleStateDisabled}))
	d = must(f.DescribeRule(ctx, &sdk.DescribeRuleInput{Name: s("r")}))
	if d.EventPattern != nil || d.Description != nil || d.State != types.RuleStateDisabled || len(must(f.ListTargetsByRule(ctx, &sdk.ListTargetsByRuleInput{Rule: s("r")})).Targets) != 1 {
		t.Errorf("put again: %+v", d)
	}
	next := func() ecs.Millis { return f.store.View().EventRules.Get("default/r").NextAt }
	if next() != 0 {
		t.Errorf("a disabled rule is due at %d", next())
	}
	must(f.EnableRule(ctx, &sdk.EnableRuleInput{Name: s("r")}))
	if next() != ecs.MillisOf(f.now.Add(time.Hour)) {
		t.Errorf("due at %d", next())
	}
	f.now = f.now.Add(time.Minute)
	must(f.PutRule(ctx, &sdk.PutRuleInput{Name: s("r"), ScheduleExpression: s("rate(1 hour)"), Description: s("else")}))
	if next() != ecs.MillisOf(f.now.Add(59*time.Minute)) {
		t.Errorf("a rule that is put as it is begins anew: %d", next())
	}
	must(f.DisableRule(ctx, &sdk.DisableRuleInput{Name: s("r")}))
	tags := must(f.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceARN: out.RuleArn})).Tags
	if len(tags) != 1 || *tags[0].Value != "v" {
		t.Errorf("%+v", tags)
	}
	must(f.TagResource(ctx, &sdk.TagResourceInput{ResourceARN: out.RuleArn, Tags: []types.Tag{{Key: s("k"), Value: s("w")}, {Key: s("l"), Value: s("")}}}))
	must(f.UntagResource(ctx, &sdk.UntagResourceInput{ResourceARN: out.RuleArn, TagKeys: []string{"l"}}))
	if tags = must(f.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceARN: out.RuleArn})).Tags; len(tags) != 1 || *tags[0].Value != "w" {
		t.Errorf("%+v", tags)
	}
	must(f.RemoveTargets(ctx, &sdk.RemoveTargetsInput{Rule: s("r"), Ids: []string{"1"}}))
	must(f.DeleteRule(ctx, &sdk.DeleteRuleInput{Name: s("r")}))
	must(f.DeleteRule(ctx, &sdk.DeleteRuleInput{Name: s("r")}))
	if _, err := f.DescribeRule(ctx, &sdk.DescribeRuleInput{Name: s("r")}); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("%v", err)
	}
}

func TestPages(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	for i := range 5 {
		f.rule(t, fmt.Sprintf("r%d", i))
	}
	f.rule(t, "other")
	var got []string
	in := &sdk.ListRulesInput{NamePrefix: s("r"), Limit: aws.Int32(2)}
	for pages := 0; ; pages++ {
		out := must(f.ListRules(ctx, in))
		for _, r := range out.Rules {
			got = append(got, *r.Name)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
	}
	if d := cmp.Diff([]string{"r0", "r1", "r2", "r3", "r4"}, got); d != "" {
		t.Error(d)
	}
}

// TestTargets: what is put is given back, and a target of the same id is replaced.
func TestTargets(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	f.rule(t, "r")
	c := must(f.CreateConnection(ctx, basic("c")))
	d := must(f.CreateApiDestination(ctx, &sdk.CreateApiDestinationInput{Name: s("d"), ConnectionArn: c.ConnectionArn, HttpMethod: "POST", InvocationEndpoint: s("http://127.0.0.1:1/*")}))
	want := []types.Target{
		{Id: s("a"), Arn: s(logGroup), InputPath: s("$.detail")},
		{Id: s("b"), Arn: d.ApiDestinationArn, RoleArn: s("arn:aws:iam::000000000000:role/r"), HttpParameters: &types.HttpParameters{HeaderParameters: map[string]string{"X-A": "1"},
			QueryStringParameters: map[string]string{"q": "2"}, PathParameterValues: []string{"p"}}, RetryPolicy: &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(60), MaximumRetryAttempts: aws.Int32(0)},
			InputTransformer: &types.InputTransformer{InputPathsMap: map[string]string{"x": "$.detail.x"}, InputTemplate: s(`{"x":<x>}`)}},
		{Id: s("c"), Arn: s(cluster), Input: s(`{"containerOverrides":[]}`), EcsParameters: &types.EcsParameters{TaskDefinitionArn: s("f:1"), TaskCount: aws.Int32(2), LaunchType: "FARGATE",
			Group: s("g"), PlatformVersion: s("1.4.0"), ReferenceId: s("ref"), EnableECSManagedTags: true, EnableExecuteCommand: true, PropagateTags: "TASK_DEFINITION",
			NetworkConfiguration:     &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"}, AssignPublicIp: "ENABLED"}},
			CapacityProviderStrategy: []types.CapacityProviderStrategyItem{{CapacityProvider: s("p"), Base: 1, Weight: 2}},
			PlacementConstraints:     []types.PlacementConstraint{{Type: "memberOf", Expression: s("e")}}, PlacementStrategy: []types.PlacementStrategy{{Type: "spread", Field: s("f")}},
			Tags: []types.Tag{{Key: s("k"), Value: s("v")}}}},
	}
	must(f.PutTargets(ctx, &sdk.PutTargetsInput{Rule: s("r"), Targets: append([]types.Target{{Id: s("a"), Arn: s(cluster), EcsParameters: &types.EcsParameters{TaskDefinitionArn: s("x")}}}, want[1:]...)}))
	must(f.PutTargets(ctx, &sdk.PutTargetsInput{Rule: s("r"), Targets: want[:1]}))
	got := must(f.ListTargetsByRule(ctx, &sdk.ListTargetsByRuleInput{Rule: s("r")}))
	if d := cmp.Diff(want, got.Targets, cmpopts.IgnoreUnexported(types.Target{}, types.HttpParameters{}, types.RetryPolicy{}, types.InputTransformer{}, types.EcsParameters{},
		types.NetworkConfiguration{}, types.AwsVpcConfiguration{}, types.CapacityProviderStrategyItem{}, types.PlacementConstraint{}, types.PlacementStrategy{}, types.Tag{})); d != "" {
		t.Error(d)
	}
	if names := must(f.ListRuleNamesByTarget(ctx, &sdk.ListRuleNamesByTargetInput{TargetArn: s(logGroup)})).RuleNames; len(names) != 1 || names[0] != "r" {
		t.Errorf("%v", names)
	}
	out := must(f.RemoveTargets(ctx, &sdk.RemoveTargetsInput{Rule: s("r"), Ids: []string{"a", "z"}}))
	if out.FailedEntryCount != 1 || *out.FailedEntries[0].TargetId != "z" {
		t.Errorf("%+v", out)
	}
}

func basic(name string) *sdk.CreateConnectionInput {
	return &sdk.CreateConnectionInput{Name: &name, AuthorizationType: types.ConnectionAuthorizationTypeBasic, AuthParameters: &types.CreateConnectionAuthRequestParameters{
		BasicAuthParameters:      &types.CreateConnectionBasicAuthRequestParameters{Username: s("u"), Password: s("topsecret")},
		InvocationHttpParameters: &types.ConnectionHttpParameters{HeaderParameters: []types.ConnectionHeaderParameter{{Key: s("H"), Value: s("alsosecret"), IsValueSecret: true}, {Key: s("P"), Value: s("plain")}}},
	}}
}

// TestConnections: what is secret is neither shown nor stored in the clear; an update keeps what it does not name.
func TestConnections(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	made := must(f.CreateConnection(ctx, basic("c")))
	must(f.UpdateConnection(ctx, &sdk.UpdateConnectionInput{Name: s("c"), Description: s("new")}))
	d := must(f.DescribeConnection(ctx, &sdk.DescribeConnectionInput{Name: s("c")}))
	h := d.AuthParameters.InvocationHttpParameters.HeaderParameters
	if *d.AuthParameters.BasicAuthParameters.Username != "u" || h[0].Value != nil || !h[0].IsValueSecret || *h[1].Value != "plain" || *d.Description != "new" || *d.ConnectionArn != *made.ConnectionArn {
		t.Errorf("%+v", d)
	}
	if stored := fmt.Sprintf("%+v", f.store.View().EventConnections.Get("c")); strings.Contains(stored, "secret\"") || strings.Contains(stored, "topsecret") || strings.Contains(stored, "alsosecret") {
		t.Errorf("stored: %s", stored)
	}
	to := must(f.CreateApiDestination(ctx, &sdk.CreateApiDestinationInput{Name: s("d"), ConnectionArn: made.ConnectionArn, HttpMethod: "POST", InvocationEndpoint: s("https://x/")}))
	must(f.UpdateApiDestination(ctx, &sdk.UpdateApiDestinationInput{Name: s("d"), InvocationRateLimitPerSecond: aws.Int32(7)}))
	v := must(f.DescribeApiDestination(ctx, &sdk.DescribeApiDestinationInput{Name: s("d")}))
	if *v.InvocationRateLimitPerSecond != 7 || v.ApiDestinationState != types.ApiDestinationStateActive || *v.ApiDestinationArn != *to.ApiDestinationArn || *v.InvocationEndpoint != "https://x/" {
		t.Errorf("%+v", v)
	}
	if n := len(must(f.ListApiDestinations(ctx, &sdk.ListApiDestinationsInput{ConnectionArn: made.ConnectionArn})).ApiDestinations); n != 1 {
		t.Errorf("%d destinations", n)
	}
	must(f.DeleteConnection(ctx, &sdk.DeleteConnectionInput{Name: s("c")}))
	again := must(f.CreateConnection(ctx, basic("c2")))
	if v = must(f.DescribeApiDestination(ctx, &sdk.DescribeApiDestinationInput{Name: s("d")})); v.ApiDestinationState != types.ApiDestinationStateInactive || *again.ConnectionArn == *made.ConnectionArn {
		t.Errorf("%+v", v)
	}
	if n := len(must(f.ListConnections(ctx, &sdk.ListConnectionsInput{})).Connections); n != 1 {
		t.Errorf("%d connections", n)
	}
	must(f.DeleteApiDestination(ctx, &sdk.DeleteApiDestinationInput{Name: s("d")}))
}

func TestBuses(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	out := must(f.CreateEventBus(ctx, &sdk.CreateEventBusInput{Name: s("b"), Description: s("d")}))
	if *out.EventBusArn != "arn:aws:events:us-east-1:000000000000:event-bus/b" {
		t.Errorf("%s", *out.EventBusArn)
	}
	must(f.UpdateEventBus(ctx, &sdk.UpdateEventBusInput{Name: s("b"), Description: s("e")}))
	made := must(f.PutRule(ctx, &sdk.PutRuleInput{Name: s("r"), EventBusName: out.EventBusArn, EventPattern: s(`{"source":["a"]}`)}))
	if *made.RuleArn != "arn:aws:events:us-east-1:000000000000:rule/b/r" {
		t.Errorf("%s", *made.RuleArn)
	}
	var names []string
	for _, b := range must(f.ListEventBuses(ctx, &sdk.ListEventBusesInput{})).EventBuses {
		names = append(names, *b.Name)
	}
	if d := cmp.Diff([]string{"b", "default"}, names); d != "" {
		t.Error(d)
	}
	if d := must(f.DescribeEventBus(ctx, &sdk.DescribeEventBusInput{})); *d.Name != "default" {
		t.Errorf("%+v", d)
	}
	if _, err := f.DeleteEventBus(ctx, &sdk.DeleteEventBusInput{Name: s("b")}); !fault.Is(err, fault.Validation) {
		t.Errorf("%v", err)
	}
	must(f.DeleteRule(ctx, &sdk.DeleteRuleInput{Name: s("r"), EventBusName: s("b")}))
	must(f.DeleteEventBus(ctx, &sdk.DeleteEventBusInput{Name: s("b")}))
}

// TestRefused has an exception and a text for each wrong input; none changes anything.
func TestRefused(t *testing.T) {
	f := newFixture(t)
	f.rule(t, "r")
	long := strings.Repeat("x", 65)
	put := func(change func(*types.Target)) func(context.Context) error {
		return func(ctx context.Context) error {
			target := types.Target{Id: s("1"), Arn: s(logGroup)}
			change(&target)
			_, err := f.PutTargets(ctx, &sdk.PutTargetsInput{Rule: s("r"), Targets: []types.Target{target}})
			return err
		}
	}
	ruled := func(in sdk.PutRuleInput) func(context.Context) error {
		return func(ctx context.Context) error { _, err := f.PutRule(ctx, &in); return err }
	}
	connect := func(change func(*sdk.CreateConnectionInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := basic("c")
			change(in)
			_, err := f.CreateConnection(ctx, in)
			return err
		}
	}
	for name, c := range map[string]struct {
		call func(context.Context) error
		kind fault.Kind
		text string
	}{
		"no name":       {ruled(sdk.PutRuleInput{}), fault.Validation, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		"long name":     {ruled(sdk.PutRuleInput{Name: &long}), fault.Validation, "less than or equal to 64"},
		"name":          {ruled(sdk.PutRuleInput{Name: s("a/b")}), fault.Validation, `regular expression pattern: [\.\-_A-Za-z0-9]+`},
		"neither":       {ruled(sdk.PutRuleInput{Name: s("a")}), fault.Validation, "Parameter(s) EventPattern or ScheduleExpression must be specified."},
		"no JSON":       {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s("{")}), "InvalidEventPatternException", "Event pattern is not valid. Reason: "},
		"list":          {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s("[]")}), "InvalidEventPatternException", "Event pattern is not valid. Reason: Filter is not an object"},
		"value":         {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s(`{"source":"a"}`)}), "InvalidEventPatternException", `"source" must be an object or an array`},
		"operator":      {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s(`{"source":[{"like":"a"}]}`)}), "InvalidEventPatternException", "like"},
		"schedule":      {ruled(sdk.PutRuleInput{Name: s("a"), ScheduleExpression: s("rate(1 minutes)")}), fault.Validation, "Parameter ScheduleExpression is not valid."},
		"state":         {ruled(sdk.PutRuleInput{Name: s("a"), ScheduleExpression: s("rate(1 minute)"), State: "ON"}), fault.Validation, "enum value set"},
		"CloudTrail":    {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s(`{"a":[1]}`), State: types.RuleStateEnabledWithAllCloudtrailManagementEvents}), fault.Unsupported, "CloudTrail"},
		"bus":           {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s(`{"a":[1]}`), EventBusName: s("b")}), fault.ResourceNotFound, "Event bus b does not exist."},
		"bus's ARN":     {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s(`{"a":[1]}`), EventBusName: s("arn:aws:events:eu-west-1:1:event-bus/b")}), fault.Validation, "eventBusName"},
		"bus, schedule": {ruled(sdk.PutRuleInput{Name: s("a"), ScheduleExpression: s("rate(1 hour)"), EventBusName: s("b")}), fault.Validation, "ScheduleExpression is supported only on the default event bus."},
		"tag":           {ruled(sdk.PutRuleInput{Name: s("a"), EventPattern: s(`{"a":[1]}`), Tags: []types.Tag{{Key: s("aws:x"), Value: s("")}}}), fault.Validation, "reserved"},
		"no rule": {func(ctx context.Context) error {
			_, err := f.PutTargets(ctx, &sdk.PutTargetsInput{Rule: s("z"), Targets: []types.Target{{Id: s("1"), Arn: s(logGroup)}}})
			return err
		}, fault.ResourceNotFound, "Rule z does not exist on EventBus default."},
		"six targets": {func(ctx context.Context) error {
			in := &sdk.PutTargetsInput{Rule: s("r")}
			for i := range 6 {
				in.Targets = append(in.Targets, types.Target{Id: s(fmt.Sprint(i)), Arn: s(logGroup)})
			}
			_, err := f.PutTargets(ctx, in)
			return err
		}, fault.LimitExceeded, "The requested resource exceeds the maximum number allowed."},
		"no ARN":           {put(func(x *types.Target) { x.Arn = s("here") }), fault.Validation, "Parameter Arn is not valid. Reason: Provided Arn is not in correct format."},
		"Lambda":           {put(func(x *types.Target) { x.Arn = s("arn:aws:lambda:us-east-1:000000000000:function:f") }), fault.Unsupported, "targets are log groups"},
		"other region":     {put(func(x *types.Target) { x.Arn = s(strings.Replace(logGroup, "us-east-1", "us-east-2", 1)) }), fault.Unsupported, "targets are log groups"},
		"no destination":   {put(func(x *types.Target) { x.Arn = s("arn:aws:events:us-east-1:000000000000:api-destination/d/1") }), fault.Validation, "does not exist"},
		"no EcsParameters": {put(func(x *types.Target) { x.Arn = s(cluster) }), fault.Validation, "EcsParameters is required for target 1."},
		"no definition":    {put(func(x *types.Target) { x.Arn, x.EcsParameters = s(cluster), &types.EcsParameters{} }), fault.Validation, "taskDefinitionArn"},
		"too many tasks": {put(func(x *types.Target) {
			x.Arn, x.EcsParameters = s(cluster), &types.EcsParameters{TaskDefinitionArn: s("f"), TaskCount: aws.Int32(11)}
		}), fault.Validation, "taskCount"},
		"EcsParameters":  {put(func(x *types.Target) { x.EcsParameters = &types.EcsParameters{TaskDefinitionArn: s("f")} }), fault.Validation, "EcsParameters is not supported for target 1."},
		"HttpParameters": {put(func(x *types.Target) { x.HttpParameters = &types.HttpParameters{} }), fault.Validation, "HttpParameters is not supported for target 1."},
		"two inputs":     {put(func(x *types.Target) { x.Input, x.InputPath = s("{}"), s("$") }), fault.Validation, "Only one of Input, InputPath, or InputTransformer must be provided for target 1."},
		"input":          {put(func(x *types.Target) { x.Input = s("{") }), fault.Validation, "JSON syntax error in input for target 1"},
		"path":           {put(func(x *types.Target) { x.InputPath = s("detail") }), fault.Validation, "InputPath"},
		"reserved variable": {put(func(x *types.Target) {
			x.InputTransformer = &types.InputTransformer{InputTemplate: s("x"), InputPathsMap: map[string]string{"AwsX": "$"}}
		}), fault.Validation, "reserved"},
		"retries":      {put(func(x *types.Target) { x.RetryPolicy = &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(186)} }), fault.Validation, "less than or equal to 185"},
		"age":          {put(func(x *types.Target) { x.RetryPolicy = &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(59)} }), fault.Validation, "greater than or equal to 60"},
		"dead letters": {put(func(x *types.Target) { x.DeadLetterConfig = &types.DeadLetterConfig{} }), fault.Unsupported, "DeadLetterConfig is not supported."},
		"SQS":          {put(func(x *types.Target) { x.SqsParameters = &types.SqsParameters{} }), fault.Unsupported, "SqsParameters is not supported."},
		"OAuth": {connect(func(in *sdk.CreateConnectionInput) {
			in.AuthorizationType = types.ConnectionAuthorizationTypeOauthClientCredentials
		}), fault.Unsupported, "OAUTH_CLIENT_CREDENTIALS"},
		"other credentials": {connect(func(in *sdk.CreateConnectionInput) { in.AuthorizationType = types.ConnectionAuthorizationTypeApiKey }), fault.Validation, "AuthParameters must be those of the AuthorizationType."},
		"no password":       {connect(func(in *sdk.CreateConnectionInput) { in.AuthParameters.BasicAuthParameters.Password = nil }), fault.Validation, "authParameters.value"},
		"header": {connect(func(in *sdk.CreateConnectionInput) {
			in.AuthParameters.InvocationHttpParameters.HeaderParameters[0].Key = s("Host")
		}), fault.Validation, "The header 'Host' can't be set."},
		"header's value": {connect(func(in *sdk.CreateConnectionInput) {
			in.AuthParameters.InvocationHttpParameters.HeaderParameters[0].Value = s("a\r\nB: c")
		}), fault.Validation, "can't be set"},
		"endpoint": {func(ctx context.Context) error {
			_, err := f.CreateApiDestination(ctx, &sdk.CreateApiDestinationInput{Name: s("d"), ConnectionArn: s("x"), HttpMethod: "POST", InvocationEndpoint: s("file:///etc/passwd")})
			return err
		}, fault.Validation, "it must be an HTTP or HTTPS URL"},
		"no connection": {func(ctx context.Context) error {
			_, err := f.CreateApiDestination(ctx, &sdk.CreateApiDestinationInput{Name: s("d"), ConnectionArn: s("x"), HttpMethod: "POST", InvocationEndpoint: s("https://x")})
			return err
		}, fault.ResourceNotFound, "Connection 'x' does not exist."},
		"default bus": {func(ctx context.Context) error {
			_, err := f.CreateEventBus(ctx, &sdk.CreateEventBusInput{Name: s("default")})
			return err
		}, "ResourceAlreadyExistsException", "Event bus default already exists."},
		"no entries": {func(ctx context.Context) error { _, err := f.PutEvents(ctx, &sdk.PutEventsInput{}); return err }, fault.Validation, "entries"},
		"large": {func(ctx context.Context) error {
			_, err := f.PutEvents(ctx, &sdk.PutEventsInput{Entries: []types.PutEventsRequestEntry{{Detail: s(strings.Repeat("x", 256<<10+1))}}})
			return err
		}, fault.Validation, "Total size of the entries in the request is over the limit."},
		"event": {func(ctx context.Context) error {
			_, err := f.TestEventPattern(ctx, &sdk.TestEventPatternInput{Event: s(`{"id":"1"}`), EventPattern: s(`{"a":[1]}`)})
			return err
		}, fault.Validation, "account is a required field"},
		"token": {func(ctx context.Context) error {
			_, err := f.ListRules(ctx, &sdk.ListRulesInput{NextToken: s("!")})
			return err
		}, fault.Validation, "nextToken"},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.store.View().Revision
			err := c.call(t.Context())
			var e *fault.Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Message, c.text) {
				t.Errorf("%v, want %s: %s", err, c.kind, c.text)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a secret is in %v", err)
			}
			if f.store.View().Revision != before {
				t.Error("something has changed")
			}
		})
	}
}

func TestPutEvents(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	put := func(source string) int {
		t.Helper()
		out := must(f.PutEvents(ctx, &sdk.PutEventsInput{Entries: []types.PutEventsRequestEntry{{Source: &source, DetailType: s("d"), Detail: s(`{"n":300}`)}}}))
		if out.FailedEntryCount != 0 || out.Entries[0].EventId == nil {
			t.Errorf("%+v", out)
		}
		return f.store.View().EventOutbox.Len()
	}
	if n := put("a"); n != 0 {
		t.Errorf("%d records without a rule", n)
	}
	f.rule(t, "r")
	if n := put("a"); n != 0 {
		t.Errorf("%d records without a target", n)
	}
	must(f.PutTargets(ctx, &sdk.PutTargetsInput{Rule: s("r"), Targets: []types.Target{{Id: s("1"), Arn: s(logGroup)}}}))
	if n := put("b"); n != 0 {
		t.Errorf("%d records of what does not match", n)
	}
	if n := put("a"); n != 1 {
		t.Errorf("%d records", n)
	}
	entries := []types.PutEventsRequestEntry{{DetailType: s("d"), Detail: s("{}")}, {Source: s("a"), Detail: s("{}")}, {Source: s("a"), DetailType: s("d")},
		{Source: s("aws.ecs"), DetailType: s("d"), Detail: s("{}")}, {Source: s("a"), DetailType: s("d"), Detail: s("[]")}, {Source: s("a"), DetailType: s("d"), Detail: s("{}"), EventBusName: s("z")}}
	out := must(f.PutEvents(ctx, &sdk.PutEventsInput{Entries: entries}))
	want := []string{"InvalidArgument", "InvalidArgument", "InvalidArgument", "NotAuthorizedForSourceException", "MalformedDetail", "InvalidArgument"}
	for i, e := range out.Entries {
		if aws.ToString(e.ErrorCode) != want[i] || e.EventId != nil {
			t.Errorf("%d: %s, %s", i, aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage))
		}
	}
	event := `{"id":"1","account":"1","source":"a","time":"t","region":"r","resources":[],"detail-type":"d","detail":{"n":5}}`
	for pattern, want := range map[string]bool{`{"detail":{"n":[{"numeric":[">",4]}]}}`: true, `{"source":["b"]}`: false} {
		if got := must(f.TestEventPattern(ctx, &sdk.TestEventPatternInput{Event: &event, EventPattern: &pattern})).Result; got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
}
