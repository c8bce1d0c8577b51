package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"roadstead.dev/roadstead/internal/api/ssm"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
	"roadstead.dev/roadstead/internal/wire"
)

type fixture struct {
	*ssm.API
	t *testing.T
	// denied is what Allow answers.
	denied error
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); store.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	f := &fixture{t: t}
	f.API, err = ssm.New(ssm.Config{
		Store: store, Keeper: secrets.New(), Place: ecs.Place{Account: "000000000000", Region: "us-east-1"},
		Allow: func(context.Context, wire.Caller, *secrets.Parameter) error { return f.denied },
	})
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

func (f *fixture) put(name, value string) int64 {
	f.t.Helper()
	return must(f.PutParameter(f.t.Context(), &sdk.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeString, Overwrite: aws.Bool(true)})).Version
}

func (f *fixture) get(name string) string {
	out, err := f.GetParameter(f.t.Context(), &sdk.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return err.Error()
	}
	return *out.Parameter.Value
}

func TestVersionsAndLabels(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.put("/web/db", "one")
	if n := f.put("/web/db", "two"); n != 2 {
		t.Errorf("version %d", n)
	}
	f.put("/web/db", "three")
	label := func(number int64, labels ...string) *sdk.LabelParameterVersionOutput {
		return must(f.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: aws.String("/web/db"), ParameterVersion: &number, Labels: labels}))
	}
	label(1, "prod", "old")
	if out := label(2, "prod", "aws-no", "1no"); fmt.Sprint(out.InvalidLabels) != "[aws-no 1no]" || out.ParameterVersion != 2 {
		t.Errorf("%+v", out)
	}
	const arn = "arn:aws:ssm:us-east-1:000000000000:parameter/web/db"
	for name, want := range map[string]string{"/web/db": "three", arn: "three", "/web/db:1": "one", arn + ":2": "two", "/web/db:prod": "two", arn + ":old": "one"} {
		if got := f.get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	history := must(f.GetParameterHistory(ctx, &sdk.GetParameterHistoryInput{Name: aws.String("/web/db"), MaxResults: aws.Int32(2)}))
	rest := must(f.GetParameterHistory(ctx, &sdk.GetParameterHistoryInput{Name: aws.String("/web/db"), NextToken: history.NextToken}))
	if len(history.Parameters) != 2 || len(rest.Parameters) != 1 || *rest.Parameters[0].Value != "three" || fmt.Sprint(history.Parameters[1].Labels) != "[prod]" {
		t.Errorf("%+v, %+v", history.Parameters, rest.Parameters)
	}
	un := must(f.UnlabelParameterVersion(ctx, &sdk.UnlabelParameterVersionInput{Name: aws.String("/web/db"), ParameterVersion: aws.Int64(2), Labels: []string{"prod", "none"}}))
	if fmt.Sprint(un.RemovedLabels, un.InvalidLabels) != "[prod] [none]" {
		t.Errorf("%+v", un)
	}
}

// TestSecure: a SecureString comes in the clear only when asked for, and is nowhere in the store.
func TestSecure(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	must(f.PutParameter(ctx, &sdk.PutParameterInput{Name: aws.String("s"), Value: aws.String("a very secret word"), Type: types.ParameterTypeSecureString}))
	out := must(f.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("s")}))
	if strings.Contains(*out.Parameter.Value, "secret") || f.get("s") != "a very secret word" {
		t.Errorf("%q, %q", *out.Parameter.Value, f.get("s"))
	}
	v := f.Store.View().ParameterValues.Get(secrets.ParameterValueKey("s", 1))
	if text := fmt.Sprintf("%s%s", v.Value.Data, v.Value.Value); strings.Contains(text, "secret") {
		t.Error("the store has it in the clear")
	}
}

func TestPathsAndFilters(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for _, name := range []string{"/a/x", "/a/y", "/a/b/z", "/ab/q", "plain"} {
		f.put(name, name)
	}
	by := func(in sdk.GetParametersByPathInput) string {
		var all []string
		for {
			out := must(f.GetParametersByPath(ctx, &in))
			for _, p := range out.Parameters {
				all = append(all, *p.Value)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return strings.Join(all, " ")
			}
		}
	}
	for want, in := range map[string]sdk.GetParametersByPathInput{
		"/a/x /a/y":        {Path: aws.String("/a")},
		"/a/b/z /a/x /a/y": {Path: aws.String("/a/"), Recursive: aws.Bool(true), MaxResults: aws.Int32(1)},
		"":                 {Path: aws.String("/none")},
	} {
		if got := by(in); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	must(f.AddTagsToResource(ctx, &sdk.AddTagsToResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("plain"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("t")}}}))
	list := func(filters ...types.ParameterStringFilter) string {
		var all []string
		for _, p := range must(f.DescribeParameters(ctx, &sdk.DescribeParametersInput{ParameterFilters: filters})).Parameters {
			all = append(all, *p.Name)
		}
		return strings.Join(all, " ")
	}
	filter := func(key, option string, values ...string) types.ParameterStringFilter {
		return types.ParameterStringFilter{Key: &key, Option: &option, Values: values}
	}
	for _, c := range []struct {
		want, got string
	}{
		{"/a/x /a/y", list(filter("Path", "OneLevel", "/a"))}, {"plain", list(filter("tag:team", "Equals", "t"))}, {"", list(filter("tag:team", "Equals", "u"))},
		{"/a/b/z /a/x /a/y /ab/q", list(filter("Name", "BeginsWith", "/a"))}, {"/ab/q", list(filter("Name", "Contains", "q"))}, {"", list(filter("Type", "Equals", "SecureString"))},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	got := must(f.GetParameters(ctx, &sdk.GetParametersInput{Names: []string{"plain", "none", "plain:9"}}))
	if len(got.Parameters) != 1 || fmt.Sprint(got.InvalidParameters) != "[none plain:9]" {
		t.Errorf("%+v", got)
	}
	gone := must(f.DeleteParameters(ctx, &sdk.DeleteParametersInput{Names: []string{"/a/x", "none"}}))
	if fmt.Sprint(gone.DeletedParameters, gone.InvalidParameters) != "[/a/x] [none]" {
		t.Errorf("%+v", gone)
	}
}

// TestHundredVersions: the oldest goes for a new one, unless it has a label.
func TestHundredVersions(t *testing.T) {
	f := newFixture(t)
	for range 103 {
		f.put("p", "v")
	}
	v := f.Store.View()
	if n := len(v.Parameters.Get("p").Versions); n != 100 || v.ParameterValues.Len() != 100 {
		t.Errorf("%d versions, %d values", n, v.ParameterValues.Len())
	}
	must(f.LabelParameterVersion(t.Context(), &sdk.LabelParameterVersionInput{Name: aws.String("p"), ParameterVersion: aws.Int64(4), Labels: []string{"keep"}}))
	_, err := f.PutParameter(t.Context(), &sdk.PutParameterInput{Name: aws.String("p"), Value: aws.String("v"), Overwrite: aws.Bool(true)})
	if !fault.Is(err, "ParameterMaxVersionLimitExceeded") {
		t.Errorf("%v", err)
	}
}

func TestRefused(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.put("p", "v")
	before := f.Store.View().Revision
	put := func(change func(*sdk.PutParameterInput)) func() error {
		return func() error {
			in := sdk.PutParameterInput{Name: aws.String("q"), Value: aws.String("v"), Type: types.ParameterTypeString}
			change(&in)
			_, err := f.PutParameter(ctx, &in)
			return err
		}
	}
	for _, c := range []struct {
		name string
		call func() error
		want fault.Kind
	}{
		{"there already", put(func(in *sdk.PutParameterInput) { in.Name = aws.String("p") }), "ParameterAlreadyExists"},
		{"no type", put(func(in *sdk.PutParameterInput) { in.Type = "" }), fault.Validation},
		{"bad type", put(func(in *sdk.PutParameterInput) { in.Type = "Number" }), fault.Validation},
		{"no value", put(func(in *sdk.PutParameterInput) { in.Value = nil }), fault.Validation},
		{"long", put(func(in *sdk.PutParameterInput) { in.Value = aws.String(strings.Repeat("x", 8193)) }), fault.Validation},
		{"long for standard", put(func(in *sdk.PutParameterInput) {
			in.Value, in.Tier = aws.String(strings.Repeat("x", 4097)), types.ParameterTierStandard
		}), fault.Validation},
		{"reserved", put(func(in *sdk.PutParameterInput) { in.Name = aws.String("/aws/x") }), fault.Validation},
		{"not qualified", put(func(in *sdk.PutParameterInput) { in.Name = aws.String("a/b") }), fault.Validation},
		{"deep", put(func(in *sdk.PutParameterInput) { in.Name = aws.String(strings.Repeat("/a", 16)) }), "HierarchyLevelLimitExceededException"},
		{"characters", put(func(in *sdk.PutParameterInput) { in.Name = aws.String("a b") }), fault.Validation},
		{"pattern", put(func(in *sdk.PutParameterInput) { in.AllowedPattern = aws.String("[0-9]+") }), "ParameterPatternMismatchException"},
		{"no pattern", put(func(in *sdk.PutParameterInput) { in.AllowedPattern = aws.String("(") }), "InvalidAllowedPatternException"},
		{"policies", put(func(in *sdk.PutParameterInput) { in.Policies = aws.String("[]") }), fault.Unsupported},
		{"not there", func() error { _, err := f.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("n")}); return err }, "ParameterNotFound"},
		{"no such version", func() error {
			_, err := f.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("p:2")})
			return err
		}, "ParameterVersionNotFound"},
		{"no names", func() error { _, err := f.GetParameters(ctx, &sdk.GetParametersInput{}); return err }, fault.Validation},
		{"path", func() error {
			_, err := f.GetParametersByPath(ctx, &sdk.GetParametersByPathInput{Path: aws.String("p")})
			return err
		}, fault.Validation},
		{"filter", func() error {
			_, err := f.DescribeParameters(ctx, &sdk.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("x"), Values: []string{"y"}}}})
			return err
		}, "InvalidFilterKey"},
		{"tags of what", func() error {
			_, err := f.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("n")})
			return err
		}, "InvalidResourceId"},
	} {
		var got *fault.Error
		if err := c.call(); !errors.As(err, &got) || got.Kind != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if now := f.Store.View().Revision; now != before {
		t.Errorf("what was refused made commits: %d, then %d", before, now)
	}
	f.denied = fault.New(fault.AccessDenied, "no")
	for _, name := range []string{"p", "n"} {
		if got := f.get(name); !strings.HasPrefix(got, "AccessDenied") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
