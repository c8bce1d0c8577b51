package ecsapi

import (
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
)

// instanceHealth gives the checks of an instance. Of one that is INACTIVE nothing is known.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-health.html
func (a *API) instanceHealth(i *ecs.Instance) *types.ContainerInstanceHealthStatus {
	var checks ecs.InstanceHealth
	if i.Status != ecs.InstanceInactive {
		checks = a.Health(i.ID)
	}
	out := &types.ContainerInstanceHealthStatus{OverallStatus: types.InstanceHealthCheckState(checks.Overall()), Details: []types.InstanceHealthCheckResult{}}
	for _, c := range checks {
		out.Details = append(out.Details, types.InstanceHealthCheckResult{
			Type: types.InstanceHealthCheckType(c.Type), Status: types.InstanceHealthCheckState(c.Status), StatusReason: ptr(c.Reason),
			LastStatusChange: moment(c.Changed), LastUpdated: moment(c.Updated),
		})
	}
	return out
}
