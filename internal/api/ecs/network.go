package ecsapi

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// Limits of awsvpcConfiguration.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html
const (
	maxSubnets        = 16
	maxSecurityGroups = 5
)

var (
	subnetID        = regexp.MustCompile(`^subnet-([0-9a-f]{8}|[0-9a-f]{17})$`)
	securityGroupID = regexp.MustCompile(`^sg-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// network reads a network configuration; nil if there is none. Whether subnets exist is not asked: one that is named first
// is made then.
func network(in *types.NetworkConfiguration) (*ecs.AwsVpcConfiguration, error) {
	if in == nil || in.AwsvpcConfiguration == nil {
		return nil, nil
	}
	c := in.AwsvpcConfiguration
	switch {
	case len(c.Subnets) == 0:
		return nil, fault.New(fault.InvalidParameter, "subnets can not be empty.")
	case len(c.Subnets) > maxSubnets:
		return nil, fault.New(fault.InvalidParameter, "subnets can have at most %d items.", maxSubnets)
	case len(c.SecurityGroups) > maxSecurityGroups:
		return nil, fault.New(fault.InvalidParameter, "securityGroups can have at most %d items.", maxSecurityGroups)
	case c.AssignPublicIp != "" && !known(c.AssignPublicIp):
		return nil, fault.New(fault.InvalidParameter, "Invalid assignPublicIp: %q.", string(c.AssignPublicIp))
	}
	for _, id := range c.Subnets {
		if !subnetID.MatchString(id) {
			return nil, fault.New(fault.InvalidParameter, `Error retrieving subnet information for [%s]: %s (ErrorCode: InvalidSubnetID.Malformed)`,
				strings.Join(c.Subnets, ", "), malformed(id, "subnet-..."))
		}
	}
	for _, id := range c.SecurityGroups {
		if !securityGroupID.MatchString(id) {
			return nil, fault.New(fault.InvalidParameter, `Error retrieving security group information for [%s]: %s (ErrorCode: InvalidGroupId.Malformed)`,
				strings.Join(c.SecurityGroups, ", "), malformed(id, "sg-..."))
		}
	}
	return &ecs.AwsVpcConfiguration{AssignPublicIp: string(c.AssignPublicIp), SecurityGroups: c.SecurityGroups, Subnets: c.Subnets}, nil
}

func malformed(id, expected string) string {
	return `Invalid id: "` + id + `" (expecting "` + expected + `")`
}

// checkNetwork holds a network configuration against the definition's network mode.
func checkNetwork(d *ecs.TaskDefinition, vpc *ecs.AwsVpcConfiguration) error {
	switch {
	case d.NetworkMode == ecs.NetworkAwsvpc && vpc == nil:
		return fault.New(fault.InvalidParameter, "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	case d.NetworkMode != ecs.NetworkAwsvpc && vpc != nil:
		return fault.New(fault.InvalidParameter, "Network Configuration is not valid for the given networkMode of this task definition.")
	}
	return nil
}
