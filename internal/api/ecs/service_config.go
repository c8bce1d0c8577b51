package ecsapi

import (
	"reflect"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Defaults and limits of services.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
const (
	defaultMinimumHealthy = 100
	defaultMaximum        = 200
	maxBakeMinutes        = 1440
	// maxDesired bounds a service; ECS's quota is 5,000.
	// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
	maxDesired = 1_000_000
)

// deploymentConfiguration lays what was given over what holds.
func (a *API) deploymentConfiguration(c ecs.DeploymentConfiguration, in *types.DeploymentConfiguration) (ecs.DeploymentConfiguration, error) {
	if in == nil {
		return c, nil
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"canaryConfiguration", in.CanaryConfiguration != nil}, {"linearConfiguration", in.LinearConfiguration != nil},
		{"strategy " + string(in.Strategy), in.Strategy != "" && in.Strategy != types.DeploymentStrategyRolling},
	} {
		if f.set {
			return c, fault.New(fault.Unsupported, notYet, "deploymentConfiguration."+f.name)
		}
	}
	if in.MinimumHealthyPercent != nil {
		c.MinimumHealthyPercent = *in.MinimumHealthyPercent
	}
	if in.MaximumPercent != nil {
		c.MaximumPercent = *in.MaximumPercent
	}
	if in.BakeTimeInMinutes != nil {
		c.BakeTimeInMinutes = *in.BakeTimeInMinutes
	}
	switch {
	case c.MinimumHealthyPercent < 0:
		return c, fault.New(fault.InvalidParameter, "minimumHealthyPercent should not be negative.")
	case c.MaximumPercent < 100:
		return c, fault.New(fault.InvalidParameter, "maximumPercent should be greater than or equal to 100.")
	case c.MaximumPercent <= c.MinimumHealthyPercent && c.MaximumPercent <= 100:
		return c, fault.New(fault.InvalidParameter, "maximumPercent must be greater than minimumHealthyPercent.")
	case c.BakeTimeInMinutes < 0 || c.BakeTimeInMinutes > maxBakeMinutes:
		return c, fault.New(fault.InvalidParameter, "bakeTimeInMinutes must be between 0 and %d.", maxBakeMinutes)
	}
	return c, a.deploymentOptions(&c, in)
}

// deploymentOptions reads what a configuration has beside percentages.
func (a *API) deploymentOptions(c *ecs.DeploymentConfiguration, in *types.DeploymentConfiguration) (err error) {
	if in.DeploymentCircuitBreaker != nil {
		if c.CircuitBreaker, err = readBreaker(in.DeploymentCircuitBreaker); err != nil {
			return err
		}
	}
	if in.EarlySuccessCriteria != nil {
		if c.EarlySuccess, err = readEarlySuccess(in.EarlySuccessCriteria, c); err != nil {
			return err
		}
	}
	if in.Alarms != nil {
		if c.Alarms, err = a.readAlarms(in.Alarms); err != nil {
			return err
		}
	}
	if in.LifecycleHooks != nil {
		c.Hooks, err = a.readHooks(in.LifecycleHooks)
	}
	return err
}

// deploymentOf is what a plan's tasks have in common, as a new deployment.
func deploymentOf(p *plan, now ecs.Millis) ecs.Deployment {
	d := ecs.Deployment{
		ID: ecs.NewDeploymentID(), Status: ecs.DeploymentPrimary, Definition: p.spec.Definition.ID(), LaunchType: p.launchType,
		CapacityProviderStrategy: p.strategy, PlatformVersion: p.platform, PlacementConstraints: p.constraints, PlacementStrategy: p.order,
		EnableExecuteCommand: p.spec.EnableExecuteCommand, CreatedAt: now, UpdatedAt: now, RolloutState: ecs.RolloutInProgress,
	}
	if p.vpc != nil {
		d.NetworkConfiguration = &ecs.NetworkConfiguration{AwsvpcConfiguration: p.vpc}
	}
	d.RolloutStateReason = "ECS deployment " + d.ID + " in progress."
	return d
}

// sameWork tells whether two deployments' tasks are alike, so that no new one is needed.
func sameWork(a, b *ecs.Deployment) bool {
	x, y := *a, *b
	for _, d := range []*ecs.Deployment{&x, &y} {
		d.ID, d.Status, d.RolloutState, d.RolloutStateReason = "", "", "", ""
		d.CreatedAt, d.UpdatedAt, d.ReadyAt, d.ResetAt, d.FailedTasks = 0, 0, 0, 0, 0
		if len(d.PlacementConstraints) == 0 {
			d.PlacementConstraints = nil
		}
		if len(d.PlacementStrategy) == 0 {
			d.PlacementStrategy = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

// service finds a service of a cluster by name or ARN; nil if there is none.
func (a *API) service(t *state.Tables, ref, cluster string) (*ecs.Service, error) {
	name := ref
	if isARN(ref) {
		arn, err := a.arn(ref, kindService)
		if err != nil {
			return nil, err
		}
		if arn.Cluster != "" && arn.Cluster != cluster {
			return nil, nil
		}
		name = arn.Resource
	}
	return t.Services.Get(cluster + "/" + name), nil
}

// activeService finds a service that can be changed.
func (a *API) activeService(t *state.Tables, ref, cluster string) (*ecs.Service, error) {
	s, err := a.service(t, ref, cluster)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, fault.New(fault.ServiceNotFound, "Service not found.")
	case s.Status != ecs.ServiceActive:
		return nil, fault.New(serviceNotActive, "Service was not ACTIVE.")
	}
	return s, nil
}

const serviceNotActive fault.Kind = "ServiceNotActiveException"
