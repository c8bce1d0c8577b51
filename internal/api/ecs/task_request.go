package ecsapi

import (
	"regexp"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/placement"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of RunTask and StartTask.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const (
	maxStartedBy = 128
	maxGroup     = 255
	maxReference = 1024
)

var startedByText = regexp.MustCompile(`^[a-zA-Z0-9_/.-]*$`)

// taskRequest is what RunTask and StartTask have in common; the fields after the blank line are read from those before.
type taskRequest struct {
	cluster, definition, group, startedBy, reference, platform *string
	overrides                                                  *types.TaskOverride
	tags                                                       []types.Tag
	propagate                                                  types.PropagateTags
	managedTags, exec                                          bool
	network                                                    *types.NetworkConfiguration
	launchType                                                 types.LaunchType
	strategy                                                   []types.CapacityProviderStrategyItem
	volumes                                                    []types.TaskVolumeConfiguration
	placeConstraints                                           []types.PlacementConstraint
	placeStrategy                                              []types.PlacementStrategy
	// started says that the instances are the caller's choice, service that the tasks are a service's.
	started, service bool

	clusterName  string
	definitionID ecs.DefinitionID
	given        []ecs.Tag
	override     *ecs.TaskOverride
	vpc          *ecs.AwsVpcConfiguration
	providers    []ecs.CapacityProviderStrategyItem
	constraints  []ecs.PlacementConstraint
	order        []ecs.PlacementStrategy
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
	if err := checkLaunchType(r.launchType, r.strategy); err != nil {
		return nil, err
	}
	if r.providers, err = a.strategy(r.strategy); err != nil {
		return nil, err
	}
	if r.given, err = tags(r.tags); err != nil {
		return nil, err
	}
	if err := r.checkTexts(); err != nil {
		return nil, err
	}
	r.constraints, r.order = mirror.Slice[ecs.PlacementConstraint](r.placeConstraints), mirror.Slice[ecs.PlacementStrategy](r.placeStrategy)
	if err := placement.ValidateConstraints(r.constraints); err != nil {
		return nil, err
	}
	if err := placement.ValidateStrategy(r.order); err != nil {
		return nil, err
	}
	if r.vpc, err = network(r.network); err != nil {
		return nil, err
	}
	if r.override, err = readOverrides(r.overrides); err != nil {
		return nil, err
	}
	return &r, r.checkVolumes()
}

func (r *taskRequest) checkTexts() error {
	switch {
	case len(str(r.startedBy)) > maxStartedBy:
		return fault.New(fault.InvalidParameter, "startedBy must be at most %d characters long.", maxStartedBy)
	case !startedByText.MatchString(str(r.startedBy)):
		return fault.New(fault.InvalidParameter, "startedBy contains invalid characters.")
	case len(str(r.group)) > maxGroup:
		return fault.New(fault.InvalidParameter, "group must be at most %d characters long.", maxGroup)
	case isServiceGroup(str(r.group)) || isDaemonGroup(str(r.group)):
		return fault.New(fault.InvalidParameter, "Invalid namespace for group.")
	case len(str(r.reference)) > maxReference:
		return fault.New(fault.InvalidParameter, "referenceId must be at most %d characters long.", maxReference)
	case r.propagate == types.PropagateTagsService:
		return fault.New(fault.InvalidParameter, "propagateTags SERVICE is only for the tasks of services.")
	case r.propagate != "" && !known(r.propagate):
		return fault.New(fault.InvalidParameter, "Invalid propagateTags: %q.", string(r.propagate))
	}
	return nil
}

// plan is a request resolved: what its tasks have in common, and how they are placed.
type plan struct {
	spec lifecycle.Spec
	launch
	vpc         *ecs.AwsVpcConfiguration
	constraints []ecs.PlacementConstraint
	order       []ecs.PlacementStrategy
}

// resolve finds what a request names and makes the tasks' common part of it; it may be called in an update and has no effect.
func (a *API) resolve(t *state.Tables, r *taskRequest) (*plan, error) {
	c, err := cluster(t, r.clusterName)
	if err != nil {
		return nil, err
	}
	d := definition(t, r.definitionID)
	switch {
	case d == nil:
		return nil, fault.New(fault.Client, "TaskDefinition not found.")
	case d.Status != ecs.DefinitionActive:
		return nil, fault.New(fault.Client, "TaskDefinition is inactive")
	}
	p := &plan{vpc: r.vpc, constraints: r.constraints, order: r.order}
	if p.launch, err = r.launchOf(t, c); err != nil {
		return nil, err
	}
	if err := r.checkDefinition(d, &p.launch); err != nil {
		return nil, err
	}
	p.spec = lifecycle.Spec{
		Cluster: r.clusterName, Definition: d, Group: str(r.group), StartedBy: str(r.startedBy), LaunchType: p.launchType,
		ReferenceID: str(r.reference), Overrides: r.override, Tags: r.given, EnableExecuteCommand: r.exec, PlatformVersion: p.platform,
	}
	if p.spec.Group == "" {
		p.spec.Group = "family:" + d.Family
	}
	if r.propagate == types.PropagateTagsTaskDefinition {
		p.spec.Tags = mergeTags(d.Tags, r.given)
	}
	if len(p.spec.Tags) > maxTags {
		return nil, fault.New(fault.InvalidParameter, "The maximum number of tags is %d.", maxTags)
	}
	if r.managedTags {
		p.spec.Tags = mergeTags(p.spec.Tags, []ecs.Tag{{Key: ecs.TagClusterName, Value: r.clusterName}})
	}
	return p, nil
}

// checkDefinition refuses what this definition cannot be run with.
func (r *taskRequest) checkDefinition(d *ecs.TaskDefinition, l *launch) error {
	if err := r.checkLaunch(d, l); err != nil {
		return err
	}
	if err := checkNetwork(d, r.vpc); err != nil {
		return err
	}
	if err := checkVolumesOf(d, l.launchType, r.volumes); err != nil {
		return err
	}
	if r.exec && d.TaskRoleArn == "" && (r.override == nil || r.override.TaskRoleArn == "") {
		return fault.New(fault.InvalidParameter,
			"The task couldn't be run because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again.")
	}
	return checkOverridesOf(d, r.override)
}

// execAttributes are what ECS Exec needs of an instance.
var execAttributes = []ecs.Attribute{{Name: "ecs.capability.execute-command"}}

// placement asks for places for count of the plan's tasks.
func (p *plan) placement(a *API, count int) placement.Request {
	r := placement.Request{
		Cluster: p.spec.Cluster, Definition: p.spec.Definition, Overrides: p.spec.Overrides, Group: p.spec.Group, Count: count,
		Constraints: p.constraints, Strategy: p.order, CapacityProvider: p.spec.CapacityProvider,
		LaunchType: p.spec.LaunchType, Connected: a.Connected,
	}
	if p.vpc != nil {
		r.Subnets = p.vpc.Subnets
	}
	if p.spec.EnableExecuteCommand {
		r.Attributes = execAttributes
	}
	return r
}

func isDaemonGroup(group string) bool {
	_, is := ecs.DaemonOfGroup(group)
	return is
}

func isServiceGroup(group string) bool {
	_, is := ecs.ServiceOfGroup(group)
	return is
}
