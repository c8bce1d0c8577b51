package wire

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// TestSharedSigningName: two Query services that are signed for by one name, as the generations of Elastic Load Balancing are,
// are told apart by operation and version.
func TestSharedSigningName(t *testing.T) {
	older, newer := stsService(), stsService()
	older.cfg.APIVersion, newer.cfg.APIVersion = "2011-06-15", "2026-01-01"
	other := NewService(ServiceConfig{Name: "elbv2", SigningName: "sts", Protocol: Query, APIVersion: "2015-12-01", Client: reflect.TypeFor[*elb.Client]()})
	say := func(who string) func(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return func(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
			return &sts.GetCallerIdentityOutput{Arn: &who}, nil
		}
	}
	Handle(older, "GetCallerIdentity", say("older"))
	Handle(newer, "GetCallerIdentity", say("newer"))
	Handle(other, "DescribeLoadBalancers", func(context.Context, *elb.DescribeLoadBalancersInput) (*elb.DescribeLoadBalancersOutput, error) {
		return &elb.DescribeLoadBalancersOutput{}, nil
	})
	srv := serve(t, func(c *Config) { c.Now = testClock }, older, newer, other)
	for body, want := range map[string]string{
		"Action=GetCallerIdentity&Version=2011-06-15":     "older",
		"Action=GetCallerIdentity&Version=2026-01-01":     "newer",
		"Action=GetCallerIdentity":                        "older",
		"Action=DescribeLoadBalancers&Version=2015-12-01": "DescribeLoadBalancersResult",
		"Action=DescribeLoadBalancers&Version=2012-06-01": "DescribeLoadBalancersResult",
		"Action=DescribeTargetGroups":                     "UnsupportedOperation",
		"Action=DescribeNothing&Version=2015-12-01":       "InvalidAction",
	} {
		_, got := post(t, srv.URL, "", []byte(body), func(r *http.Request) {
			r.Header.Del("X-Amz-Target")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		})
		if !strings.Contains(got, want) {
			t.Errorf("%s: want %s, have %s", body, want, got)
		}
	}
}
