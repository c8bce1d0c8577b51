package ecsapi

import (
	"context"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// UpdateCluster replaces what it names of a cluster: the configuration as a whole, the settings, the default namespace, which ""
// takes away.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateCluster.html
func (a *API) UpdateCluster(ctx context.Context, in *sdk.UpdateClusterInput) (*sdk.UpdateClusterOutput, error) {
	settings, err := clusterSettings(in.Settings)
	if err != nil {
		return nil, err
	}
	configuration, err := clusterConfiguration(in.Configuration)
	if err != nil {
		return nil, err
	}
	if err := a.checkNamespace(in.ServiceConnectDefaults); err != nil {
		return nil, err
	}
	var out types.Cluster
	err = a.changeCluster(ctx, in.Cluster, func(tx *state.Tx, c *ecs.Cluster) error {
		if settings != nil {
			c.Settings = settings
		}
		if configuration != nil {
			c.Configuration = configuration
		}
		if in.ServiceConnectDefaults != nil {
			connect, err := a.namespace(&tx.Tables, in.ServiceConnectDefaults)
			if err != nil {
				return err
			}
			c.ServiceConnectDefaults = connect
		}
		out = a.wireCluster(&tx.Tables, c, everyClusterField)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UpdateClusterOutput{Cluster: &out}, nil
}

// UpdateClusterSettings replaces a cluster's settings.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateClusterSettings.html
func (a *API) UpdateClusterSettings(ctx context.Context, in *sdk.UpdateClusterSettingsInput) (*sdk.UpdateClusterSettingsOutput, error) {
	settings, err := clusterSettings(in.Settings)
	if err != nil {
		return nil, err
	}
	if settings == nil {
		return nil, fault.New(fault.InvalidParameter, "Settings can not be null or empty.")
	}
	var out types.Cluster
	err = a.changeCluster(ctx, in.Cluster, func(tx *state.Tx, c *ecs.Cluster) error {
		c.Settings = settings
		out = a.wireCluster(&tx.Tables, c, everyClusterField)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UpdateClusterSettingsOutput{Cluster: &out}, nil
}

// PutClusterCapacityProviders replaces a cluster's capacity providers and its default strategy. One that tasks were placed by
// cannot be taken away.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutClusterCapacityProviders.html
func (a *API) PutClusterCapacityProviders(ctx context.Context, in *sdk.PutClusterCapacityProvidersInput) (*sdk.PutClusterCapacityProvidersOutput, error) {
	if in.CapacityProviders == nil || in.DefaultCapacityProviderStrategy == nil {
		return nil, fault.New(fault.InvalidParameter, "Capacity providers and the default capacity provider strategy can not be null: give an empty list for none.")
	}
	providers, err := a.readProviders(in.CapacityProviders)
	if err != nil {
		return nil, err
	}
	strategy, err := a.strategy(in.DefaultCapacityProviderStrategy)
	if err != nil {
		return nil, err
	}
	var out types.Cluster
	err = a.changeCluster(ctx, in.Cluster, func(tx *state.Tx, c *ecs.Cluster) error {
		if err := checkProviders(&tx.Tables, providers); err != nil {
			return err
		}
		for _, p := range c.CapacityProviders {
			if !slices.Contains(providers, p) && (tx.ProviderTasks(c.Name, p) > 0 || serviceWith(&tx.Tables, c.Name, p) != "" || daemonWith(&tx.Tables, c.Name, p)) {
				return fault.New(fault.ResourceInUse, "The specified capacity provider is in use and cannot be removed.")
			}
		}
		c.CapacityProviders, c.DefaultCapacityProviderStrategy = providers, strategy
		if err := checkStrategy(&tx.Tables, c, strategy); err != nil {
			return err
		}
		out = a.wireCluster(&tx.Tables, c, everyClusterField)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.PutClusterCapacityProvidersOutput{Cluster: &out}, nil
}
