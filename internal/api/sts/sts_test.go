package sts

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

const role = "arn:aws:iam::000000000000:role/service/web"

var now = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

func newAPI(t *testing.T, allow error, lent *[]Session) *API {
	t.Helper()
	a, err := New(Config{
		Lend: func(s Session) (Credentials, error) {
			*lent = append(*lent, s)
			return Credentials{AccessKeyID: "ASIA", SecretAccessKey: "secret", SessionToken: "token", ARN: "arn:session", UserID: "AROA:task"}, nil
		},
		Allow: func(context.Context, wire.Caller, string, string) error { return allow }, Account: "000000000000", Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNobody asks outside of any signed request. The answer to a signed one is tested by package logs, through the SDK.
func TestNobody(t *testing.T) {
	if _, err := new(API).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); !fault.Is(err, accessDenied) {
		t.Errorf("who is nobody: %v", err)
	}
}

func TestAssumeRole(t *testing.T) {
	var lent []Session
	a := newAPI(t, nil, &lent)
	until := now.Truncate(time.Second).Add(20 * time.Minute)
	out, err := a.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("task"), DurationSeconds: aws.Int32(1200)})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(lent, []Session{{RoleARN: role, Name: "task", Expires: until}}); d != "" {
		t.Error(d)
	}
	c := out.Credentials
	if *c.AccessKeyId != "ASIA" || *c.SecretAccessKey != "secret" || *c.SessionToken != "token" || !c.Expiration.Equal(until) ||
		*out.AssumedRoleUser.Arn != "arn:session" || *out.AssumedRoleUser.AssumedRoleId != "AROA:task" {
		t.Errorf("%+v %+v", out.AssumedRoleUser, c)
	}
	if _, err := a.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("task")}); err != nil || lent[1].Expires.Sub(now.Truncate(time.Second)) != time.Hour {
		t.Errorf("by default: %v, %v", lent[1].Expires, err)
	}
}

func TestAssumeRoleRefused(t *testing.T) {
	type in = sts.AssumeRoleInput
	good := func(change func(*in)) *in {
		i := &in{RoleArn: aws.String(role), RoleSessionName: aws.String("task")}
		change(i)
		return i
	}
	denied := fault.New(accessDenied, "no")
	for name, c := range map[string]struct {
		in   *in
		kind fault.Kind
	}{
		"nothing":         {&in{}, validationError},
		"no session name": {good(func(i *in) { i.RoleSessionName = nil }), validationError},
		"short name":      {good(func(i *in) { i.RoleSessionName = aws.String("x") }), validationError},
		"spaces":          {good(func(i *in) { i.RoleSessionName = aws.String("a b") }), validationError},
		"no role":         {good(func(i *in) { i.RoleArn = aws.String("arn:aws:iam::000000000000:user/web") }), validationError},
		"role's name":     {good(func(i *in) { i.RoleArn = aws.String("web") }), validationError},
		"other account":   {good(func(i *in) { i.RoleArn = aws.String("arn:aws:iam::111111111111:role/web") }), accessDenied},
		"too short":       {good(func(i *in) { i.DurationSeconds = aws.Int32(899) }), validationError},
		"too long":        {good(func(i *in) { i.DurationSeconds = aws.Int32(43201) }), validationError},
		"policy":          {good(func(i *in) { i.Policy = aws.String("{}") }), fault.Unsupported},
		"tags":            {good(func(i *in) { i.Tags = []types.Tag{{}} }), fault.Unsupported},
		"not allowed":     {good(func(*in) {}), accessDenied},
	} {
		var lent []Session
		if _, err := newAPI(t, denied, &lent).AssumeRole(t.Context(), c.in); !fault.Is(err, c.kind) || len(lent) != 0 {
			t.Errorf("%s: %v, lent %v", name, err, lent)
		}
		if name == "not allowed" {
			continue
		}
		if _, err := newAPI(t, nil, &lent).AssumeRole(t.Context(), c.in); !fault.Is(err, c.kind) || errors.Is(err, denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
