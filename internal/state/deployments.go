package state

import (
	"cmp"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// DeploymentCounts are numbers of tasks of one deployment of a service.
type DeploymentCounts struct {
	// Live are those that have not stopped, Running those whose last status is RUNNING, whatever is desired of them.
	Live, Running int32
	// Wanted are those that are to run; of these Pending have not come that far, Healthy run and are not checked or found
	// healthy, and Unhealthy are found to be not.
	Wanted, Pending, Healthy, Unhealthy int32
}

// DeploymentCounts counts the tasks of a service's deployment, by its id.
func (t *Tables) DeploymentCounts(cluster, deployment string) DeploymentCounts {
	u := t.derived.deployments.t.get(deploymentOf{cluster, deployment})
	if u == nil {
		return DeploymentCounts{}
	}
	return u.DeploymentCounts
}

// deployments counts the tasks of services by their startedBy, which is their deployment's id.
type deployments struct {
	t table[deploymentOf, deploymentUsage]
}

type deploymentOf struct{ cluster, id string }

type deploymentUsage struct {
	generation uint64
	DeploymentCounts
}

func newDeployments() deployments {
	return deployments{newTable[deploymentOf, deploymentUsage](func(a, b deploymentOf) int {
		return cmp.Or(strings.Compare(a.cluster, b.cluster), strings.Compare(a.id, b.id))
	})}
}

func (d deployments) copy() deployments { return deployments{d.t.copy()} }

// task follows a change of a task; either may be nil.
func (d deployments) task(w *writer, old, new *ecs.Task) {
	before, from := deploymentCounts(old)
	after, to := deploymentCounts(new)
	if from == to && before == after {
		return
	}
	d.add(w, from, before, -1)
	d.add(w, to, after, 1)
}

// deploymentCounts says as what a task is counted, and where: nowhere if it is not a service's or has stopped.
func deploymentCounts(t *ecs.Task) (DeploymentCounts, deploymentOf) {
	if t == nil || !isLive(t) {
		return DeploymentCounts{}, deploymentOf{}
	}
	if _, ok := ecs.ServiceOfGroup(t.Group); !ok {
		return DeploymentCounts{}, deploymentOf{}
	}
	n := DeploymentCounts{Live: 1}
	running := t.LastStatus == ecs.TaskRunning
	if running {
		n.Running = 1
	}
	if t.DesiredStatus == ecs.TaskRunning {
		n.Wanted = 1
		switch {
		case t.LastStatus < ecs.TaskRunning:
			n.Pending = 1
		case t.HealthStatus == ecs.HealthUnhealthy:
			n.Unhealthy = 1
		case running && (t.HealthStatus == "" || t.HealthStatus == ecs.HealthHealthy):
			n.Healthy = 1
		}
	}
	return n, deploymentOf{t.Cluster, t.StartedBy}
}

func (d deployments) add(w *writer, of deploymentOf, n DeploymentCounts, sign int32) {
	if n.Live == 0 {
		return
	}
	u := d.t.get(of)
	if u == nil || u.generation != w.generation {
		fresh := deploymentUsage{generation: w.generation}
		if u != nil {
			fresh.DeploymentCounts = u.DeploymentCounts
		}
		u = &fresh
		d.t.set(of, u)
	}
	u.Live += sign * n.Live
	u.Running += sign * n.Running
	u.Wanted += sign * n.Wanted
	u.Pending += sign * n.Pending
	u.Healthy += sign * n.Healthy
	u.Unhealthy += sign * n.Unhealthy
	if u.Live == 0 {
		d.t.set(of, nil)
	}
}
