package secretsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"roadstead.dev/roadstead/internal/api/secretsmanager"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
	"roadstead.dev/roadstead/internal/wire"
)

type fixture struct {
	*secretsmanager.API
	t   *testing.T
	now time.Time
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
	f := &fixture{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.API, err = secretsmanager.New(secretsmanager.Config{
		Store: store, Keeper: secrets.New(), Place: ecs.Place{Account: "000000000000", Region: "us-east-1"},
		Allow: func(context.Context, wire.Caller, *secrets.Secret) error { return f.denied }, Now: func() time.Time { return f.now },
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

func (f *fixture) create(name, value string) *sdk.CreateSecretOutput {
	f.t.Helper()
	return must(f.CreateSecret(f.t.Context(), &sdk.CreateSecretInput{Name: &name, SecretString: &value}))
}

func (f *fixture) value(id string, in sdk.GetSecretValueInput) string {
	f.t.Helper()
	in.SecretId = &id
	out, err := f.GetSecretValue(f.t.Context(), &in)
	if err != nil {
		return err.Error()
	}
	return aws.ToString(out.SecretString)
}

func TestVersionsAndStages(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	made := f.create("web/db", "one")
	put := func(value string, stages ...string) string {
		return *must(f.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("web/db"), SecretString: &value, VersionStages: stages})).VersionId
	}
	two := put("two")
	three := put("three", "CANARY")
	arn := *made.ARN
	for want, in := range map[string]sdk.GetSecretValueInput{
		"two": {}, "one": {VersionStage: aws.String("AWSPREVIOUS")}, "three": {VersionStage: aws.String("CANARY")},
	} {
		for _, id := range []string{"web/db", arn, arn[:len(arn)-7]} {
			if got := f.value(id, in); got != want {
				t.Errorf("%s %+v: %q, want %q", id, in, got, want)
			}
		}
	}
	if got := f.value("web/db", sdk.GetSecretValueInput{VersionId: made.VersionId}); got != "one" {
		t.Errorf("%q", got)
	}
	_, err := f.UpdateSecretVersionStage(ctx, &sdk.UpdateSecretVersionStageInput{SecretId: &arn, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &three, RemoveFromVersionId: &two})
	if err != nil {
		t.Fatal(err)
	}
	d := must(f.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: &arn}))
	if got := fmt.Sprint(d.VersionIdsToStages); got != fmt.Sprint(map[string][]string{three: {"CANARY", "AWSCURRENT"}, two: {"AWSPREVIOUS"}}) {
		t.Errorf("stages %v", got)
	}
	all := must(f.ListSecretVersionIds(ctx, &sdk.ListSecretVersionIdsInput{SecretId: &arn, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(2)}))
	rest := must(f.ListSecretVersionIds(ctx, &sdk.ListSecretVersionIdsInput{SecretId: &arn, IncludeDeprecated: aws.Bool(true), NextToken: all.NextToken}))
	if len(all.Versions) != 2 || len(rest.Versions) != 1 || *rest.Versions[0].VersionId != three {
		t.Errorf("%+v, %+v", all.Versions, rest.Versions)
	}
}

// TestRepeated: a call that is repeated with its token changes nothing, one with another value is refused.
func TestRepeated(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	token := strings.Repeat("t", 36)
	in := sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v"), ClientRequestToken: &token}
	first, again := must(f.CreateSecret(ctx, &in)), must(f.CreateSecret(ctx, &in))
	if *first.ARN != *again.ARN || *again.VersionId != token {
		t.Errorf("%+v, %+v", first, again)
	}
	put := sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("w"), ClientRequestToken: aws.String(strings.Repeat("u", 36))}
	must(f.PutSecretValue(ctx, &put))
	must(f.PutSecretValue(ctx, &put))
	if got := f.value("s", sdk.GetSecretValueInput{VersionStage: aws.String("AWSPREVIOUS")}); got != "v" {
		t.Errorf("previous: %q", got)
	}
	put.SecretString = aws.String("x")
	if _, err := f.PutSecretValue(ctx, &put); !fault.Is(err, "ResourceExistsException") {
		t.Errorf("%v", err)
	}
}

func TestDeletion(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	first := f.create("s", "v")
	out := must(f.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: aws.String("s"), RecoveryWindowInDays: aws.Int64(7)}))
	if !out.DeletionDate.Equal(f.now.Add(7 * 24 * time.Hour)) {
		t.Errorf("%v", out.DeletionDate)
	}
	if got := f.value("s", sdk.GetSecretValueInput{}); !strings.Contains(got, "marked for deletion") {
		t.Errorf("%q", got)
	}
	must(f.RestoreSecret(ctx, &sdk.RestoreSecretInput{SecretId: aws.String("s")}))
	if got := f.value("s", sdk.GetSecretValueInput{}); got != "v" {
		t.Errorf("%q", got)
	}
	must(f.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: aws.String("s"), RecoveryWindowInDays: aws.Int64(7)}))
	if _, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("s")}); !fault.Is(err, "InvalidRequestException") {
		t.Errorf("%v", err)
	}
	f.now = f.now.Add(8 * 24 * time.Hour)
	if got := f.value("s", sdk.GetSecretValueInput{}); !strings.Contains(got, "ResourceNotFound") {
		t.Errorf("%q", got)
	}
	second := f.create("s", "w")
	if *second.ARN == *first.ARN || f.value(*first.ARN, sdk.GetSecretValueInput{}) == "w" {
		t.Errorf("the ARN of the deleted one is the new one's: %s", *first.ARN)
	}
	must(f.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: aws.String("s"), ForceDeleteWithoutRecovery: aws.Bool(true)}))
	if n := f.Store.View().SecretValues.Len(); n != 0 {
		t.Errorf("%d values are left", n)
	}
}

// TestManyVersions: what has no stage goes, what has stays.
func TestManyVersions(t *testing.T) {
	f := newFixture(t)
	f.create("s", "first")
	must(f.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("kept"), VersionStages: []string{"KEEP"}}))
	for i := range 150 {
		must(f.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String(fmt.Sprint(i))}))
	}
	v := f.Store.View()
	if n := len(v.Secrets.Get("s").Versions); n != 100 || v.SecretValues.Len() != 100 {
		t.Errorf("%d versions, %d values", n, v.SecretValues.Len())
	}
	for want, stage := range map[string]string{"kept": "KEEP", "149": "AWSCURRENT", "148": "AWSPREVIOUS"} {
		if got := f.value("s", sdk.GetSecretValueInput{VersionStage: &stage}); got != want {
			t.Errorf("%s: %q", stage, got)
		}
	}
}

func TestListsAndTags(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for i := range 5 {
		f.now = f.now.Add(time.Second)
		f.create(fmt.Sprintf("web-%d", i), "v")
	}
	must(f.TagResource(ctx, &sdk.TagResourceInput{SecretId: aws.String("web-1"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}, {Key: aws.String("old"), Value: aws.String("b")}}}))
	must(f.UntagResource(ctx, &sdk.UntagResourceInput{SecretId: aws.String("web-1"), TagKeys: []string{"old"}}))
	names := func(in sdk.ListSecretsInput) string {
		var all []string
		for {
			out := must(f.ListSecrets(ctx, &in))
			for _, s := range out.SecretList {
				all = append(all, *s.Name)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return strings.Join(all, " ")
			}
		}
	}
	filter := func(key types.FilterNameStringType, values ...string) []types.Filter {
		return []types.Filter{{Key: key, Values: values}}
	}
	for want, in := range map[string]sdk.ListSecretsInput{
		"web-4 web-3 web-2 web-1 web-0": {MaxResults: aws.Int32(2)},
		"web-0 web-1 web-2 web-3 web-4": {SortOrder: types.SortOrderTypeAsc, MaxResults: aws.Int32(3)},
		"web-1":                         {Filters: filter(types.FilterNameStringTypeTagKey, "team")},
		"web-4 web-3 web-2 web-0":       {Filters: filter(types.FilterNameStringTypeName, "!web-1")},
		"":                              {Filters: filter(types.FilterNameStringTypeTagKey, "old")},
	} {
		if got := names(in); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	batch := must(f.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{SecretIdList: []string{"web-0", "none"}}))
	if len(batch.SecretValues) != 1 || len(batch.Errors) != 1 || *batch.Errors[0].ErrorCode != "ResourceNotFoundException" {
		t.Errorf("%+v", batch)
	}
}

// TestDenied: who may not read a value learns neither it nor whether the secret is there.
func TestDenied(t *testing.T) {
	f := newFixture(t)
	f.create("s", "hush")
	f.denied = fault.New(fault.AccessDenied, "no")
	for _, id := range []string{"s", "none"} {
		if got := f.value(id, sdk.GetSecretValueInput{}); !strings.HasPrefix(got, "AccessDenied") {
			t.Errorf("%s: %q", id, got)
		}
	}
}

func TestPassword(t *testing.T) {
	f := newFixture(t)
	for range 200 {
		p := *must(f.GetRandomPassword(t.Context(), &sdk.GetRandomPasswordInput{PasswordLength: aws.Int64(4), ExcludeCharacters: aws.String("abcdefghijklmnopqrstuvwxy")})).RandomPassword
		if len(p) != 4 || !strings.Contains(p, "z") || !strings.ContainsAny(p, "0123456789") || !strings.ContainsAny(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Errorf("%q", p)
		}
	}
}

// TestRefused: what is wrong is told in the service's exceptions, and changes nothing.
func TestRefused(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("s", "v")
	deleted := f.create("gone", "v")
	must(f.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: deleted.ARN}))
	before := f.Store.View().Revision
	s, long := aws.String("s"), strings.Repeat("x", 65537)
	for _, c := range []struct {
		name string
		call func() error
		want fault.Kind
	}{
		{"no name", func() error { _, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{}); return err }, fault.InvalidParameter},
		{"bad name", func() error {
			_, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("a b")})
			return err
		}, fault.InvalidParameter},
		{"there already", func() error { _, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: s}); return err }, "ResourceExistsException"},
		{"too long", func() error {
			_, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("t"), SecretString: &long})
			return err
		}, fault.InvalidParameter},
		{"both", func() error {
			_, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("t"), SecretString: s, SecretBinary: []byte("b")})
			return err
		}, fault.InvalidParameter},
		{"short token", func() error {
			_, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("t"), SecretString: s, ClientRequestToken: s})
			return err
		}, fault.InvalidParameter},
		{"replicas", func() error {
			_, err := f.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("t"), AddReplicaRegions: []types.ReplicaRegionType{{}}})
			return err
		}, fault.Unsupported},
		{"reserved tag", func() error {
			_, err := f.TagResource(ctx, &sdk.TagResourceInput{SecretId: s, Tags: []types.Tag{{Key: aws.String("aws:x")}}})
			return err
		}, fault.InvalidParameter},
		{"no value", func() error { _, err := f.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: s}); return err }, fault.InvalidParameter},
		{"not there", func() error {
			_, err := f.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("n"), SecretString: s})
			return err
		}, fault.ResourceNotFound},
		{"another account's", func() error {
			_, err := f.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: aws.String("arn:aws:secretsmanager:us-east-1:111111111111:secret:s-AbCdEf")})
			return err
		}, fault.ResourceNotFound},
		{"marked", func() error {
			_, err := f.UpdateSecret(ctx, &sdk.UpdateSecretInput{SecretId: deleted.ARN, SecretString: s})
			return err
		}, "InvalidRequestException"},
		{"marked already", func() error { _, err := f.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: deleted.ARN}); return err }, "InvalidRequestException"},
		{"window", func() error {
			_, err := f.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: s, RecoveryWindowInDays: aws.Int64(6)})
			return err
		}, fault.InvalidParameter},
		{"current away", func() error {
			v := f.Store.View().Secrets.Get("s").Versions[0].ID
			_, err := f.UpdateSecretVersionStage(ctx, &sdk.UpdateSecretVersionStageInput{SecretId: s, VersionStage: aws.String("AWSCURRENT"), RemoveFromVersionId: &v})
			return err
		}, fault.InvalidParameter},
		{"stage", func() error {
			_, err := f.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: s, VersionStage: aws.String("NONE")})
			return err
		}, fault.ResourceNotFound},
		{"token", func() error {
			_, err := f.ListSecrets(ctx, &sdk.ListSecretsInput{NextToken: aws.String("!")})
			return err
		}, "InvalidNextTokenException"},
		{"filter", func() error {
			_, err := f.ListSecrets(ctx, &sdk.ListSecretsInput{Filters: []types.Filter{{Key: "x", Values: []string{"y"}}}})
			return err
		}, fault.InvalidParameter},
		{"nothing to batch", func() error { _, err := f.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{}); return err }, fault.InvalidParameter},
		{"password", func() error {
			_, err := f.GetRandomPassword(ctx, &sdk.GetRandomPasswordInput{PasswordLength: aws.Int64(2)})
			return err
		}, fault.InvalidParameter},
	} {
		var got *fault.Error
		if err := c.call(); !errors.As(err, &got) || got.Kind != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if now := f.Store.View().Revision; now != before {
		t.Errorf("what was refused made commits: %d, then %d", before, now)
	}
}
