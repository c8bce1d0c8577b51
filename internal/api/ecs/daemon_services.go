package ecsapi

import (
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// What services of the scheduling strategy DAEMON have for percentages if nothing is said, and may have at most.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
const (
	daemonMinimumHealthy = 0
	daemonMaximum        = 100
)

// checkDaemon refuses what has no meaning for a service with one task on each instance; it is all right for others.
func checkDaemon(s *ecs.Service, desired *int32, order []types.PlacementStrategy, launch types.LaunchType, c *ecs.DeploymentConfiguration) error {
	if s.SchedulingStrategy != ecs.SchedulingDaemon {
		return nil
	}
	switch {
	case desired != nil:
		return fault.New(fault.InvalidParameter, "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again")
	case len(order) > 0:
		return fault.New(fault.InvalidParameter, "The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again")
	case c.MaximumPercent > daemonMaximum:
		return fault.New(fault.InvalidParameter, "The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment configuration. "+
			"Change the maximumPercent value to 100, and try again")
	case launch == types.LaunchTypeFargate:
		return fault.New(fault.InvalidParameter, "The daemon scheduling strategy does not support the Fargate launch type. Use the EC2 launch type and try again")
	}
	return nil
}
