package ecsapi

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// DescribeServiceRevisions describes up to twenty revisions of services.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html
func (a *API) DescribeServiceRevisions(_ context.Context, in *sdk.DescribeServiceRevisionsInput) (*sdk.DescribeServiceRevisionsOutput, error) {
	arns, err := a.historyARNs(in.ServiceRevisionArns, kindServiceRevision)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	out := &sdk.DescribeServiceRevisionsOutput{ServiceRevisions: []types.ServiceRevision{}, Failures: []types.Failure{}}
	for i, arn := range arns {
		r, s := t.ServiceRevisions.Get(arn.Cluster+"/"+arn.Resource), t.Services.Get(arn.Cluster)
		if r == nil || s == nil || s.Status == ecs.ServiceInactive || r.CreatedAt < s.CreatedAt {
			out.Failures = append(out.Failures, types.Failure{Arn: &in.ServiceRevisionArns[i], Reason: ptr("MISSING")})
			continue
		}
		out.ServiceRevisions = append(out.ServiceRevisions, a.wireRevision(r))
	}
	return out, nil
}

func (a *API) wireRevision(r *ecs.ServiceRevision) types.ServiceRevision {
	arn, service, cluster := a.Place.ServiceRevisionARN(r.Cluster, r.Service, r.ID), a.Place.ServiceARN(r.Cluster, r.Service), a.Place.ClusterARN(r.Cluster)
	definition := a.Place.DefinitionARN(r.Definition)
	as := ecs.Deployment{PlatformVersion: r.PlatformVersion, NetworkConfiguration: r.NetworkConfiguration}
	out := types.ServiceRevision{
		ServiceRevisionArn: &arn, ServiceArn: &service, ClusterArn: &cluster, TaskDefinition: &definition, CreatedAt: moment(r.CreatedAt),
		CapacityProviderStrategy: mirror.Slice[types.CapacityProviderStrategyItem](r.CapacityProviderStrategy),
		PlatformVersion:          ptr(r.PlatformVersion), PlatformFamily: platformFamily(&as), NetworkConfiguration: wireNetwork(&as),
		ContainerImages: mirror.Slice[types.ContainerImage](r.Images),
	}
	if len(r.CapacityProviderStrategy) == 0 {
		out.LaunchType = launchTypes(r.LaunchType)
	}
	return out
}

// wireCurrent tells which deployment goes on, and which revisions have tasks.
func (a *API) wireCurrent(t *state.Tables, s *ecs.Service, out *types.Service) {
	if s.ServiceDeployment == "" || s.Status == ecs.ServiceInactive {
		return
	}
	arn := a.Place.ServiceDeploymentARN(s.Cluster, s.Name, s.ServiceDeployment)
	out.CurrentServiceDeployment = &arn
	for i, d := range out.Deployments {
		id := s.Deployments[i].RevisionID()
		if t.ServiceRevisions.Get(s.Key()+"/"+id) == nil {
			continue
		}
		revision := a.Place.ServiceRevisionARN(s.Cluster, s.Name, id)
		out.CurrentServiceRevisions = append(out.CurrentServiceRevisions, types.ServiceCurrentRevisionSummary{
			Arn: &revision, RequestedTaskCount: d.DesiredCount, RunningTaskCount: d.RunningCount, PendingTaskCount: d.PendingCount,
		})
	}
}
