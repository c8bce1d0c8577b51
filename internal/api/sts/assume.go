package sts

import (
	"context"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

// The exceptions of STS, whose names are older than those of other services.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
const (
	accessDenied    fault.Kind = "AccessDenied"
	validationError fault.Kind = "ValidationError"
)

// Bounds of AssumeRole.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const (
	shortest        = 15 * time.Minute
	longest         = 12 * time.Hour
	usual           = time.Hour
	longestARN      = 2048
	roleText        = `^arn:aws:iam::([0-9]{12}):role/(?:[\x21-\x7e]*/)?[\w+=,.@-]{1,64}$`
	sessionNameText = `^[\w+=,.@-]{2,64}$`
)

var roleForm, sessionNameForm = regexp.MustCompile(roleText), regexp.MustCompile(sessionNameText)

// AssumeRole lends a role. As roles have no policies here yet, there are none to narrow: what would is refused.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (a *API) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	if err := a.checkAssume(in); err != nil {
		return nil, err
	}
	caller := wire.CallerFrom(ctx)
	if err := a.Allow(ctx, caller, *in.RoleArn, *in.RoleSessionName); err != nil {
		return nil, err
	}
	length := usual
	if in.DurationSeconds != nil {
		length = time.Duration(*in.DurationSeconds) * time.Second
	}
	s := Session{RoleARN: *in.RoleArn, Name: *in.RoleSessionName, Expires: a.Now().UTC().Truncate(time.Second).Add(length)}
	c, err := a.Lend(s)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleOutput{
		AssumedRoleUser: &types.AssumedRoleUser{Arn: &c.ARN, AssumedRoleId: &c.UserID},
		Credentials: &types.Credentials{
			AccessKeyId: &c.AccessKeyID, SecretAccessKey: &c.SecretAccessKey, SessionToken: &c.SessionToken, Expiration: &s.Expires,
		},
	}, nil
}

func (a *API) checkAssume(in *sts.AssumeRoleInput) error {
	role := aws.ToString(in.RoleArn)
	form := roleForm.FindStringSubmatch(role)
	switch {
	case len(role) > longestARN || form == nil:
		return fault.New(validationError, "%.200q is invalid: roleArn must be arn:aws:iam::ACCOUNT:role/NAME.", role)
	case !sessionNameForm.MatchString(aws.ToString(in.RoleSessionName)):
		return fault.New(validationError, "Value %.80q at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]* and have a length of 2 to 64.", aws.ToString(in.RoleSessionName))
	case form[1] != a.Account:
		return fault.New(accessDenied, "Roles of account %s cannot be assumed here: this is account %s.", form[1], a.Account)
	}
	if d := in.DurationSeconds; d != nil && (*d < int32(shortest.Seconds()) || *d > int32(longest.Seconds())) {
		return fault.New(validationError, "Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have a value between %d and %d.", *d, int(shortest.Seconds()), int(longest.Seconds()))
	}
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"Policy", in.Policy != nil}, {"PolicyArns", len(in.PolicyArns) > 0}, {"Tags", len(in.Tags) > 0}, {"TransitiveTagKeys", len(in.TransitiveTagKeys) > 0},
		{"SerialNumber", in.SerialNumber != nil}, {"TokenCode", in.TokenCode != nil}, {"ProvidedContexts", len(in.ProvidedContexts) > 0},
		{"SourceIdentity", in.SourceIdentity != nil}, {"ExternalId", in.ExternalId != nil}, {"MinimumSessionTokenSize", in.MinimumSessionTokenSize != nil},
	} {
		if f.given {
			return fault.New(fault.Unsupported, "%s is not supported yet.", f.name)
		}
	}
	return nil
}
