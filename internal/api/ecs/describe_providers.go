package ecsapi

import (
	"context"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// maxSmallPage is the largest and default page of lists whose items are large or few.
const maxSmallPage = 10

// DescribeCapacityProviders describes the capacity providers that are named, or all of them page by page, by name; only a
// cluster's where one is named. FARGATE and FARGATE_SPOT are among them.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeCapacityProviders.html
func (a *API) DescribeCapacityProviders(_ context.Context, in *sdk.DescribeCapacityProvidersInput) (*sdk.DescribeCapacityProvidersOutput, error) {
	if len(in.CapacityProviders) > maxDescribe {
		return nil, tooMany("Capacity providers")
	}
	include, err := included(in.Include)
	if err != nil {
		return nil, err
	}
	withTags := include[types.CapacityProviderFieldTags]
	t := &a.Store.View().Tables
	within, of := func(string) bool { return true }, ""
	if str(in.Cluster) != "" {
		if of, err = a.activeCluster(t, in.Cluster); err != nil {
			return nil, err
		}
		within = func(name string) bool { return slices.Contains(t.Clusters.Get(of).CapacityProviders, name) }
	}
	p, err := newPagerOf(maxSmallPage, in.MaxResults, in.NextToken, append([]string{"DescribeCapacityProviders", of}, in.CapacityProviders...)...)
	if err != nil {
		return nil, err
	}
	out := &sdk.DescribeCapacityProvidersOutput{CapacityProviders: []types.CapacityProvider{}, Failures: []types.Failure{}}
	if len(in.CapacityProviders) == 0 {
		found, next := page(p, slices.Values(allProviders(t, within)), providerName, func(p *ecs.CapacityProvider, after string) bool { return p.Name > after })
		for _, p := range found {
			out.CapacityProviders = append(out.CapacityProviders, a.wireProvider(p, withTags))
		}
		out.NextToken = next
		return out, nil
	}
	for _, ref := range in.CapacityProviders {
		name, err := a.providerRef(ref)
		if err != nil {
			return nil, err
		}
		if p := provider(t, name); p != nil && within(name) {
			out.CapacityProviders = append(out.CapacityProviders, a.wireProvider(p, withTags))
			continue
		}
		arn := a.Place.CapacityProviderARN(name)
		out.Failures = append(out.Failures, types.Failure{Arn: &arn, Reason: ptr(reasonMissing)})
	}
	return out, nil
}

func providerName(p *ecs.CapacityProvider) string { return p.Name }

// allProviders gives those that are meant, by name.
func allProviders(t *state.Tables, within func(name string) bool) []*ecs.CapacityProvider {
	var out []*ecs.CapacityProvider
	for _, p := range builtInProviders {
		if within(p.Name) {
			out = append(out, p)
		}
	}
	for p := range t.CapacityProviders.All() {
		if within(p.Name) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *ecs.CapacityProvider) int { return strings.Compare(a.Name, b.Name) })
	return out
}
