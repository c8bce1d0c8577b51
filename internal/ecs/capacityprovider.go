package ecs

// The capacity providers that every account has, and nobody can make, change or delete.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
const (
	ProviderFargate     = "FARGATE"
	ProviderFargateSpot = "FARGATE_SPOT"
)

// IsFargateProvider tells whether a capacity provider is one of the two that are not made of instances.
func IsFargateProvider(name string) bool {
	return name == ProviderFargate || name == ProviderFargateSpot
}

// AttributeCapacityProvider is the attribute by which an agent that registers says which capacity provider its instance
// belongs to. At AWS the instance's Auto Scaling group says so.
const AttributeCapacityProvider = "roadstead.capacity-provider"

// CapacityProviderStatus is where a capacity provider is in its life. ECS's INACTIVE ones are gone after a while; ours at once.
type CapacityProviderStatus string

// The states of a capacity provider.
const (
	ProviderActive   CapacityProviderStatus = "ACTIVE"
	ProviderInactive CapacityProviderStatus = "INACTIVE"
)

// CapacityProvider is where tasks of a strategy find room: the instances of one group.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProvider.html
type CapacityProvider struct {
	Name                     string                    `json:"name"`
	Status                   CapacityProviderStatus    `json:"status"`
	Tags                     []Tag                     `json:"tags,omitempty"`
	AutoScalingGroupProvider *AutoScalingGroupProvider `json:"autoScalingGroupProvider,omitempty"`
	UpdateStatus             string                    `json:"updateStatus,omitempty"`
	UpdateStatusReason       string                    `json:"updateStatusReason,omitempty"`
}

// AutoScalingGroupProvider is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AutoScalingGroupProvider.html
type AutoScalingGroupProvider struct {
	AutoScalingGroupArn          string          `json:"autoScalingGroupArn,omitempty"`
	ManagedDraining              string          `json:"managedDraining,omitempty"`
	ManagedScaling               *ManagedScaling `json:"managedScaling,omitempty"`
	ManagedTerminationProtection string          `json:"managedTerminationProtection,omitempty"`
}

// ManagedScaling is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html
type ManagedScaling struct {
	InstanceWarmupPeriod   *int32 `json:"instanceWarmupPeriod,omitempty"`
	MaximumScalingStepSize *int32 `json:"maximumScalingStepSize,omitempty"`
	MinimumScalingStepSize *int32 `json:"minimumScalingStepSize,omitempty"`
	Status                 string `json:"status,omitempty"`
	TargetCapacity         *int32 `json:"targetCapacity,omitempty"`
}
