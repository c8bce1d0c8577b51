package ecsapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of RunTask and StartTask.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const (
	maxOverrideBytes = 8192
	maxStartedBy     = 128
	maxGroup         = 255
	maxReference     = 1024
)

const servicePrefix = "service:"

var startedByText = regexp.MustCompile(`^[a-zA-Z0-9_/.-]*$`)

// taskRequest is what RunTask and StartTask have in common; the fields after the blank line are read from those before.
type taskRequest struct {
	cluster, definition, group, startedBy, reference *string
	overrides                                        *types.TaskOverride
	tags                                             []types.Tag
	propagate                                        types.PropagateTags
	managedTags                                      bool
	network                                          *types.NetworkConfiguration
	launchType                                       string

	clusterName  string
	definitionID ecs.DefinitionID
	given        []ecs.Tag
	override     *ecs.TaskOverride
}

// readTaskRequest checks all that can be checked without the state.
func (a *API) readTaskRequest(r taskRequest) (*taskRequest, error) {
	var err error
	if r.clusterName, err = a.clusterRef(r.cluster); err != nil {
		return nil, err
	}
	if r.definitionID, err = a.definitionRef(r.definition); err != nil {
		return nil, err
	}
	if r.given, err = tags(r.tags); err != nil {
		return nil, err
	}
	switch {
	case len(str(r.startedBy)) > maxStartedBy:
		return nil, fault.New(fault.InvalidParameter, "startedBy must be at most %d characters long.", maxStartedBy)
	case !startedByText.MatchString(str(r.startedBy)):
		return nil, fault.New(fault.InvalidParameter, "startedBy contains invalid characters.")
	case len(str(r.group)) > maxGroup:
		return nil, fault.New(fault.InvalidParameter, "group must be at most %d characters long.", maxGroup)
	case strings.HasPrefix(str(r.group), servicePrefix):
		return nil, fault.New(fault.InvalidParameter, "Invalid group: the prefix %s is kept for the tasks of services.", servicePrefix)
	case len(str(r.reference)) > maxReference:
		return nil, fault.New(fault.InvalidParameter, "referenceId must be at most %d characters long.", maxReference)
	case r.propagate == types.PropagateTagsService:
		return nil, fault.New(fault.InvalidParameter, "propagateTags SERVICE is only for the tasks of services.")
	case r.propagate != "" && !known(r.propagate):
		return nil, fault.New(fault.InvalidParameter, "Invalid propagateTags: %q.", string(r.propagate))
	}
	return &r, r.readOverrides()
}

func (r *taskRequest) readOverrides() error {
	if r.overrides == nil {
		return nil
	}
	body, err := json.Marshal(r.overrides)
	if err != nil {
		return fmt.Errorf("measure overrides: %w", err)
	}
	o := mirror.Of[ecs.TaskOverride](r.overrides)
	mirror.DropEmpty(&o)
	if len(body) > maxOverrideBytes {
		// The SDK's struct has all names; what ECS measures has those that were sent.
		if sent, err := json.Marshal(o); err != nil || len(sent) > maxOverrideBytes {
			return fault.New(fault.InvalidParameter, "Container Overrides length must be at most %d", maxOverrideBytes)
		}
	}
	switch {
	case o.EphemeralStorage != nil:
		return fault.New(fault.InvalidParameter, "Ephemeral storage override is only supported with the FARGATE launch type.")
	case len(o.InferenceAcceleratorOverrides) > 0:
		return fault.New(fault.Unsupported, notYet, "overrides.inferenceAcceleratorOverrides")
	}
	if _, ok := ecs.CPUUnits(o.Cpu); o.Cpu != "" && !ok {
		return fault.New(fault.InvalidParameter, "Invalid 'cpu' setting for task override: %s.", o.Cpu)
	}
	if _, ok := ecs.MemoryMiB(o.Memory); o.Memory != "" && !ok {
		return fault.New(fault.InvalidParameter, "Invalid 'memory' setting for task override: %s.", o.Memory)
	}
	for i := range o.ContainerOverrides {
		if err := checkContainerOverride(&o.ContainerOverrides[i]); err != nil {
			return err
		}
	}
	r.override = &o
	return nil
}

func checkContainerOverride(c *ecs.ContainerOverride) error {
	bad := func(field string) error {
		return fault.New(fault.InvalidParameter, "Invalid '%s' setting for the override of container '%s'.", field, c.Name)
	}
	switch {
	case c.Cpu != nil && *c.Cpu < 0:
		return bad("cpu")
	case c.Memory != nil && *c.Memory < 4:
		return bad("memory")
	case c.MemoryReservation != nil && *c.MemoryReservation < 4:
		return bad("memoryReservation")
	case len(c.ResourceRequirements) > 0:
		return fault.New(fault.Unsupported, notYet, "overrides.containerOverrides.resourceRequirements")
	}
	for _, e := range c.Environment {
		if e.Name == "" {
			return bad("environment")
		}
	}
	return nil
}

// resolve finds what a request names and makes the tasks' common part of it; it may be called in an update and has no effect.
func (a *API) resolve(t *state.Tables, r *taskRequest) (*lifecycle.Spec, error) {
	if _, err := cluster(t, r.clusterName); err != nil {
		return nil, err
	}
	d := definition(t, r.definitionID)
	switch {
	case d == nil:
		return nil, fault.New(fault.Client, "TaskDefinition not found.")
	case d.Status != ecs.DefinitionActive:
		return nil, fault.New(fault.Client, "TaskDefinition is inactive")
	}
	if err := checkDefinition(d, r); err != nil {
		return nil, err
	}
	spec := &lifecycle.Spec{
		Cluster: r.clusterName, Definition: d, Group: str(r.group), StartedBy: str(r.startedBy), LaunchType: r.launchType,
		ReferenceID: str(r.reference), Overrides: r.override, Tags: r.given,
	}
	if spec.Group == "" {
		spec.Group = "family:" + d.Family
	}
	if spec.LaunchType == "" {
		spec.LaunchType = ecs.LaunchEC2
	}
	if r.propagate == types.PropagateTagsTaskDefinition {
		spec.Tags = mergeTags(d.Tags, r.given)
	}
	if r.managedTags {
		spec.Tags = mergeTags(spec.Tags, []ecs.Tag{{Key: "aws:ecs:clusterName", Value: r.clusterName}})
	}
	if len(spec.Tags) > maxTags {
		return nil, fault.New(fault.InvalidParameter, "The maximum number of tags is %d.", maxTags)
	}
	return spec, nil
}

// checkDefinition refuses what this definition cannot be run with, and what no instance could be given yet.
func checkDefinition(d *ecs.TaskDefinition, r *taskRequest) error {
	if r.launchType != "" && !slices.Contains(d.Compatibilities, r.launchType) {
		return fault.New(fault.InvalidParameter, "Task definition does not support launch_type %s.", r.launchType)
	}
	hasNetwork := r.network != nil && r.network.AwsvpcConfiguration != nil
	switch {
	case d.NetworkMode == ecs.NetworkAwsvpc && !hasNetwork:
		return fault.New(fault.InvalidParameter, "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	case d.NetworkMode == ecs.NetworkAwsvpc:
		return fault.New(fault.Unsupported, notYet, "networkMode awsvpc")
	case hasNetwork:
		return fault.New(fault.InvalidParameter, "Network Configuration is not valid for the given networkMode of this task definition.")
	case len(d.PlacementConstraints) > 0:
		return fault.New(fault.Unsupported, notYet, "placementConstraints of a task definition")
	}
	if r.override == nil {
		return nil
	}
	seen := map[string]bool{}
	for i := range r.override.ContainerOverrides {
		name := r.override.ContainerOverrides[i].Name
		if !slices.ContainsFunc(d.ContainerDefinitions, func(c ecs.ContainerDefinition) bool { return c.Name == name }) {
			return fault.New(fault.InvalidParameter, "Override for container named %s is not a container in the TaskDefinition.", name)
		}
		if seen[name] {
			return fault.New(fault.InvalidParameter, "Override for container named %s is given more than once.", name)
		}
		seen[name] = true
	}
	return nil
}
