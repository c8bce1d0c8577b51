package ecsapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// defaultDrainPercent is of how many instances a deployment replaces the daemon's task at a time.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-daemons-deployments.html
const defaultDrainPercent = 25

// What ECS answers where a daemon is not there, or is being deleted.
const (
	daemonNotFound  fault.Kind = "DaemonNotFoundException"
	daemonNotActive fault.Kind = "DaemonNotActiveException"
)

var errNoDaemon = fault.New(daemonNotFound, "Daemon not found.")

// daemonRequest is what creation and update of a daemon have in common.
type daemonRequest struct {
	definition           *string
	providers            []string
	configuration        *types.DaemonDeploymentConfiguration
	critical             *bool
	propagate            types.DaemonPropagateTags
	managedTags, execute bool
}

// daemonPlan is a daemonRequest that was read: the revision is without names, which the daemon gives it.
type daemonPlan struct {
	revision      ecs.DaemonRevision
	configuration ecs.DaemonDeploymentConfiguration
}

// readDaemon reads a request as far as that goes without the state. What it does not say is the default, of updates too.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-daemons-create-manage.html
func (a *API) readDaemon(r daemonRequest) (p daemonPlan, err error) {
	p.revision = ecs.DaemonRevision{
		ID: ecs.NewDaemonRevisionID(), Critical: r.critical == nil || *r.critical, PropagateTags: string(r.propagate), EnableECSManagedTags: r.managedTags,
		EnableExecuteCommand: r.execute,
	}
	switch {
	case len(r.providers) == 0:
		return p, fault.New(fault.InvalidParameter, "capacityProviderArns cannot be empty.")
	case len(r.providers) > maxProviders:
		return p, fault.New(fault.InvalidParameter, "A daemon can have a maximum of %d capacity providers.", maxProviders)
	case r.propagate != "" && !known(r.propagate):
		return p, fault.New(fault.InvalidParameter, "Invalid propagateTags: %q.", string(r.propagate))
	}
	if p.revision.PropagateTags == "" {
		p.revision.PropagateTags = string(types.DaemonPropagateTagsNone)
	}
	if p.revision.Definition, err = a.definitionRefOf(kindDaemonDefinition, r.definition); err != nil {
		return p, err
	}
	for _, ref := range r.providers {
		name, err := a.providerRef(ref)
		switch {
		case err != nil:
			return p, err
		case ecs.IsFargateProvider(name):
			return p, fault.New(fault.InvalidParameter, "The capacity provider '%s' is not supported for daemons: it has no container instances.", name)
		case slices.Contains(p.revision.CapacityProviders, name):
			return p, fault.New(fault.InvalidParameter, "capacityProviderArns contains the capacity provider '%s' more than once.", name)
		}
		p.revision.CapacityProviders = append(p.revision.CapacityProviders, name)
	}
	p.configuration, err = a.daemonConfiguration(r.configuration)
	return p, err
}

func (a *API) daemonConfiguration(in *types.DaemonDeploymentConfiguration) (ecs.DaemonDeploymentConfiguration, error) {
	c := ecs.DaemonDeploymentConfiguration{DrainPercent: defaultDrainPercent}
	if in == nil {
		return c, nil
	}
	if in.DrainPercent != nil {
		c.DrainPercent = *in.DrainPercent
	}
	c.BakeTimeInMinutes = in.BakeTimeInMinutes
	switch {
	// A number that is none is not between any.
	case !(c.DrainPercent >= 0 && c.DrainPercent <= 100):
		return c, fault.New(fault.InvalidParameter, "drainPercent must be between 0.0 and 100.0.")
	case c.BakeTimeInMinutes < 0 || c.BakeTimeInMinutes > maxBakeMinutes:
		return c, fault.New(fault.InvalidParameter, "bakeTimeInMinutes must be between 0 and %d.", maxBakeMinutes)
	case in.Alarms == nil:
		return c, nil
	}
	alarms, err := a.readAlarms(&types.DeploymentAlarms{AlarmNames: in.Alarms.AlarmNames, Enable: in.Alarms.Enable})
	if err != nil {
		return c, err
	}
	c.AlarmNames, c.Alarms = alarms.AlarmNames, alarms.Enable
	return c, nil
}

// placed completes a plan's revision for its daemon, with what must be in the state.
func (p *daemonPlan) placed(tx *state.Tx, d *ecs.Daemon, now ecs.Millis) error {
	r := &p.revision
	c, err := cluster(&tx.Tables, d.Cluster)
	if err != nil {
		return err
	}
	def := definition(&tx.Tables, r.Definition)
	switch {
	case def == nil:
		return errNoDaemonDefinition
	case def.Status != ecs.DefinitionActive:
		return fault.New(fault.Client, "The specified daemon task definition is in %s status. Specify one in ACTIVE status and try again.", string(def.Status))
	}
	for _, name := range r.CapacityProviders {
		if provider(&tx.Tables, name) == nil {
			return noProvider(name)
		}
		if !slices.Contains(c.CapacityProviders, name) {
			return fault.New(fault.InvalidParameter,
				"The capacity provider '%s' is not associated with the cluster. Associate the capacity provider with the cluster and try again.", name)
		}
	}
	r.Cluster, r.Daemon, r.CreatedAt, r.Definition = d.Cluster, d.Name, now, def.ID()
	for i := range def.ContainerDefinitions {
		of := &def.ContainerDefinitions[i]
		r.Images = append(r.Images, ecs.ContainerImage{ContainerName: of.Name, Image: of.Image})
	}
	return nil
}

// CreateDaemon makes a daemon with a first deployment; its controller does the rest.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateDaemon.html
func (a *API) CreateDaemon(ctx context.Context, in *sdk.CreateDaemonInput) (*sdk.CreateDaemonOutput, error) {
	name, err := a.clusterRef(in.ClusterArn)
	if err != nil {
		return nil, err
	}
	d := &ecs.Daemon{Cluster: name, Name: str(in.DaemonName), Status: ecs.DaemonActive, ClientToken: str(in.ClientToken)}
	switch {
	case d.Name == "":
		return nil, fault.New(fault.InvalidParameter, "DaemonName cannot be empty.")
	case !serviceName.MatchString(d.Name):
		return nil, fault.New(fault.InvalidParameter, "DaemonName contains invalid characters or is longer than 255.")
	case len(d.ClientToken) > 36 || strings.ContainsFunc(d.ClientToken, func(r rune) bool { return r < '!' || r > '~' }):
		return nil, fault.New(fault.InvalidParameter, "clientToken must be at most 36 characters long, in the range of 33-126.")
	}
	if d.Tags, err = tags(in.Tags); err != nil {
		return nil, err
	}
	p, err := a.readDaemon(daemonRequest{
		definition: in.DaemonTaskDefinitionArn, providers: in.CapacityProviderArns, configuration: in.DeploymentConfiguration, critical: in.Critical,
		propagate: in.PropagateTags, managedTags: in.EnableECSManagedTags, execute: in.EnableExecuteCommand,
	})
	if err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		now := a.now()
		if err := p.placed(tx, d, now); err != nil {
			return err
		}
		if old := tx.Daemons.Get(d.Key()); old != nil {
			d, err = repeated(old, d)
			return err
		}
		d.CreatedAt = now
		lifecycle.DeployDaemon(tx, now, d, &p.revision, p.configuration)
		tx.Daemons.Put(d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	arn, deployment := a.Place.DaemonARN(d.Cluster, d.Name), a.Place.DaemonDeploymentARN(d.Cluster, d.Name, d.Deployment)
	return &sdk.CreateDaemonOutput{DaemonArn: &arn, DeploymentArn: &deployment, Status: types.DaemonStatus(d.Status), CreatedAt: moment(d.CreatedAt)}, nil
}

// repeated deals with a daemon of the name that is there: a repetition with the client token of the first call is answered with what that
// made.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
func repeated(old, d *ecs.Daemon) (*ecs.Daemon, error) {
	switch {
	case old.Status != ecs.DaemonActive:
		return nil, fault.New(fault.InvalidParameter, "Unable to create a daemon whose deletion is in progress.")
	case d.ClientToken != "" && old.ClientToken == d.ClientToken:
		return old, nil
	}
	return nil, fault.New(fault.InvalidParameter, "Creation of daemon was not idempotent.")
}

// daemonKey reads a daemon's ARN.
func (a *API) daemonKey(ref *string) (string, error) {
	if str(ref) == "" {
		return "", fault.New(fault.InvalidParameter, "daemonArn cannot be empty.")
	}
	arn, err := a.arn(*ref, kindDaemon)
	if err == nil && (arn.Cluster == "" || strings.Contains(arn.Cluster, "/")) {
		err = fault.New(fault.InvalidParameter, "Invalid identifier: %s", *ref)
	}
	return arn.Cluster + "/" + arn.Resource, err
}

// UpdateDaemon deploys a new revision of a daemon. What is not said of it is the default, and not what was.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateDaemon.html
func (a *API) UpdateDaemon(ctx context.Context, in *sdk.UpdateDaemonInput) (*sdk.UpdateDaemonOutput, error) {
	key, err := a.daemonKey(in.DaemonArn)
	if err != nil {
		return nil, err
	}
	p, err := a.readDaemon(daemonRequest{
		definition: in.DaemonTaskDefinitionArn, providers: in.CapacityProviderArns, configuration: in.DeploymentConfiguration, critical: in.Critical,
		propagate: in.PropagateTags, managedTags: in.EnableECSManagedTags, execute: in.EnableExecuteCommand,
	})
	if err != nil {
		return nil, err
	}
	d, err := a.deploy(ctx, key, func(tx *state.Tx, d *ecs.Daemon, now ecs.Millis) error {
		if d.Status != ecs.DaemonActive {
			return fault.New(daemonNotActive, "Daemon was not ACTIVE.")
		}
		if err := p.placed(tx, d, now); err != nil {
			return err
		}
		lifecycle.DeployDaemon(tx, now, d, &p.revision, p.configuration)
		return nil
	})
	if err != nil {
		return nil, err
	}
	deployment := a.Place.DaemonDeploymentARN(d.Cluster, d.Name, d.Deployment)
	return &sdk.UpdateDaemonOutput{
		DaemonArn: in.DaemonArn, DeploymentArn: &deployment, Status: types.DaemonStatus(d.Status), CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(d.UpdatedAt),
	}, nil
}

// DeleteDaemon lets a daemon end: it is there until its last task has stopped.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteDaemon.html
func (a *API) DeleteDaemon(ctx context.Context, in *sdk.DeleteDaemonInput) (*sdk.DeleteDaemonOutput, error) {
	key, err := a.daemonKey(in.DaemonArn)
	if err != nil {
		return nil, err
	}
	d, err := a.deploy(ctx, key, func(tx *state.Tx, d *ecs.Daemon, now ecs.Millis) error {
		if d.Status != ecs.DaemonActive {
			return fault.New(fault.InvalidParameter, "The daemon's deployment deletion is ongoing.")
		}
		d.Status = ecs.DaemonDeleteInProgress
		lifecycle.DeployDaemon(tx, now, d, nil, ecs.DaemonDeploymentConfiguration{DrainPercent: defaultDrainPercent})
		return nil
	})
	if err != nil {
		return nil, err
	}
	deployment := a.Place.DaemonDeploymentARN(d.Cluster, d.Name, d.Deployment)
	return &sdk.DeleteDaemonOutput{
		DaemonArn: in.DaemonArn, DeploymentArn: &deployment, Status: types.DaemonStatus(d.Status), CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(d.UpdatedAt),
	}, nil
}

// deploy changes a daemon that is there.
func (a *API) deploy(ctx context.Context, key string, change func(*state.Tx, *ecs.Daemon, ecs.Millis) error) (*ecs.Daemon, error) {
	var d ecs.Daemon
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := daemonOf(&tx.Tables, key)
		if err != nil {
			return err
		}
		d = *old
		if err := change(tx, &d, a.now()); err != nil {
			return err
		}
		stored := d
		tx.Daemons.Put(&stored)
		return nil
	})
	return &d, err
}

func daemonOf(t *state.Tables, key string) (*ecs.Daemon, error) {
	name, _, _ := strings.Cut(key, "/")
	if _, err := cluster(t, name); err != nil {
		return nil, err
	}
	if d := t.Daemons.Get(key); d != nil {
		return d, nil
	}
	return nil, errNoDaemon
}

// DescribeDaemon describes one daemon.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemon.html
func (a *API) DescribeDaemon(_ context.Context, in *sdk.DescribeDaemonInput) (*sdk.DescribeDaemonOutput, error) {
	key, err := a.daemonKey(in.DaemonArn)
	if err != nil {
		return nil, err
	}
	t := &a.Store.View().Tables
	d, err := daemonOf(t, key)
	if err != nil {
		return nil, err
	}
	arn, cluster, deployment := a.Place.DaemonARN(d.Cluster, d.Name), a.Place.ClusterARN(d.Cluster), a.Place.DaemonDeploymentARN(d.Cluster, d.Name, d.Deployment)
	return &sdk.DescribeDaemonOutput{Daemon: &types.DaemonDetail{
		DaemonArn: &arn, ClusterArn: &cluster, DeploymentArn: &deployment, Status: types.DaemonStatus(d.Status), CreatedAt: moment(d.CreatedAt),
		UpdatedAt: moment(d.UpdatedAt), CurrentRevisions: a.wireRevisions(d, lifecycle.CountDaemon(t, d)),
	}}, nil
}

// wireRevisions gives the revisions that are in counts, which come by revision.
func (a *API) wireRevisions(d *ecs.Daemon, counts []ecs.DaemonCounts) []types.DaemonRevisionDetail {
	out := []types.DaemonRevisionDetail{}
	at := map[string]int{}
	for _, c := range counts {
		i, ok := at[c.Revision]
		if !ok {
			i = len(out)
			at[c.Revision] = i
			arn := a.Place.DaemonRevisionARN(d.Cluster, d.Name, c.Revision)
			out = append(out, types.DaemonRevisionDetail{Arn: &arn})
		}
		provider := a.Place.CapacityProviderARN(c.CapacityProvider)
		out[i].CapacityProviders = append(out[i].CapacityProviders, types.DaemonCapacityProvider{Arn: &provider, RunningCount: c.Running, WithoutDaemonCount: c.Without})
		out[i].TotalRunningCount += c.Running
		out[i].TotalWithoutDaemonCount += c.Without
	}
	return out
}

// ListDaemons lists the daemons of a cluster by name, of some capacity providers if such are named.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemons.html
func (a *API) ListDaemons(_ context.Context, in *sdk.ListDaemonsInput) (*sdk.ListDaemonsOutput, error) {
	var providers []string
	for _, ref := range in.CapacityProviderArns {
		name, err := a.providerRef(ref)
		if err != nil {
			return nil, err
		}
		providers = append(providers, name)
	}
	t := &a.Store.View().Tables
	name, err := a.activeCluster(t, in.ClusterArn)
	if err != nil {
		return nil, err
	}
	p, err := newPager(in.MaxResults, in.NextToken, "ListDaemons", name, fmt.Sprint(providers))
	if err != nil {
		return nil, err
	}
	all := func(yield func(*ecs.Daemon) bool) {
		for d := range t.Daemons.Under(name) {
			if (len(providers) == 0 || slices.ContainsFunc(providers, func(p string) bool { return isOn(t, d, p) })) && !yield(d) {
				return
			}
		}
	}
	found, next := page(p, all, func(d *ecs.Daemon) string { return d.Name }, func(d *ecs.Daemon, after string) bool { return d.Name > after })
	out := &sdk.ListDaemonsOutput{DaemonSummariesList: []types.DaemonSummary{}, NextToken: next}
	for _, d := range found {
		arn := a.Place.DaemonARN(d.Cluster, d.Name)
		out.DaemonSummariesList = append(out.DaemonSummariesList, types.DaemonSummary{
			DaemonArn: &arn, Status: types.DaemonStatus(d.Status), CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(d.UpdatedAt),
		})
	}
	return out, nil
}

// isOn tells whether a daemon is for the instances of a capacity provider.
func isOn(t *state.Tables, d *ecs.Daemon, provider string) bool {
	r := lifecycle.CurrentRevision(t, d)
	return r != nil && slices.Contains(r.CapacityProviders, provider)
}

// daemonWith tells whether a cluster has a daemon that is for the instances of a capacity provider.
func daemonWith(t *state.Tables, cluster, provider string) bool {
	for d := range t.Daemons.Under(cluster) {
		if isOn(t, d, provider) {
			return true
		}
	}
	return false
}
