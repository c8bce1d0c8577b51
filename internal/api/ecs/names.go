package ecsapi

import (
	"regexp"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// defaultCluster is the cluster of a request that names none.
const defaultCluster = "default"

var clusterName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)

// arn takes an ARN apart and refuses one of another account, region or kind of resource.
func (a *API) arn(s, kind string) (ecs.ARN, error) {
	arn, err := ecs.ParseARN(s)
	if err != nil || arn.Service != "ecs" {
		return arn, fault.New(fault.InvalidParameter, "Invalid identifier: %s", s)
	}
	switch {
	case arn.Account != a.Place.Account:
		return arn, fault.New(fault.InvalidParameter, "Identifier is for %s. Your accountId is %s", arn.Account, a.Place.Account)
	case arn.Region != a.Place.Region:
		return arn, fault.New(fault.InvalidParameter, "Identifier is for region %s. Your region is %s", arn.Region, a.Place.Region)
	case kind != "" && arn.Type != kind:
		return arn, fault.New(fault.InvalidParameter, "Invalid identifier: %s is not the ARN of a %s", s, kind)
	}
	return arn, nil
}

func isARN(s string) bool { return strings.HasPrefix(s, "arn:") }

// clusterRef reads a cluster's name or ARN; nil and "" are the default cluster.
func (a *API) clusterRef(ref *string) (string, error) {
	name := str(ref)
	if name == "" {
		return defaultCluster, nil
	}
	if isARN(name) {
		arn, err := a.arn(name, "cluster")
		if err != nil {
			return "", err
		}
		name = arn.Resource
	}
	if !clusterName.MatchString(name) {
		return "", fault.New(fault.InvalidParameter, "Invalid cluster identifier: %s", name)
	}
	return name, nil
}

var errNoCluster = fault.New(fault.ClusterNotFound, "Cluster not found.")

// cluster finds an ACTIVE cluster.
func cluster(t *state.Tables, name string) (*ecs.Cluster, error) {
	c := t.Clusters.Get(name)
	if c == nil || c.Status != ecs.ClusterActive {
		return nil, errNoCluster
	}
	return c, nil
}

// activeCluster reads a reference and finds the ACTIVE cluster.
func (a *API) activeCluster(t *state.Tables, ref *string) (string, error) {
	name, err := a.clusterRef(ref)
	if err != nil {
		return "", err
	}
	_, err = cluster(t, name)
	return name, err
}

// resourceID reads an id or an ARN of the kind within a cluster, in the long form or the old one without a cluster. It gives
// the id, "" if the ARN is of another cluster, which then has none of that name.
func (a *API) resourceID(ref, kind, cluster string) (string, error) {
	id := ref
	if isARN(ref) {
		arn, err := a.arn(ref, kind)
		if err != nil {
			return "", err
		}
		if arn.Cluster != "" && arn.Cluster != cluster {
			return "", nil
		}
		id = arn.Resource
	}
	if len(id) != 32 && len(id) != 36 {
		what := "taskId"
		if kind == kindInstance {
			what = "containerInstanceId"
		}
		return "", fault.New(fault.InvalidParameter, "%s length should be one of [32,36]", what)
	}
	return id, nil
}

// The kinds of resource in ARNs.
const (
	kindCluster    = "cluster"
	kindTask       = "task"
	kindInstance   = "container-instance"
	kindDefinition = "task-definition"
	kindProvider   = "capacity-provider"
	kindService    = "service"

	kindServiceDeployment = "service-deployment"
	kindServiceRevision   = "service-revision"
	kindTaskSet           = "task-set"

	kindDaemon           = "daemon"
	kindDaemonDefinition = "daemon-task-definition"
	kindDaemonDeployment = "daemon-deployment"
	kindDaemonRevision   = "daemon-revision"
)

// task finds a task of a cluster by id or ARN; nil if there is none.
func (a *API) task(t *state.Tables, ref, cluster string) (*ecs.Task, error) {
	s, err := a.resourceID(ref, kindTask, cluster)
	if err != nil {
		return nil, err
	}
	id, err := ecs.ParseTaskID(s)
	if err != nil {
		return nil, nil // Not an id that we ever gave: there is no such task.
	}
	task := t.Tasks.Get(id)
	if task == nil || task.Cluster != cluster {
		return nil, nil
	}
	return task, nil
}

// instance finds an instance of a cluster by id or ARN; nil if there is none.
func (a *API) instance(t *state.Tables, ref, cluster string) (*ecs.Instance, error) {
	s, err := a.resourceID(ref, kindInstance, cluster)
	if err != nil {
		return nil, err
	}
	id, err := ecs.ParseInstanceID(s)
	if err != nil {
		return nil, nil // Not an id that we ever gave: there is no such instance.
	}
	i := t.Instances.Get(id)
	if i == nil || i.Cluster != cluster {
		return nil, nil
	}
	return i, nil
}

// missingARN is the ARN that a failure names for a reference that was not found.
func (a *API) missingARN(ref, kind, cluster string) *string {
	if isARN(ref) {
		return &ref
	}
	s := "arn:aws:ecs:" + a.Place.Region + ":" + a.Place.Account + ":" + kind + "/" + cluster + "/" + ref
	return &s
}

// definitionRef reads FAMILY, FAMILY:REVISION or an ARN; the revision is 0 if none is given.
func (a *API) definitionRef(ref *string) (ecs.DefinitionID, error) {
	return a.definitionRefOf(kindDefinition, ref)
}

// definitionRefOf is definitionRef for ARNs of a kind.
func (a *API) definitionRefOf(kind string, ref *string) (ecs.DefinitionID, error) {
	what := map[string]string{kindDefinition: "Task definition", kindDaemonDefinition: "Daemon task definition"}[kind]
	s := str(ref)
	if s == "" {
		return ecs.DefinitionID{}, fault.New(fault.Client, "%s should not be null or empty.", what)
	}
	if isARN(s) {
		arn, err := a.arn(s, kind)
		if err != nil {
			return ecs.DefinitionID{}, err
		}
		s = arn.Resource
	}
	family, revision, _ := strings.Cut(s, ":")
	if !familyName.MatchString(family) {
		return ecs.DefinitionID{}, fault.New(fault.Client, "Invalid %s identifier: %s", strings.ToLower(what), s)
	}
	id, err := ecs.ParseDefinitionID(s)
	if err != nil {
		return id, fault.New(fault.InvalidParameter, "Invalid revision number. Number: %s", revision)
	}
	id.Daemon = kind == kindDaemonDefinition
	return id, nil
}

// definition finds a revision, the latest ACTIVE one where none is named; nil if there is none.
func definition(t *state.Tables, id ecs.DefinitionID) *ecs.TaskDefinition {
	if id.Revision == 0 {
		return t.Definitions.LatestActive(id)
	}
	return t.Definitions.Get(id)
}
