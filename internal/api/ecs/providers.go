package ecsapi

import (
	"context"
	"regexp"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// What an update of a capacity provider, or an attempt to delete one, has come to.
const (
	providerCreated      = string(types.CapacityProviderUpdateStatusCreateComplete)
	providerUpdated      = string(types.CapacityProviderUpdateStatusUpdateComplete)
	providerDeleted      = string(types.CapacityProviderUpdateStatusDeleteComplete)
	providerDeleteFailed = string(types.CapacityProviderUpdateStatusDeleteFailed)
)

// Names of capacity providers have the letters of clusters' names, and some beginnings are AWS's.
var reservedProvider = regexp.MustCompile(`^(?i)(aws|ecs|fargate)`)

var (
	errProviderName = fault.New(fault.Client, `The specified capacity provider name is invalid. Up to 255 characters are allowed, including `+
		`letters (upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with "aws", "ecs", or "fargate". Specify a valid name and try again.`)
	errNoProvider = fault.New(fault.Client, "The specified capacity provider does not exist. Specify a valid name or ARN and try again.")
)

// providerRef reads a capacity provider's name or ARN.
func (a *API) providerRef(ref string) (string, error) {
	name := ref
	if isARN(ref) {
		arn, err := a.arn(ref, kindProvider)
		if err != nil {
			return "", err
		}
		name = arn.Resource
	}
	if !clusterName.MatchString(name) {
		return "", fault.New(fault.InvalidParameter, "Invalid capacity provider identifier: %q", ref)
	}
	return name, nil
}

// readProviders reads the capacity providers of a cluster; nil for none.
func (a *API) readProviders(in []string) ([]string, error) {
	if len(in) > maxProviders {
		return nil, fault.New(fault.InvalidParameter, "A cluster can have a maximum of %d capacity providers.", maxProviders)
	}
	var out []string
	for _, ref := range in {
		name, err := a.providerRef(ref)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, name) {
			return nil, fault.New(fault.InvalidParameter, "The capacity provider %s is given more than once.", name)
		}
		out = append(out, name)
	}
	return out, nil
}

// checkProviders refuses capacity providers that are not there.
func checkProviders(t *state.Tables, names []string) error {
	for _, name := range names {
		if provider(t, name) == nil {
			return noProvider(name)
		}
	}
	return nil
}

func noProvider(name string) error {
	return fault.New(fault.InvalidParameter, "The specified capacity provider '%s' was not found. Specify a valid name or ARN and try again.", name)
}

// The capacity providers of every account.
var builtInProviders = []*ecs.CapacityProvider{
	{Name: ecs.ProviderFargate, Status: ecs.ProviderActive},
	{Name: ecs.ProviderFargateSpot, Status: ecs.ProviderActive},
}

// provider finds a capacity provider, those that every account has among them; nil if there is none.
func provider(t *state.Tables, name string) *ecs.CapacityProvider {
	for _, p := range builtInProviders {
		if p.Name == name {
			return p
		}
	}
	return t.CapacityProviders.Get(name)
}

// CreateCapacityProvider makes a capacity provider. Which instances belong to it is not for an Auto Scaling group to say but
// for the agents: see ecs.AttributeCapacityProvider.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCapacityProvider.html
func (a *API) CreateCapacityProvider(ctx context.Context, in *sdk.CreateCapacityProviderInput) (*sdk.CreateCapacityProviderOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	name := str(in.Name)
	if strings.TrimSpace(name) == "" {
		return nil, fault.New(fault.InvalidParameter, "CapacityProvider name must not be blank.")
	}
	if !clusterName.MatchString(name) || reservedProvider.MatchString(name) {
		return nil, errProviderName
	}
	given, err := tags(in.Tags)
	if err != nil {
		return nil, err
	}
	group, err := autoScalingGroup(in.AutoScalingGroupProvider)
	if err != nil {
		return nil, err
	}
	p := &ecs.CapacityProvider{Name: name, Status: ecs.ProviderActive, Tags: given, AutoScalingGroupProvider: group, UpdateStatus: providerCreated}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if tx.CapacityProviders.Get(name) != nil {
			return fault.New(fault.Client, "The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider.")
		}
		for other := range tx.CapacityProviders.All() {
			if other.AutoScalingGroupProvider.AutoScalingGroupArn == group.AutoScalingGroupArn {
				return fault.New(fault.Client, "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.")
			}
		}
		tx.CapacityProviders.Put(p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := a.wireProvider(p, true)
	return &sdk.CreateCapacityProviderOutput{CapacityProvider: &out}, nil
}

// UpdateCapacityProvider changes what it names of a capacity provider.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateCapacityProvider.html
func (a *API) UpdateCapacityProvider(ctx context.Context, in *sdk.UpdateCapacityProviderInput) (*sdk.UpdateCapacityProviderOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	if str(in.Name) == "" {
		return nil, fault.New(fault.InvalidParameter, "A name is required when updating a capacity provider.")
	}
	name, err := a.providerRef(*in.Name)
	if err != nil {
		return nil, err
	}
	if ecs.IsFargateProvider(name) {
		return nil, fault.New(fault.Client, "The %s capacity provider is reserved and cannot be updated.", name)
	}
	if in.AutoScalingGroupProvider == nil {
		return nil, fault.New(fault.InvalidParameter, "Auto Scaling group provider can not be null.")
	}
	var out types.CapacityProvider
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.CapacityProviders.Get(name)
		if old == nil {
			return errNoProvider
		}
		p := *old
		var err error
		if p.AutoScalingGroupProvider, err = updateAutoScalingGroup(old.AutoScalingGroupProvider, in.AutoScalingGroupProvider); err != nil {
			return err
		}
		p.UpdateStatus, p.UpdateStatusReason = providerUpdated, ""
		tx.CapacityProviders.Put(&p)
		out = a.wireProvider(&p, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UpdateCapacityProviderOutput{CapacityProvider: &out}, nil
}

// DeleteCapacityProvider deletes a capacity provider that no cluster has. As at AWS the call itself succeeds otherwise too: the
// answer, and the provider from then on, says DELETE_FAILED and why.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCapacityProvider.html
func (a *API) DeleteCapacityProvider(ctx context.Context, in *sdk.DeleteCapacityProviderInput) (*sdk.DeleteCapacityProviderOutput, error) {
	if err := refuse(in); err != nil {
		return nil, err
	}
	if str(in.CapacityProvider) == "" {
		return nil, fault.New(fault.InvalidParameter, "CapacityProvider name must not be blank.")
	}
	name, err := a.providerRef(*in.CapacityProvider)
	if err != nil {
		return nil, err
	}
	if ecs.IsFargateProvider(name) {
		return nil, fault.New(fault.Client, "The %s capacity provider is reserved and cannot be deleted.", name)
	}
	var out types.CapacityProvider
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old := tx.CapacityProviders.Get(name)
		if old == nil {
			return errNoProvider
		}
		p := *old
		if cluster := associated(&tx.Tables, name); cluster != "" {
			p.UpdateStatus = providerDeleteFailed
			p.UpdateStatusReason = "The capacity provider cannot be deleted because it is associated with cluster: " + cluster +
				". Remove the capacity provider from the cluster and try again."
			tx.CapacityProviders.Put(&p)
		} else if service := serviceWith(&tx.Tables, "", name); service != "" {
			p.UpdateStatus = providerDeleteFailed
			p.UpdateStatusReason = "The capacity provider cannot be deleted because it is in the capacity provider strategy of service: " + service +
				". Remove the capacity provider from the service and try again."
			tx.CapacityProviders.Put(&p)
		} else {
			p.Status, p.UpdateStatus, p.UpdateStatusReason = ecs.ProviderInactive, providerDeleted, ""
			tx.CapacityProviders.Delete(name)
		}
		out = a.wireProvider(&p, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteCapacityProviderOutput{CapacityProvider: &out}, nil
}

// associated names the first cluster that has a capacity provider, "" if none has.
func associated(t *state.Tables, provider string) string {
	for c := range t.Clusters.All() {
		if slices.Contains(c.CapacityProviders, provider) {
			return c.Name
		}
	}
	return ""
}

// serviceWith names the first service, of a cluster or of all (""), whose tasks a capacity provider places, "" if there is none.
func serviceWith(t *state.Tables, cluster, provider string) string {
	services := t.Services.All()
	if cluster != "" {
		services = t.Services.Under(cluster)
	}
	for s := range services {
		if p := s.Primary(); s.Status != ecs.ServiceInactive && p != nil && slices.ContainsFunc(p.CapacityProviderStrategy,
			func(it ecs.CapacityProviderStrategyItem) bool { return it.CapacityProvider == provider }) {
			return s.Name
		}
	}
	return ""
}

func (a *API) wireProvider(p *ecs.CapacityProvider, withTags bool) types.CapacityProvider {
	arn := a.Place.CapacityProviderARN(p.Name)
	out := types.CapacityProvider{
		CapacityProviderArn: &arn,
		Name:                &p.Name,
		Status:              types.CapacityProviderStatus(p.Status),
		UpdateStatus:        types.CapacityProviderUpdateStatus(p.UpdateStatus),
		UpdateStatusReason:  ptr(p.UpdateStatusReason),
		Type:                types.CapacityProviderTypeEc2Autoscaling,
		Tags:                []types.Tag{},
	}
	if ecs.IsFargateProvider(p.Name) {
		out.Type = types.CapacityProviderType(p.Name)
	}
	if p.AutoScalingGroupProvider != nil {
		group := mirror.Of[types.AutoScalingGroupProvider](p.AutoScalingGroupProvider)
		out.AutoScalingGroupProvider = &group
	}
	if withTags {
		out.Tags = wireTags(p.Tags)
	}
	return out
}
