package ecsapi

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// maxHistoryARNs is how many service deployments or revisions one call describes, and a page of them if none is asked for.
const maxHistoryARNs = 20

// ListServiceDeployments lists the deployments of a service, the newest first.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServiceDeployments.html
func (a *API) ListServiceDeployments(_ context.Context, in *sdk.ListServiceDeploymentsInput) (*sdk.ListServiceDeploymentsOutput, error) {
	if str(in.Service) == "" {
		return nil, fault.New(fault.InvalidParameter, "Service cannot be empty.")
	}
	wanted, err := deploymentFilter(in)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	s, err := a.service(t, *in.Service, name)
	switch {
	case err != nil:
		return nil, err
	case s == nil || s.Status == ecs.ServiceInactive:
		return nil, fault.New(fault.ServiceNotFound, "Service not found.")
	}
	p, err := newPager(in.MaxResults, in.NextToken, append([]string{"ListServiceDeployments", s.Key(), fmt.Sprint(in.CreatedAt)}, statuses(in.Status)...)...)
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		p.limit = maxHistoryARNs
	}
	found, next := page(p, newestFirst(t, s, wanted), deploymentMark, func(d *ecs.ServiceDeployment, after string) bool { return deploymentMark(d) < after })
	out := &sdk.ListServiceDeploymentsOutput{ServiceDeployments: []types.ServiceDeploymentBrief{}, NextToken: next}
	for _, d := range found {
		arn, service, cluster := a.Place.ServiceDeploymentARN(d.Cluster, d.Service, d.ID), a.Place.ServiceARN(d.Cluster, d.Service), a.Place.ClusterARN(d.Cluster)
		target := a.Place.ServiceRevisionARN(d.Cluster, d.Service, d.Target.ID)
		out.ServiceDeployments = append(out.ServiceDeployments, types.ServiceDeploymentBrief{
			ServiceDeploymentArn: &arn, ServiceArn: &service, ClusterArn: &cluster, TargetServiceRevisionArn: &target, CreatedAt: moment(d.CreatedAt),
			StartedAt: moment(d.StartedAt), FinishedAt: moment(d.FinishedAt), Status: types.ServiceDeploymentStatus(d.Status), StatusReason: ptr(d.StatusReason),
		})
	}
	return out, nil
}

// deploymentFilter reads what is asked of deployments that are listed.
func deploymentFilter(in *sdk.ListServiceDeploymentsInput) (func(*ecs.ServiceDeployment) bool, error) {
	for _, s := range in.Status {
		if !known(s) {
			return nil, fault.New(fault.InvalidParameter, "Invalid status: %q.", string(s))
		}
	}
	within, err := createdWithin(in.CreatedAt)
	if err != nil {
		return nil, err
	}
	return func(d *ecs.ServiceDeployment) bool {
		return (len(in.Status) == 0 || slices.Contains(in.Status, types.ServiceDeploymentStatus(d.Status))) && within(d.CreatedAt)
	}, nil
}

// createdWithin reads when what is listed was created.
func createdWithin(c *types.CreatedAt) (func(ecs.Millis) bool, error) {
	var after, before ecs.Millis
	if c != nil {
		if c.After != nil {
			after = ecs.MillisOf(*c.After)
		}
		if c.Before != nil {
			before = ecs.MillisOf(*c.Before)
		}
	}
	if before != 0 && after > before {
		return nil, fault.New(fault.InvalidParameter, "createdAt: after should not be later than before.")
	}
	return func(at ecs.Millis) bool { return at >= after && (before == 0 || at <= before) }, nil
}

func statuses(in []types.ServiceDeploymentStatus) []string {
	out := make([]string, len(in))
	for i := range in {
		out[i] = string(in[i])
	}
	return out
}

// deploymentMark orders deployments by their creation.
func deploymentMark(d *ecs.ServiceDeployment) string { return historyMark(d.CreatedAt, d.ID) }

func historyMark(created ecs.Millis, id string) string { return fmt.Sprintf("%016d/%s", created, id) }

// newestFirst gives a service's deployments that are wanted. Those of one of its name that was deleted before are not its.
func newestFirst(t *state.Tables, s *ecs.Service, wanted func(*ecs.ServiceDeployment) bool) iter.Seq[*ecs.ServiceDeployment] {
	var all []*ecs.ServiceDeployment
	for d := range t.ServiceDeployments.Under(s.Key()) {
		if d.CreatedAt >= s.CreatedAt && wanted(d) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(x, y *ecs.ServiceDeployment) int { return cmp.Compare(deploymentMark(y), deploymentMark(x)) })
	return slices.Values(all)
}

// historyARNs reads the ARNs of deployments or revisions of services or daemons.
func (a *API) historyARNs(arns []string, kind string) ([]ecs.ARN, error) {
	what := map[string]string{
		kindServiceDeployment: "Service deployment", kindServiceRevision: "Service revision", kindDaemonDeployment: "Daemon deployment", kindDaemonRevision: "Daemon revision",
	}[kind]
	switch n := len(arns); {
	case n == 0:
		return nil, fault.New(fault.InvalidParameter, "%s ARNs cannot be empty.", what)
	case n > maxHistoryARNs:
		return nil, fault.New(fault.InvalidParameter, "%s ARNs cannot contain more than %d entries.", what, maxHistoryARNs)
	}
	out := make([]ecs.ARN, len(arns))
	for i, s := range arns {
		arn, err := a.historyARN(s, kind)
		if err != nil {
			return nil, err
		}
		out[i] = arn
	}
	return out, nil
}

// historyARN reads KIND/CLUSTER/SERVICE/ID; the ARN's cluster is CLUSTER/SERVICE.
func (a *API) historyARN(s, kind string) (ecs.ARN, error) {
	arn, err := a.arn(s, kind)
	if err == nil && strings.Count(arn.Cluster, "/") != 1 {
		err = fault.New(fault.InvalidParameter, "Invalid identifier: %s", s)
	}
	return arn, err
}

// serviceDeployment finds a deployment of a service that is there; nil if there is none.
func serviceDeployment(t *state.Tables, arn ecs.ARN) (*ecs.ServiceDeployment, *ecs.Service) {
	d, s := t.ServiceDeployments.Get(arn.Cluster+"/"+arn.Resource), t.Services.Get(arn.Cluster)
	if d == nil || s == nil || s.Status == ecs.ServiceInactive || d.CreatedAt < s.CreatedAt {
		return nil, nil
	}
	return d, s
}

// DescribeServiceDeployments describes up to twenty service deployments.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceDeployments.html
func (a *API) DescribeServiceDeployments(_ context.Context, in *sdk.DescribeServiceDeploymentsInput) (*sdk.DescribeServiceDeploymentsOutput, error) {
	arns, err := a.historyARNs(in.ServiceDeploymentArns, kindServiceDeployment)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	out := &sdk.DescribeServiceDeploymentsOutput{ServiceDeployments: []types.ServiceDeployment{}, Failures: []types.Failure{}}
	for i, arn := range arns {
		d, s := serviceDeployment(t, arn)
		if d == nil {
			out.Failures = append(out.Failures, types.Failure{Arn: &in.ServiceDeploymentArns[i], Reason: ptr("MISSING")})
			continue
		}
		out.ServiceDeployments = append(out.ServiceDeployments, a.wireServiceDeployment(t, s, d))
	}
	return out, nil
}

func (a *API) wireServiceDeployment(t *state.Tables, s *ecs.Service, d *ecs.ServiceDeployment) types.ServiceDeployment {
	arn, service, cluster := a.Place.ServiceDeploymentARN(d.Cluster, d.Service, d.ID), a.Place.ServiceARN(d.Cluster, d.Service), a.Place.ClusterARN(d.Cluster)
	target, sources := lifecycle.CountsOf(t, s, d)
	out := types.ServiceDeployment{
		ServiceDeploymentArn: &arn, ServiceArn: &service, ClusterArn: &cluster, Status: types.ServiceDeploymentStatus(d.Status), StatusReason: ptr(d.StatusReason),
		CreatedAt: moment(d.CreatedAt), StartedAt: moment(d.StartedAt), FinishedAt: moment(d.FinishedAt), StoppedAt: moment(d.StoppedAt), UpdatedAt: moment(d.UpdatedAt),
		LifecycleStage: types.ServiceDeploymentLifecycleStage(d.Stage), DeploymentConfiguration: wireDeploymentConfiguration(&d.Configuration),
		SourceServiceRevisions: []types.ServiceRevisionSummary{}, DeploymentCircuitBreaker: wireBreaker(s, d), Alarms: wireDeploymentAlarms(d),
		LifecycleHookDetails: wireHookRuns(d),
	}
	for _, c := range sources {
		out.SourceServiceRevisions = append(out.SourceServiceRevisions, a.wireRevisionCounts(d, c))
	}
	summary := a.wireRevisionCounts(d, target)
	out.TargetServiceRevision = &summary
	if r := d.Rollback; r != nil {
		to := a.Place.ServiceRevisionARN(d.Cluster, d.Service, r.Revision)
		out.Rollback = &types.Rollback{Reason: &r.Reason, StartedAt: moment(r.StartedAt), ServiceRevisionArn: &to}
	}
	return out
}

func (a *API) wireRevisionCounts(d *ecs.ServiceDeployment, c ecs.RevisionCounts) types.ServiceRevisionSummary {
	arn := a.Place.ServiceRevisionARN(d.Cluster, d.Service, c.ID)
	return types.ServiceRevisionSummary{Arn: &arn, RequestedTaskCount: c.Requested, RunningTaskCount: c.Running, PendingTaskCount: c.Pending}
}

// monitor is the state of what watches over a deployment.
func monitor(enabled, triggered bool, s ecs.ServiceDeploymentStatus) types.ServiceDeploymentRollbackMonitorsStatus {
	switch {
	case !enabled:
		return types.ServiceDeploymentRollbackMonitorsStatusDisabled
	case triggered:
		return types.ServiceDeploymentRollbackMonitorsStatusTriggered
	case s.Ongoing():
		return types.ServiceDeploymentRollbackMonitorsStatusMonitoring
	}
	return types.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete
}

func wireBreaker(s *ecs.Service, d *ecs.ServiceDeployment) *types.ServiceDeploymentCircuitBreaker {
	b := d.Configuration.CircuitBreaker
	out := &types.ServiceDeploymentCircuitBreaker{
		Status: monitor(b != nil && b.Enable, d.BreakerTriggered, d.Status), FailureCount: d.FailureCount, Threshold: d.Threshold,
	}
	if !d.Status.Ongoing() {
		return out
	}
	out.Threshold = b.Threshold(s.DesiredCount)
	for i := range s.Deployments {
		if s.Deployments[i].RevisionID() == d.Target.ID && d.Rollback == nil {
			out.FailureCount = s.Deployments[i].FailedTasks
		}
	}
	return out
}

// wireDeploymentAlarms is nil for a service that never had any.
func wireDeploymentAlarms(d *ecs.ServiceDeployment) *types.ServiceDeploymentAlarms {
	a := d.Configuration.Alarms
	if a == nil {
		return nil
	}
	return &types.ServiceDeploymentAlarms{AlarmNames: a.AlarmNames, TriggeredAlarmNames: d.TriggeredAlarms, Status: monitor(a.Enable, len(d.TriggeredAlarms) > 0, d.Status)}
}

// StopServiceDeployment asks for the end of a deployment, with or without going back to the revision before it. One that is ending
// already goes on with that.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stop-service-deployment.html
func (a *API) StopServiceDeployment(ctx context.Context, in *sdk.StopServiceDeploymentInput) (*sdk.StopServiceDeploymentOutput, error) {
	if str(in.ServiceDeploymentArn) == "" {
		return nil, fault.New(fault.InvalidParameter, "serviceDeploymentArn cannot be empty.")
	}
	if in.StopType != "" && !known(in.StopType) {
		return nil, fault.New(fault.InvalidParameter, "Invalid stopType: %q.", string(in.StopType))
	}
	arn, err := a.historyARN(*in.ServiceDeploymentArn, kindServiceDeployment)
	if err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		d, s := serviceDeployment(&tx.Tables, arn)
		if d == nil {
			return errNoServiceDeployment
		}
		stopped, err := stopped(s, d, in.StopType, a.now())
		if err == nil && stopped != nil {
			tx.ServiceDeployments.Put(stopped)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &sdk.StopServiceDeploymentOutput{ServiceDeploymentArn: in.ServiceDeploymentArn}, nil
}

const serviceDeploymentNotFound fault.Kind = "ServiceDeploymentNotFoundException"

var errNoServiceDeployment = fault.New(serviceDeploymentNotFound, "Service deployment not found.")

// stopped is a deployment with the request to stop it; nil if it stops already.
func stopped(s *ecs.Service, d *ecs.ServiceDeployment, how types.StopServiceDeploymentStopType, now ecs.Millis) (*ecs.ServiceDeployment, error) {
	out := *d
	out.UpdatedAt = now
	switch d.Status {
	case ecs.ServiceDeploymentPending, ecs.ServiceDeploymentInProgress:
	case ecs.ServiceDeploymentStopRequested, ecs.ServiceDeploymentRollbackRequested, ecs.ServiceDeploymentRollbackInProgress:
		return nil, nil
	default:
		return nil, fault.New(fault.Conflict, "The service deployment has already ended: its status is %s.", string(d.Status))
	}
	if how == types.StopServiceDeploymentStopTypeAbort {
		out.Status, out.StatusReason = ecs.ServiceDeploymentStopRequested, "Service deployment stop requested by user."
		return &out, nil
	}
	if s.Completed == nil || s.Completed.RevisionID() == d.Target.ID {
		return nil, fault.New(fault.Conflict, "The service deployment cannot be rolled back: no deployment of the service has completed before it.")
	}
	out.Status, out.StatusReason = ecs.ServiceDeploymentRollbackRequested, "Service deployment rollback requested by user."
	return &out, nil
}
