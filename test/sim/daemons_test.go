package sim

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// daemonName is that of the daemon that some seeds play, on the nodes of the capacity provider machines.
const (
	daemonName = "agent"
	machines   = "machines"
)

// prepareDaemons makes what daemons are made of.
func (w *world) prepareDaemons() {
	ctx := w.t.Context()
	w.must(w.api.CreateCapacityProvider(ctx, &sdk.CreateCapacityProviderInput{Name: aws.String(machines),
		AutoScalingGroupProvider: &types.AutoScalingGroupProvider{AutoScalingGroupArn: aws.String("group")}}))
	w.must(w.api.PutClusterCapacityProviders(ctx, &sdk.PutClusterCapacityProvidersInput{
		Cluster: aws.String(cluster), CapacityProviders: []string{machines}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}}))
	for _, family := range []string{"good", "bad", "crash"} {
		w.must(w.api.RegisterDaemonTaskDefinition(ctx, &sdk.RegisterDaemonTaskDefinitionInput{
			Family: &family, ContainerDefinitions: []types.DaemonContainerDefinition{{Name: aws.String("a"), Image: aws.String("i"), Memory: aws.Int32(16)}},
		}))
	}
}

func (w *world) createDaemon() {
	w.critical = w.rand.IntN(2) == 0
	w.must(w.api.CreateDaemon(w.t.Context(), &sdk.CreateDaemonInput{
		ClusterArn: aws.String(cluster), DaemonName: aws.String(daemonName), DaemonTaskDefinitionArn: aws.String("good:1"), CapacityProviderArns: []string{machines},
		Critical: &w.critical, DeploymentConfiguration: w.someRollout(),
	}))
}

func (w *world) someRollout() *types.DaemonDeploymentConfiguration {
	return &types.DaemonDeploymentConfiguration{DrainPercent: aws.Float64(float64(w.rand.IntN(101))), BakeTimeInMinutes: int32(w.rand.IntN(2))}
}

func (w *world) daemonARN() *string { return aws.String(w.api.Place.DaemonARN(cluster, daemonName)) }

// updateDaemon rolls out another revision.
func (w *world) updateDaemon(families ...string) {
	w.must(w.api.UpdateDaemon(w.t.Context(), &sdk.UpdateDaemonInput{
		DaemonArn: w.daemonARN(), DaemonTaskDefinitionArn: aws.String(families[w.rand.IntN(len(families))] + ":1"), CapacityProviderArns: []string{machines},
		Critical: &w.critical, DeploymentConfiguration: w.someRollout(),
	}))
}

// promiseDaemon holds a commit against what a daemon promises: never two tasks on an instance, and no more instances without a healthy one
// than the deployment may leave because it stopped them.
func (w *world) promiseDaemon(c *state.Commit) {
	d := c.View.Daemons.Get(cluster + "/" + daemonName)
	if d == nil || d.Status != ecs.DaemonActive {
		return
	}
	healthy, live := map[ecs.InstanceID]bool{}, map[ecs.InstanceID]int{}
	for t := range c.View.Tasks.OfGroup(cluster, ecs.DaemonGroup(daemonName)) {
		if t.LastStatus < ecs.TaskStopped {
			if live[t.Instance]++; live[t.Instance] > 1 {
				w.t.Errorf("%v: %d tasks of the daemon on %s", time.Now(), live[t.Instance], t.Instance)
			}
		}
		healthy[t.Instance] = healthy[t.Instance] || isHealthy(t)
	}
	t := &c.View.Tables
	instances := lifecycle.DaemonInstances(t, lifecycle.CurrentRevision(t, d))
	stopped, lost := 0, len(c.Instances)+len(c.Daemons)
	for _, ch := range c.Tasks {
		switch {
		case ch.Old == nil || ch.New == nil || ch.New.Group != ecs.DaemonGroup(daemonName) || !isHealthy(ch.Old) || isHealthy(ch.New):
		case !slices.ContainsFunc(instances, func(i *ecs.Instance) bool { return i.ID == ch.New.Instance }):
		case ch.New.StopCode == ecs.StopServiceSchedulerStopped:
			stopped++
		default:
			lost++
		}
	}
	if stopped == 0 || lost > 0 {
		return
	}
	without := 0
	for _, i := range instances {
		if !healthy[i.ID] {
			without++
		}
	}
	dep := lifecycle.CurrentDaemonDeployment(t, d)
	if most := dep.Configuration.AtOnce(len(instances)); without > most {
		w.t.Errorf("%v: %d of %d instances are without the daemon, at most %d may be", time.Now(), without, len(instances), most)
	}
}

// checkDaemon holds the end against what must be: the deployment has ended, and each instance has one task.
func (w *world) checkDaemon() {
	v := w.store.View()
	d := v.Daemons.Get(cluster + "/" + daemonName)
	for dep := range v.DaemonDeployments.All() {
		if dep.Status.Ongoing() {
			w.t.Errorf("a deployment of the daemon goes on: %+v", dep)
		}
	}
	r := lifecycle.CurrentRevision(&v.Tables, d)
	if dep := lifecycle.CurrentDaemonDeployment(&v.Tables, d); dep.Status != ecs.ServiceDeploymentSuccessful || !slices.Equal(d.Revisions, []string{r.ID}) {
		w.t.Errorf("the daemon is %+v, and its deployment %+v", d, dep)
	}
	on := map[ecs.InstanceID]string{}
	for t := range v.Tasks.OfGroup(cluster, ecs.DaemonGroup(daemonName)) {
		if isHealthy(t) && t.StartedBy == r.StartedBy() {
			on[t.Instance] += "1"
		}
	}
	for _, i := range lifecycle.DaemonInstances(&v.Tables, r) {
		if on[i.ID] != "1" {
			w.t.Errorf("%s has %q tasks of the daemon: %+v", i.ID, on[i.ID], d)
		}
	}
}

// endDaemon deletes it, and finds nothing left.
func (w *world) endDaemon() {
	w.must(w.api.DeleteDaemon(w.t.Context(), &sdk.DeleteDaemonInput{DaemonArn: w.daemonARN()}))
	w.pass(time.Minute)
	if v := w.store.View(); v.Daemons.Len()+v.DaemonDeployments.Len()+v.DaemonRevisions.Len() > 0 {
		w.t.Errorf("of the deleted daemon are left: %+v", v.Daemons.Get(cluster+"/"+daemonName))
	}
}
