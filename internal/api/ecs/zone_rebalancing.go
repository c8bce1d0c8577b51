package ecsapi

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// checkZones refuses zone rebalancing for services whose tasks cannot be moved between zones; d says how they are placed and is nil
// for an EXTERNAL service without a primary task set.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html
func checkZones(s *ecs.Service, d *ecs.Deployment) error {
	if s.ZoneRebalancing != string(types.AvailabilityZoneRebalancingEnabled) {
		return nil
	}
	const cannot = "Availability Zone rebalancing cannot be enabled for services "
	switch {
	case s.SchedulingStrategy == ecs.SchedulingDaemon:
		return fault.New(fault.InvalidParameter, cannot+"that use the DAEMON scheduling strategy.")
	case s.External():
		return fault.New(fault.InvalidParameter, cannot+"that use the EXTERNAL deployment controller.")
	case s.DeploymentConfiguration.MaximumPercent <= 100:
		return fault.New(fault.InvalidParameter, cannot+"with a maximumPercent of 100 or less.")
	case d != nil && len(d.PlacementStrategy) > 0 && (d.PlacementStrategy[0].Type != ecs.StrategySpread || d.PlacementStrategy[0].Field != "attribute:"+ecs.AttributeZone):
		return fault.New(fault.InvalidParameter, cannot+"whose first placement strategy is not a spread across Availability Zones.")
	}
	if d != nil {
		for _, c := range d.PlacementConstraints {
			if strings.Contains(c.Expression, ecs.AttributeZone) {
				return fault.New(fault.InvalidParameter, cannot+"with a placement constraint on Availability Zones.")
			}
		}
	}
	return nil
}
