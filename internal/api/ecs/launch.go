package ecsapi

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Platform versions of Fargate. The older ones are retired.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-fargate.html
const (
	platformLatest  = "LATEST"
	platformCurrent = "1.4.0"
	platformOlder   = "1.3.0"
)

// launch is how tasks of a request run: all of one launch type, on the providers of a strategy if there is one.
type launch struct {
	launchType string
	strategy   []ecs.CapacityProviderStrategyItem
	// platform is "" but for FARGATE.
	platform string
}

// checkLaunchType refuses what is no launch type, and what no instance can be.
func checkLaunchType(l types.LaunchType, strategy []types.CapacityProviderStrategyItem) error {
	switch {
	case l != "" && !known(l):
		return fault.New(fault.InvalidParameter, "Invalid launchType: %q.", string(l))
	case l == types.LaunchTypeManagedInstances:
		return fault.New(fault.Unsupported, "launchType %s is not supported yet.", string(l))
	case l != "" && len(strategy) > 0:
		return fault.New(fault.InvalidParameter, "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	}
	return nil
}

// launchOf decides how tasks run: as the request says, else by the cluster's default strategy, else on EC2.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-capacity-providers.html
func (r *taskRequest) launchOf(t *state.Tables, c *ecs.Cluster) (launch, error) {
	l := launch{launchType: string(r.launchType), strategy: r.providers}
	if !weighted(l.strategy) {
		return l, fault.New(fault.InvalidParameter, "At least one capacity provider in a capacity provider strategy must have a weight greater than zero.")
	}
	if l.launchType == "" && len(l.strategy) == 0 && !r.started {
		l.strategy = c.DefaultCapacityProviderStrategy
	}
	if !weighted(l.strategy) {
		return l, fault.New(fault.InvalidParameter, "There are no capacity providers with a weight value greater than zero defined in the default capacity provider "+
			"strategy. At least one capacity provider must have a weight value greater than zero specified. Update the cluster's default capacity provider strategy "+
			"or specify a valid capacity provider strategy and try again.")
	}
	if l.launchType == "" {
		l.launchType = ecs.LaunchEC2
	}
	if len(l.strategy) > 0 {
		if err := checkStrategy(t, c, l.strategy); err != nil {
			return l, err
		}
		if ecs.IsFargateProvider(l.strategy[0].CapacityProvider) {
			l.launchType = ecs.LaunchFargate
		}
	}
	return l, l.choosePlatform(str(r.platform))
}

func (l *launch) choosePlatform(version string) error {
	if l.launchType != ecs.LaunchFargate {
		if version != "" {
			return fault.New(fault.InvalidParameter, "The platform version must be null when specifying an %s launch type.", l.launchType)
		}
		return nil
	}
	switch version {
	case "", platformLatest, platformCurrent:
		l.platform = platformCurrent
	case platformOlder:
		l.platform = platformOlder
	default:
		return fault.New(fault.InvalidParameter, "The specified platform does not exist.")
	}
	return nil
}

// checkLaunch refuses what a definition or request asks for and tasks of the launch type cannot have.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
func (r *taskRequest) checkLaunch(d *ecs.TaskDefinition, l *launch) error {
	asked := r.launchType != "" || len(l.strategy) > 0
	if asked && !slices.Contains(d.Compatibilities, l.launchType) {
		return fault.New(fault.InvalidParameter, "Task definition does not support launch_type %s.", l.launchType)
	}
	if l.launchType != ecs.LaunchFargate {
		switch {
		case r.override != nil && r.override.EphemeralStorage != nil:
			return fault.New(fault.InvalidParameter, "Ephemeral storage override is only supported with the FARGATE launch type.")
		case r.vpc != nil && r.vpc.AssignPublicIp == string(types.AssignPublicIpEnabled):
			return fault.New(fault.InvalidParameter, "Assign public IP is not supported for this launch type.")
		}
		return nil
	}
	switch {
	case len(r.constraints) > 0:
		return fault.New(fault.InvalidParameter, "Placement constraints are not supported with FARGATE launch type.")
	case len(r.order) > 0:
		return fault.New(fault.InvalidParameter, "Placement strategies are not supported with FARGATE launch type.")
	case l.platform == platformOlder && r.override != nil && r.override.EphemeralStorage != nil:
		return fault.New(fault.InvalidParameter, "Ephemeral storage requires platform version %s or later.", platformCurrent)
	}
	return r.checkFargateSize(d)
}

// checkFargateSize holds the task's size, as overrides leave it, against Fargate's table.
func (r *taskRequest) checkFargateSize(d *ecs.TaskDefinition) error {
	if r.override == nil || r.override.Cpu == "" && r.override.Memory == "" {
		return nil
	}
	n := d.Needs(r.override)
	if !taskdef.FitsFargate(n.CPU, n.MemoryMiB) {
		return fault.New(fault.InvalidParameter, "No Fargate configuration exists for given values: %d CPU, %d memory.", n.CPU, n.MemoryMiB)
	}
	return nil
}
