package ecsapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// DescribeDaemonRevisions describes up to twenty revisions of daemons.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemonRevisions.html
func (a *API) DescribeDaemonRevisions(_ context.Context, in *sdk.DescribeDaemonRevisionsInput) (*sdk.DescribeDaemonRevisionsOutput, error) {
	arns, err := a.historyARNs(in.DaemonRevisionArns, kindDaemonRevision)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	out := &sdk.DescribeDaemonRevisionsOutput{DaemonRevisions: []types.DaemonRevision{}, Failures: []types.Failure{}}
	for i, arn := range arns {
		r := t.DaemonRevisions.Get(arn.Cluster + "/" + arn.Resource)
		if r == nil {
			out.Failures = append(out.Failures, types.Failure{Arn: &in.DaemonRevisionArns[i], Reason: ptr(reasonMissing)})
			continue
		}
		out.DaemonRevisions = append(out.DaemonRevisions, a.wireDaemonRevision(r))
	}
	return out, nil
}

func (a *API) wireDaemonRevision(r *ecs.DaemonRevision) types.DaemonRevision {
	arn, daemon, cluster, definition := a.Place.DaemonRevisionARN(r.Cluster, r.Daemon, r.ID), a.Place.DaemonARN(r.Cluster, r.Daemon), a.Place.ClusterARN(r.Cluster), a.Place.DefinitionARN(r.Definition)
	return types.DaemonRevision{
		DaemonRevisionArn: &arn, DaemonArn: &daemon, ClusterArn: &cluster, DaemonTaskDefinitionArn: &definition, CreatedAt: moment(r.CreatedAt),
		Critical: &r.Critical, EnableECSManagedTags: &r.EnableECSManagedTags, EnableExecuteCommand: &r.EnableExecuteCommand,
		PropagateTags: types.DaemonPropagateTags(r.PropagateTags), ContainerImages: mirror.Slice[types.DaemonContainerImage](r.Images),
	}
}

// ListDaemonDeployments lists the deployments of a daemon, the newest first.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemonDeployments.html
func (a *API) ListDaemonDeployments(_ context.Context, in *sdk.ListDaemonDeploymentsInput) (*sdk.ListDaemonDeploymentsOutput, error) {
	key, err := a.daemonKey(in.DaemonArn)
	if err != nil {
		return nil, err
	}
	for _, s := range in.Status {
		if !known(s) {
			return nil, fault.New(fault.InvalidParameter, "Invalid status: %q.", string(s))
		}
	}
	within, err := createdWithin(in.CreatedAt)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	d, err := daemonOf(t, key)
	if err != nil {
		return nil, err
	}
	p, err := newPager(in.MaxResults, in.NextToken, "ListDaemonDeployments", key, fmt.Sprint(in.CreatedAt), fmt.Sprint(in.Status))
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		p.limit = maxHistoryARNs
	}
	var all []*ecs.DaemonDeployment
	for dep := range t.DaemonDeployments.Under(d.Key()) {
		if within(dep.CreatedAt) && (len(in.Status) == 0 || slices.Contains(in.Status, types.DaemonDeploymentStatus(dep.Status))) {
			all = append(all, dep)
		}
	}
	mark := func(dep *ecs.DaemonDeployment) string { return historyMark(dep.CreatedAt, dep.ID) }
	slices.SortFunc(all, func(x, y *ecs.DaemonDeployment) int { return cmp.Compare(mark(y), mark(x)) })
	found, next := page(p, slices.Values(all), mark, func(dep *ecs.DaemonDeployment, after string) bool { return mark(dep) < after })
	out := &sdk.ListDaemonDeploymentsOutput{DaemonDeployments: []types.DaemonDeploymentSummary{}, NextToken: next}
	for _, dep := range found {
		arn, cluster := a.Place.DaemonDeploymentARN(dep.Cluster, dep.Daemon, dep.ID), a.Place.ClusterARN(dep.Cluster)
		out.DaemonDeployments = append(out.DaemonDeployments, types.DaemonDeploymentSummary{
			DaemonDeploymentArn: &arn, DaemonArn: in.DaemonArn, ClusterArn: &cluster, TargetDaemonRevisionArn: a.targetRevision(dep),
			Status: types.DaemonDeploymentStatus(dep.Status), StatusReason: ptr(dep.StatusReason),
			CreatedAt: moment(dep.CreatedAt), StartedAt: moment(dep.StartedAt), StoppedAt: moment(dep.StoppedAt), FinishedAt: moment(dep.FinishedAt),
		})
	}
	return out, nil
}

// targetRevision is nil for the deployment of a deletion.
func (a *API) targetRevision(dep *ecs.DaemonDeployment) *string {
	if dep.Target == "" {
		return nil
	}
	arn := a.Place.DaemonRevisionARN(dep.Cluster, dep.Daemon, dep.Target)
	return &arn
}

// DescribeDaemonDeployments describes up to twenty deployments of daemons.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemonDeployments.html
func (a *API) DescribeDaemonDeployments(_ context.Context, in *sdk.DescribeDaemonDeploymentsInput) (*sdk.DescribeDaemonDeploymentsOutput, error) {
	arns, err := a.historyARNs(in.DaemonDeploymentArns, kindDaemonDeployment)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	out := &sdk.DescribeDaemonDeploymentsOutput{DaemonDeployments: []types.DaemonDeployment{}, Failures: []types.Failure{}}
	for i, arn := range arns {
		dep, d := t.DaemonDeployments.Get(arn.Cluster+"/"+arn.Resource), t.Daemons.Get(arn.Cluster)
		if dep == nil || d == nil {
			out.Failures = append(out.Failures, types.Failure{Arn: &in.DaemonDeploymentArns[i], Reason: ptr(reasonMissing)})
			continue
		}
		out.DaemonDeployments = append(out.DaemonDeployments, a.wireDaemonDeployment(t, d, dep))
	}
	return out, nil
}

func (a *API) wireDaemonDeployment(t *state.Tables, d *ecs.Daemon, dep *ecs.DaemonDeployment) types.DaemonDeployment {
	arn, cluster := a.Place.DaemonDeploymentARN(dep.Cluster, dep.Daemon, dep.ID), a.Place.ClusterARN(dep.Cluster)
	counts, threshold := dep.Counts, dep.Threshold
	if dep.Status.Ongoing() {
		counts, threshold = lifecycle.CountDaemon(t, d), lifecycle.DaemonThreshold(t, d)
	}
	c := &dep.Configuration
	out := types.DaemonDeployment{
		DaemonDeploymentArn: &arn, ClusterArn: &cluster, Status: types.DaemonDeploymentStatus(dep.Status), StatusReason: ptr(dep.StatusReason),
		CreatedAt: moment(dep.CreatedAt), StartedAt: moment(dep.StartedAt), StoppedAt: moment(dep.StoppedAt), FinishedAt: moment(dep.FinishedAt),
		SourceDaemonRevisions: []types.DaemonDeploymentRevisionDetail{},
		CircuitBreaker: &types.DaemonCircuitBreaker{
			FailureCount: dep.FailureCount, Threshold: threshold, Status: types.DaemonDeploymentRollbackMonitorsStatus(monitor(true, dep.BreakerTriggered, dep.Status)),
		},
		Alarms: &types.DaemonDeploymentAlarms{
			AlarmNames: c.AlarmNames, TriggeredAlarmNames: dep.TriggeredAlarms,
			Status: types.DaemonDeploymentRollbackMonitorsStatus(monitor(c.Alarms, len(dep.TriggeredAlarms) > 0, dep.Status)),
		},
		DeploymentConfiguration: &types.DaemonDeploymentConfiguration{
			DrainPercent: &c.DrainPercent, BakeTimeInMinutes: c.BakeTimeInMinutes, Alarms: &types.DaemonAlarmConfiguration{AlarmNames: c.AlarmNames, Enable: c.Alarms},
		},
	}
	for _, l := range []*[]string{&out.Alarms.AlarmNames, &out.Alarms.TriggeredAlarmNames, &out.DeploymentConfiguration.Alarms.AlarmNames} {
		list(l)
	}
	if dep.Target != "" {
		target := a.wireDaemonCounts(d, dep.Target, counts)
		out.TargetDaemonRevision = &target
	}
	for _, id := range dep.Sources {
		out.SourceDaemonRevisions = append(out.SourceDaemonRevisions, a.wireDaemonCounts(d, id, counts))
	}
	if b := dep.Rollback; b != nil {
		to := a.Place.DaemonRevisionARN(dep.Cluster, dep.Daemon, b.Revision)
		out.Rollback = &types.DaemonRollback{Reason: &b.Reason, StartedAt: moment(b.StartedAt), RollbackTargetDaemonRevisionArn: &to}
		if r := t.DaemonRevisions.Get(d.Key() + "/" + b.Revision); r != nil {
			for _, p := range r.CapacityProviders {
				out.Rollback.RollbackCapacityProviders = append(out.Rollback.RollbackCapacityProviders, a.Place.CapacityProviderARN(p))
			}
		}
	}
	return out
}

// wireDaemonCounts gives what counts have of one revision.
func (a *API) wireDaemonCounts(d *ecs.Daemon, revision string, counts []ecs.DaemonCounts) types.DaemonDeploymentRevisionDetail {
	arn := a.Place.DaemonRevisionARN(d.Cluster, d.Name, revision)
	out := types.DaemonDeploymentRevisionDetail{
		Arn: &arn, CapacityProviders: []types.DaemonDeploymentCapacityProvider{},
		TotalRunningInstanceCount: new(int32), TotalDrainingInstanceCount: new(int32), TotalWithoutDaemonInstanceCount: new(int32),
	}
	for i := range counts {
		c := &counts[i]
		if c.Revision != revision {
			continue
		}
		provider := a.Place.CapacityProviderARN(c.CapacityProvider)
		out.CapacityProviders = append(out.CapacityProviders, types.DaemonDeploymentCapacityProvider{
			Arn: &provider, RunningInstanceCount: &c.Running, DrainingInstanceCount: &c.Draining, WithoutDaemonInstanceCount: &c.Without,
		})
		*out.TotalRunningInstanceCount += c.Running
		*out.TotalDrainingInstanceCount += c.Draining
		*out.TotalWithoutDaemonInstanceCount += c.Without
	}
	return out
}
