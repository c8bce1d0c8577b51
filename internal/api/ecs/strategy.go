package ecsapi

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of a capacity provider strategy.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
const (
	maxProviders = 20
	maxWeight    = 1000
	maxBase      = 100000
)

const kindProvider = "capacity-provider"

// strategy reads a capacity provider strategy and checks what can be checked without the state. Names come of ARNs too.
func (a *API) strategy(in []types.CapacityProviderStrategyItem) ([]ecs.CapacityProviderStrategyItem, error) {
	if len(in) > maxProviders {
		return nil, fault.New(fault.InvalidParameter, "A capacity provider strategy can contain a maximum of %d capacity providers.", maxProviders)
	}
	var out []ecs.CapacityProviderStrategyItem
	bases, weights := 0, int32(0)
	for _, it := range in {
		name := str(it.CapacityProvider)
		if isARN(name) {
			arn, err := a.arn(name, kindProvider)
			if err != nil {
				return nil, err
			}
			name = arn.Resource
		}
		switch {
		case name == "":
			return nil, fault.New(fault.InvalidParameter, "The capacity provider name cannot be null or empty.")
		case slices.ContainsFunc(out, func(o ecs.CapacityProviderStrategyItem) bool { return o.CapacityProvider == name }):
			return nil, fault.New(fault.InvalidParameter, "The capacity provider strategy contains the capacity provider '%s' more than once.", name)
		case it.Weight < 0 || it.Weight > maxWeight:
			return nil, fault.New(fault.InvalidParameter, "The weight of a capacity provider must be between 0 and %d.", maxWeight)
		case it.Base < 0 || it.Base > maxBase:
			return nil, fault.New(fault.InvalidParameter, "The base of a capacity provider must be between 0 and %d.", maxBase)
		}
		if it.Base > 0 {
			bases++
		}
		weights += it.Weight
		out = append(out, ecs.CapacityProviderStrategyItem{CapacityProvider: name, Base: it.Base, Weight: it.Weight})
	}
	switch {
	case bases > 1:
		return nil, fault.New(fault.InvalidParameter, "Only one capacity provider in a capacity provider strategy can have a base defined.")
	case len(out) > 1 && weights == 0:
		return nil, fault.New(fault.InvalidParameter, "At least one capacity provider in a capacity provider strategy must have a weight greater than zero.")
	}
	return out, nil
}

func isFargate(provider string) bool {
	return provider == ecs.ProviderFargate || provider == ecs.ProviderFargateSpot
}

// checkStrategy holds a strategy against its cluster: it must have all its providers, and they must be of one kind.
func checkStrategy(t *state.Tables, c *ecs.Cluster, strategy []ecs.CapacityProviderStrategyItem) error {
	fargate := 0
	for _, it := range strategy {
		name := it.CapacityProvider
		if isFargate(name) {
			fargate++
		} else if p := t.CapacityProviders.Get(name); p == nil || p.Status != ecs.ProviderActive {
			return fault.New(fault.InvalidParameter, "The specified capacity provider '%s' was not found. Specify a valid name or ARN and try again.", name)
		}
		if !slices.Contains(c.CapacityProviders, name) {
			return fault.New(fault.InvalidParameter,
				"The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.")
		}
	}
	if fargate > 0 && fargate < len(strategy) {
		return fault.New(fault.InvalidParameter,
			"A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again.")
	}
	return nil
}
