// Package sim plays services, a daemon, tasks that fail, nodes that are lost and come back, calls of the API and changes of leaders in an order that
// a seed gives, in fake time, and holds what services promise against every commit. A seed that failed stays in the list of seeds:
// go test ./test/sim -run TestSeeds -first N -seeds 1 plays it again.
package sim

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

var (
	first = flag.Uint64("first", 1, "the first seed")
	seeds = flag.Uint64("seeds", 100, "how many seeds")
)

// found are seeds that failed once.
var found = []uint64{}

func TestSeeds(t *testing.T) {
	list := slices.Clone(found)
	for i := range *seeds {
		list = append(list, *first+i)
	}
	for _, seed := range list {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, seed) })
		})
	}
}

const steps = 25

func play(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	defer func() { w.stop() }()
	names := []string{"one", "two"}[:1+w.rand.IntN(2)]
	for _, name := range names {
		w.create(name)
	}
	daemon := seed%2 == 0
	if daemon {
		w.createDaemon()
	}
	for range steps {
		if daemon && w.rand.IntN(5) == 0 {
			w.updateDaemon("good", "good", "bad", "crash")
		} else {
			w.act(names[w.rand.IntN(len(names))])
		}
		w.pass(time.Duration(w.rand.IntN(20_000)) * time.Millisecond)
	}
	// All is well again: what is going on comes to its end. A critical daemon that fails would keep services from theirs.
	if daemon {
		w.updateDaemon("good")
	}
	for _, id := range w.ids() {
		w.join(id)
		w.setStatus(id, ecs.InstanceActive)
	}
	w.pass(3 * time.Hour)
	w.check(names)
	if daemon {
		w.checkDaemon()
		w.endDaemon()
	}
	// What crashes for ever ends with its service.
	for _, name := range names {
		w.must(w.api.DeleteService(t.Context(), &sdk.DeleteServiceInput{Cluster: aws.String(cluster), Service: &name, Force: aws.Bool(true)}))
	}
	w.pass(5 * time.Minute)
	for _, name := range names {
		if s := w.store.View().Services.Get(cluster + "/" + name); s.Status != ecs.ServiceInactive {
			t.Errorf("%s is %s after its deletion", name, s.Status)
		}
	}
}

func (w *world) create(name string) {
	percents := [][2]int32{{100, 200}, {50, 100}, {0, 100}, {50, 150}, {100, 150}}[w.rand.IntN(5)]
	in := &sdk.CreateServiceInput{
		Cluster: aws.String(cluster), ServiceName: &name, TaskDefinition: aws.String("good:1"), DesiredCount: aws.Int32(int32(1 + w.rand.IntN(6))),
		DeploymentConfiguration: &types.DeploymentConfiguration{
			MinimumHealthyPercent: &percents[0], MaximumPercent: &percents[1],
			DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: w.rand.IntN(3) > 0},
		},
	}
	switch w.rand.IntN(4) {
	case 0:
		in.SchedulingStrategy, in.DesiredCount, in.DeploymentConfiguration.MaximumPercent = "DAEMON", nil, aws.Int32(100)
		in.DeploymentConfiguration.MinimumHealthyPercent = aws.Int32(percents[0] / 2)
	case 1:
		if percents[1] > 100 {
			in.AvailabilityZoneRebalancing = "ENABLED"
		}
	}
	w.must(w.api.CreateService(w.t.Context(), in))
}

func (w *world) ids() []ecs.InstanceID {
	out := make([]ecs.InstanceID, len(w.nodes))
	for i := range out {
		out[i] = ecs.InstanceID{1, byte(i)}
	}
	return out
}

func (w *world) setStatus(id ecs.InstanceID, status ecs.InstanceStatus) {
	w.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(id)
		i.Status = status
		tx.Instances.Put(&i)
	})
}

// act does one thing. What the API refuses, such as the end of a deployment that has ended, is nothing.
func (w *world) act(name string) {
	ctx, id := w.t.Context(), w.ids()[w.rand.IntN(len(w.nodes))]
	s := w.store.View().Services.Get(cluster + "/" + name)
	in := &sdk.UpdateServiceInput{Cluster: aws.String(cluster), Service: &name}
	switch w.rand.IntN(10) {
	case 0, 1:
		in.TaskDefinition = aws.String(fmt.Sprintf("%s:%d", []string{"good", "good", "bad", "crash"}[w.rand.IntN(4)], 1+w.rand.IntN(2)))
		w.must(w.api.UpdateService(ctx, in))
	case 2:
		if s.SchedulingStrategy == ecs.SchedulingReplica {
			in.DesiredCount = aws.Int32(int32(w.rand.IntN(7)))
			w.must(w.api.UpdateService(ctx, in))
		}
	case 3:
		in.ForceNewDeployment = true
		w.must(w.api.UpdateService(ctx, in))
	case 4:
		how := []types.StopServiceDeploymentStopType{types.StopServiceDeploymentStopTypeAbort, types.StopServiceDeploymentStopTypeRollback}[w.rand.IntN(2)]
		arn := w.api.Place.ServiceDeploymentARN(cluster, name, s.ServiceDeployment)
		_, _ = w.api.StopServiceDeployment(ctx, &sdk.StopServiceDeploymentInput{ServiceDeploymentArn: &arn, StopType: how})
	case 5, 6:
		if w.connected(id) {
			w.mu.Lock()
			w.nodes[id].connected = false
			w.mu.Unlock()
		} else {
			w.join(id)
		}
	case 7:
		status := w.store.View().Instances.Get(id).Status
		w.setStatus(id, map[ecs.InstanceStatus]ecs.InstanceStatus{ecs.InstanceActive: ecs.InstanceDraining, ecs.InstanceDraining: ecs.InstanceActive}[status])
	case 8:
		w.kill()
	case 9:
		w.stop()
		w.begin()
	}
}

// kill has a running task end by itself.
func (w *world) kill() {
	for task := range w.store.View().Tasks.All() {
		if task.LastStatus == ecs.TaskRunning && w.rand.IntN(3) == 0 {
			one := int32(1)
			w.became(task.Instance, acs.TaskState{ID: task.ID, Status: ecs.TaskStopped, StopCode: ecs.StopEssentialContainerExit,
				Containers: []ecs.Container{{Name: "a", LastStatus: ecs.TaskStopped, ExitCode: &one}}})
			return
		}
	}
}

// observe holds every commit against what deployments promise: none has more tasks started than the maximum allows, and none stops healthy
// tasks below the minimum.
func (w *world) observe(ctx context.Context, feed *state.Feed) error {
	for {
		c, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		started, stopped, scaled := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, ch := range c.Services {
			scaled[ch.New.Name] = ch.Old != nil && ch.Old.DesiredCount != ch.New.DesiredCount || ch.Old == nil
		}
		for _, ch := range c.Tasks {
			switch t := ch.New; {
			case t == nil:
			case ch.Old == nil:
				started[t.Group] = true
			case isHealthy(ch.Old) && t.DesiredStatus == ecs.TaskStopped && t.StopCode == ecs.StopServiceSchedulerStopped:
				stopped[t.Group] = true
			}
		}
		w.promiseDaemon(c)
		for s := range c.View.Services.Under(cluster) {
			if scaled[s.Name] {
				continue // The commit may have tasks that were started or stopped for another count.
			}
			w.promise(c.View, s, started[ecs.ServiceGroup(s.Name)], stopped[ecs.ServiceGroup(s.Name)])
		}
	}
}

func isHealthy(t *ecs.Task) bool {
	return t.LastStatus == ecs.TaskRunning && t.DesiredStatus == ecs.TaskRunning
}

func (w *world) promise(v *state.View, s *ecs.Service, started, stopped bool) {
	if !started && !stopped {
		return
	}
	var wanted, healthy int32
	at := map[ecs.InstanceID]int{}
	for t := range v.Tasks.OfGroup(cluster, ecs.ServiceGroup(s.Name)) {
		if t.DesiredStatus == ecs.TaskRunning && t.LastStatus < ecs.TaskStopped {
			wanted++
			at[t.Instance]++
		}
		if isHealthy(t) {
			healthy++
		}
	}
	c := s.DeploymentConfiguration
	most, least := s.DesiredCount*c.MaximumPercent/100, (s.DesiredCount*c.MinimumHealthyPercent+99)/100
	if s.SchedulingStrategy == ecs.SchedulingDaemon {
		for id, n := range at {
			if n > 1 {
				w.t.Errorf("%v: %d tasks of the daemon %s on %s", time.Now(), n, s.Name, id)
			}
		}
		return
	}
	if started && wanted > most {
		w.t.Errorf("%v: %s has %d tasks, at most %d may be", time.Now(), s.Name, wanted, most)
	}
	if stopped && healthy < least {
		w.t.Errorf("%v: %s has %d healthy tasks, at least %d must be", time.Now(), s.Name, healthy, least)
	}
}

// check holds the end against what must be: every deployment has ended, a completed one has the tasks that are desired and no others run,
// and nodes have the tasks that the state has for them and no more.
func (w *world) check(names []string) {
	v := w.store.View()
	for d := range v.ServiceDeployments.All() {
		s := v.Services.Get(cluster + "/" + d.Service)
		c := s.DeploymentConfiguration
		// One task that 50 % keep and that 150 % are, too, can never be replaced, as at ECS.
		blocked := s.DesiredCount > 0 && (s.DesiredCount*c.MinimumHealthyPercent+99)/100 >= s.DesiredCount*c.MaximumPercent/100 && s.Progress.Blocked
		if d.Status.Ongoing() && !blocked {
			w.t.Errorf("a deployment of %s goes on: %+v", d.Service, d)
		}
	}
	for _, name := range names {
		s := v.Services.Get(cluster + "/" + name)
		p := s.Primary()
		n := v.DeploymentCounts(cluster, p.ID)
		if p.RolloutState == ecs.RolloutCompleted && (n.Healthy != s.DesiredCount || n.Live != s.DesiredCount || len(s.Deployments) != 1 || !s.Progress.Steady) && p.Definition.Family == "good" {
			w.t.Errorf("%s is to have %d tasks and has %+v: %+v", name, s.DesiredCount, n, s)
		}
		for t := range v.Tasks.OfGroup(cluster, ecs.ServiceGroup(name)) {
			if t.LastStatus < ecs.TaskStopped && !slices.ContainsFunc(s.Deployments, func(d ecs.Deployment) bool { return d.ID == t.StartedBy }) {
				w.t.Errorf("%s of %s is of no deployment", t.ID, name)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.nodes {
		for task := range n.tasks {
			if t := v.Tasks.Get(task); t == nil || t.LastStatus >= ecs.TaskStopped || t.Instance != id {
				w.t.Errorf("%s has %s, which the state has not", id, task)
			}
		}
		for t := range v.Tasks.OnInstance(id) {
			if t.LastStatus < ecs.TaskStopped && n.tasks[t.ID] == nil {
				w.t.Errorf("%s has not %s, which is %s", id, t.ID, t.LastStatus)
			}
		}
	}
}
