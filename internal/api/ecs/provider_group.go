package ecsapi

import (
	"regexp"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// groupARN is an Auto Scaling group's ARN, groupName its name, which ECS takes too.
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingGroup.html
var (
	groupARN  = regexp.MustCompile(`^arn:aws[a-z-]*:autoscaling:[a-z0-9-]+:[0-9]{12}:autoScalingGroup:[^:/]+:autoScalingGroupName/.{1,255}$`)
	groupName = regexp.MustCompile(`^[^:]{1,255}$`)
)

// Defaults and limits of managed scaling.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html
const (
	defaultTargetCapacity = 100
	maxScalingStep        = 10000
	defaultWarmup         = 300
	maxWarmup             = 10000
	settingEnabled        = "ENABLED"
	settingDisabled       = "DISABLED"
)

// autoScalingGroup reads a new provider's group, with what ECS fills in where nothing is said.
func autoScalingGroup(in *types.AutoScalingGroupProvider) (*ecs.AutoScalingGroupProvider, error) {
	if in == nil {
		return nil, fault.New(fault.InvalidParameter, "Auto Scaling group provider can not be null.")
	}
	arn := str(in.AutoScalingGroupArn)
	if isARN(arn) && !groupARN.MatchString(arn) || !isARN(arn) && !groupName.MatchString(arn) {
		return nil, fault.New(fault.Client, "The specified Auto Scaling group ARN is invalid. Specify a valid ARN and try again.")
	}
	g := mirror.Of[ecs.AutoScalingGroupProvider](in)
	if g.ManagedScaling == nil {
		g.ManagedScaling = &ecs.ManagedScaling{Status: settingDisabled}
	}
	g.ManagedScaling = &ecs.ManagedScaling{
		InstanceWarmupPeriod:   orInt(g.ManagedScaling.InstanceWarmupPeriod, defaultWarmup),
		MaximumScalingStepSize: orInt(g.ManagedScaling.MaximumScalingStepSize, maxScalingStep),
		MinimumScalingStepSize: orInt(g.ManagedScaling.MinimumScalingStepSize, 1),
		Status:                 or(g.ManagedScaling.Status, settingEnabled),
		TargetCapacity:         orInt(g.ManagedScaling.TargetCapacity, defaultTargetCapacity),
	}
	g.ManagedTerminationProtection = or(g.ManagedTerminationProtection, settingDisabled)
	g.ManagedDraining = or(g.ManagedDraining, settingEnabled)
	return &g, checkGroup(&g)
}

// updateAutoScalingGroup puts what an update says over what is there, field by field.
func updateAutoScalingGroup(old *ecs.AutoScalingGroupProvider, in *types.AutoScalingGroupProviderUpdate) (*ecs.AutoScalingGroupProvider, error) {
	g := *old
	g.ManagedDraining = or(string(in.ManagedDraining), g.ManagedDraining)
	g.ManagedTerminationProtection = or(string(in.ManagedTerminationProtection), g.ManagedTerminationProtection)
	if in.ManagedScaling != nil {
		change, scaling := mirror.Of[ecs.ManagedScaling](in.ManagedScaling), *old.ManagedScaling
		scaling.Status = or(change.Status, scaling.Status)
		scaling.InstanceWarmupPeriod = orPointer(change.InstanceWarmupPeriod, scaling.InstanceWarmupPeriod)
		scaling.MaximumScalingStepSize = orPointer(change.MaximumScalingStepSize, scaling.MaximumScalingStepSize)
		scaling.MinimumScalingStepSize = orPointer(change.MinimumScalingStepSize, scaling.MinimumScalingStepSize)
		scaling.TargetCapacity = orPointer(change.TargetCapacity, scaling.TargetCapacity)
		g.ManagedScaling = &scaling
	}
	return &g, checkGroup(&g)
}

// checkGroup holds a group in which everything is said against ECS's ranges.
func checkGroup(g *ecs.AutoScalingGroupProvider) error {
	s := g.ManagedScaling
	switch {
	case !known(types.ManagedScalingStatus(s.Status)):
		return fault.New(fault.InvalidParameter, "Invalid value for managedScaling.status: %q.", s.Status)
	case !known(types.ManagedTerminationProtection(g.ManagedTerminationProtection)):
		return fault.New(fault.InvalidParameter, "Invalid value for managedTerminationProtection: %q.", g.ManagedTerminationProtection)
	case !known(types.ManagedDraining(g.ManagedDraining)):
		return fault.New(fault.InvalidParameter, "Invalid value for managedDraining: %q.", g.ManagedDraining)
	case *s.TargetCapacity < 1 || *s.TargetCapacity > 100:
		return fault.New(fault.InvalidParameter, "managedScaling.targetCapacity must be between 1 and 100.")
	case *s.MinimumScalingStepSize < 1 || *s.MinimumScalingStepSize > maxScalingStep:
		return fault.New(fault.InvalidParameter, "managedScaling.minimumScalingStepSize must be between 1 and %d.", maxScalingStep)
	case *s.MaximumScalingStepSize < 1 || *s.MaximumScalingStepSize > maxScalingStep:
		return fault.New(fault.InvalidParameter, "managedScaling.maximumScalingStepSize must be between 1 and %d.", maxScalingStep)
	case *s.MinimumScalingStepSize > *s.MaximumScalingStepSize:
		return fault.New(fault.InvalidParameter, "managedScaling.minimumScalingStepSize must not be greater than maximumScalingStepSize.")
	case *s.InstanceWarmupPeriod < 0 || *s.InstanceWarmupPeriod > maxWarmup:
		return fault.New(fault.InvalidParameter, "managedScaling.instanceWarmupPeriod must be between 0 and %d.", maxWarmup)
	case g.ManagedTerminationProtection == settingEnabled && s.Status != settingEnabled:
		return fault.New(fault.InvalidParameter, "The managed termination protection setting for the capacity provider is invalid. "+
			"To enable managed termination protection for a capacity provider, managed scaling must be enabled.")
	}
	return nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func orPointer(a, b *int32) *int32 {
	if a != nil {
		return a
	}
	return b
}

func orInt(a *int32, b int32) *int32 { return orPointer(a, &b) }
