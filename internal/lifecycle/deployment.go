package lifecycle

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// superseded is why a deployment ends that another takes the place of.
const superseded = "Service deployment stopped because a new service deployment was started."

// Deploy makes d the primary deployment of a service that is about to be stored, and puts what is kept of it: its revision and a
// PENDING service deployment. One that goes on until then is STOPPED.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html
func Deploy(tx *state.Tx, now ecs.Millis, s *ecs.Service, d ecs.Deployment) {
	record := &ecs.ServiceDeployment{
		Cluster: s.Cluster, Service: s.Name, ID: ecs.NewServiceDeploymentID(), Status: ecs.ServiceDeploymentPending, CreatedAt: now, UpdatedAt: now,
		Target: ecs.RevisionCounts{ID: d.RevisionID(), Requested: s.DesiredCount}, Configuration: s.DeploymentConfiguration,
	}
	for i := range s.Deployments {
		record.Sources = append(record.Sources, Counts(&tx.Tables, s, &s.Deployments[i]))
	}
	if old := CurrentDeployment(&tx.Tables, s); old != nil && old.Status.Ongoing() {
		ended := *old
		Finish(&tx.Tables, now, s, &ended, ecs.ServiceDeploymentStopped, superseded)
		tx.ServiceDeployments.Put(&ended)
	}
	tx.ServiceDeployments.Put(record)
	tx.ServiceRevisions.Put(revision(tx, now, s, &d))
	s.ServiceDeployment = record.ID
	s.Deployments = append([]ecs.Deployment{d}, slices.Clone(s.Deployments)...)
	if len(s.Deployments) > 1 {
		s.Deployments[1].Status = ecs.DeploymentActive
	}
	// A new deployment begins with a clean record.
	s.Progress = ecs.Progress{}
}

func revision(tx *state.Tx, now ecs.Millis, s *ecs.Service, d *ecs.Deployment) *ecs.ServiceRevision {
	r := &ecs.ServiceRevision{
		Cluster: s.Cluster, Service: s.Name, ID: d.RevisionID(), CreatedAt: now, Definition: d.Definition, LaunchType: d.LaunchType,
		CapacityProviderStrategy: d.CapacityProviderStrategy, PlatformVersion: d.PlatformVersion, NetworkConfiguration: d.NetworkConfiguration,
	}
	if def := tx.Definitions.Get(d.Definition); def != nil {
		for i := range def.ContainerDefinitions {
			c := &def.ContainerDefinitions[i]
			r.Images = append(r.Images, ecs.ContainerImage{ContainerName: c.Name, Image: c.Image})
		}
	}
	return r
}

// CurrentDeployment is the service deployment that goes on, or the last one; nil if there is none, as for a service of an older version.
func CurrentDeployment(t *state.Tables, s *ecs.Service) *ecs.ServiceDeployment {
	if s.ServiceDeployment == "" {
		return nil
	}
	return t.ServiceDeployments.Get(s.Key() + "/" + s.ServiceDeployment)
}

// Counts are the numbers of tasks of a deployment now. Requested is what the service wants of its primary, and what is left to run
// of others.
func Counts(t *state.Tables, s *ecs.Service, d *ecs.Deployment) ecs.RevisionCounts {
	n := t.DeploymentCounts(s.Cluster, d.ID)
	c := ecs.RevisionCounts{ID: d.RevisionID(), Requested: n.Wanted, Running: n.Running, Pending: n.Pending}
	if d.Status == ecs.DeploymentPrimary {
		c.Requested = s.DesiredCount
	}
	return c
}

// Finish ends a service deployment that is about to be stored, with the numbers as they are.
func Finish(t *state.Tables, now ecs.Millis, s *ecs.Service, d *ecs.ServiceDeployment, status ecs.ServiceDeploymentStatus, reason string) {
	d.Target, d.Sources = CountsOf(t, s, d)
	d.Threshold = d.Configuration.CircuitBreaker.Threshold(s.DesiredCount)
	if i := slices.IndexFunc(s.Deployments, func(x ecs.Deployment) bool { return x.RevisionID() == d.Target.ID }); i >= 0 && d.FailureCount == 0 {
		d.FailureCount = s.Deployments[i].FailedTasks
	}
	d.Status, d.StatusReason, d.FinishedAt, d.UpdatedAt = status, reason, now, now
	if d.StartedAt == 0 {
		d.StartedAt = now
	}
	if status == ecs.ServiceDeploymentStopped {
		d.StoppedAt = now
	}
}

// CountsOf are the numbers of tasks of a service deployment's revisions: as they are now while it goes on, as they were at its end after it.
func CountsOf(t *state.Tables, s *ecs.Service, d *ecs.ServiceDeployment) (target ecs.RevisionCounts, sources []ecs.RevisionCounts) {
	if s == nil || !d.Status.Ongoing() {
		return d.Target, d.Sources
	}
	now := func(old ecs.RevisionCounts) ecs.RevisionCounts {
		id := ecs.DeploymentOfRevision(old.ID)
		i := slices.IndexFunc(s.Deployments, func(x ecs.Deployment) bool { return x.ID == id })
		if i < 0 {
			return ecs.RevisionCounts{ID: old.ID}
		}
		return Counts(t, s, &s.Deployments[i])
	}
	for _, old := range d.Sources {
		sources = append(sources, now(old))
	}
	return now(d.Target), sources
}
