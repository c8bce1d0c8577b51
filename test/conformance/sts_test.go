package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestCallerIdentity(t *testing.T) {
	s := begin(t)
	me := must[sts.GetCallerIdentityOutput](s)(s.sts.GetCallerIdentity(s.ctx, &sts.GetCallerIdentityInput{}))
	if len(aws.ToString(me.Account)) != 12 || aws.ToString(me.UserId) == "" || !strings.HasPrefix(aws.ToString(me.Arn), "arn:aws:") {
		t.Errorf("who am I: %+v", me)
	}
	if out := s.cli("sts", "get-caller-identity"); at(out, "Account") != *me.Account || at(out, "Arn") != *me.Arn {
		t.Errorf("get-caller-identity: %v", out)
	}
}

// TestUnknownKey: who has no key gets nowhere.
func TestUnknownKey(t *testing.T) {
	s := begin(t)
	_, err := s.ecs.ListClusters(s.ctx, &ecs.ListClustersInput{}, func(o *ecs.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, nil
		})
	})
	if code := codeOf(err); code != "UnrecognizedClientException" {
		t.Errorf("an unknown key: %v", err)
	}
}
