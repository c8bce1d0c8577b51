package ecsapi

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of a capacity provider strategy, and of how many capacity providers a cluster has.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
const (
	maxProviders = 20
	maxWeight    = 1000
	maxBase      = 100000
)

// strategy reads a capacity provider strategy and checks what can be checked without the state. Names come of ARNs too.
func (a *API) strategy(in []types.CapacityProviderStrategyItem) ([]ecs.CapacityProviderStrategyItem, error) {
	if len(in) > maxProviders {
		return nil, fault.New(fault.InvalidParameter, "A capacity provider strategy can contain a maximum of %d capacity providers.", maxProviders)
	}
	var out []ecs.CapacityProviderStrategyItem
	bases := 0
	for _, it := range in {
		if str(it.CapacityProvider) == "" {
			return nil, fault.New(fault.InvalidParameter, "The capacity provider name cannot be null or empty.")
		}
		name, err := a.providerRef(*it.CapacityProvider)
		switch {
		case err != nil:
			return nil, err
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
		out = append(out, ecs.CapacityProviderStrategyItem{CapacityProvider: name, Base: it.Base, Weight: it.Weight})
	}
	if bases > 1 {
		return nil, fault.New(fault.InvalidParameter, "Only one capacity provider in a capacity provider strategy can have a base defined.")
	}
	return out, nil
}

// weighted tells whether a strategy can place every task: of several providers one must have a weight. A cluster may have another
// as its default all the same, as at AWS; it is refused where it is used.
func weighted(strategy []ecs.CapacityProviderStrategyItem) bool {
	return len(strategy) <= 1 || slices.ContainsFunc(strategy, func(it ecs.CapacityProviderStrategyItem) bool { return it.Weight > 0 })
}

// checkStrategy holds a strategy against its cluster: it must have all its providers, and they must be of one kind.
func checkStrategy(t *state.Tables, c *ecs.Cluster, strategy []ecs.CapacityProviderStrategyItem) error {
	fargate := 0
	for _, it := range strategy {
		name := it.CapacityProvider
		if ecs.IsFargateProvider(name) {
			fargate++
		}
		if provider(t, name) == nil {
			return noProvider(name)
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
