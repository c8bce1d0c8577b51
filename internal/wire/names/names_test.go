package names

import (
	"strings"
	"testing"
)

func TestFor(t *testing.T) {
	for service, want := range map[string]map[string]Name{
		"sts": {"PolicyDescriptorType.Arn": {Request: "arn"}},
		"iam": {"ListDelegationRequestsOutput.IsTruncated": {Answer: "isTruncated"}},
		"ec2": {
			"DescribeSubnetsInput.Filters":                               {Request: "Filter"},
			"Reservation.Instances":                                      {Answer: "instancesSet"},
			"LaunchTemplateInstanceNetworkInterfaceSpecification.Groups": {Answer: "groupSet", Item: "groupId"},
		},
		"elasticloadbalancingv2": {},
		"ecs":                    {},
	} {
		got, err := For(service)
		if err != nil {
			t.Fatal(err)
		}
		for k, n := range want {
			if got[k] != n {
				t.Errorf("%s: %s is %+v, want %+v", service, k, got[k], n)
			}
		}
		for k := range got {
			if len(want) == 0 || strings.Count(k, ".") != 1 {
				t.Errorf("%s has %s", service, k)
			}
		}
	}
}
