package ecs

import "strings"

// ServiceStatus is where a service is in its life.
type ServiceStatus string

// The states of a service. A DRAINING one has been deleted and still has tasks.
const (
	ServiceActive   ServiceStatus = "ACTIVE"
	ServiceDraining ServiceStatus = "DRAINING"
	ServiceInactive ServiceStatus = "INACTIVE"
)

// Scheduling strategies.
const (
	SchedulingReplica = "REPLICA"
	SchedulingDaemon  = "DAEMON"
)

// Service keeps a number of tasks running and replaces them by those of a new definition. What ECS counts in it is derived
// from the tasks.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
type Service struct {
	Cluster            string        `json:"cluster"`
	Name               string        `json:"name"`
	Status             ServiceStatus `json:"status"`
	CreatedAt          Millis        `json:"createdAt"`
	CreatedBy          string        `json:"createdBy,omitempty"`
	SchedulingStrategy string        `json:"schedulingStrategy"`
	DesiredCount       int32         `json:"desiredCount,omitempty"`
	// ClientToken is that of its creation.
	ClientToken             string                  `json:"clientToken,omitempty"`
	DeploymentConfiguration DeploymentConfiguration `json:"deploymentConfiguration"`
	PropagateTags           string                  `json:"propagateTags,omitempty"`
	EnableECSManagedTags    bool                    `json:"enableECSManagedTags,omitempty"`
	Tags                    []Tag                   `json:"tags,omitempty"`
	ZoneRebalancing         string                  `json:"zoneRebalancing,omitempty"`
	GracePeriodSeconds      *int32                  `json:"gracePeriodSeconds,omitempty"`
	// Deployments has the PRIMARY one first, then those that still have tasks, newest first.
	Deployments []Deployment `json:"deployments"`
	// Completed is what the last deployment that completed runs, for a rollback.
	Completed *Deployment `json:"completed,omitempty"`
	Progress  Progress    `json:"progress"`
	// LastEvent is the number of the last event.
	LastEvent int64 `json:"lastEvent,omitempty"`
}

// Progress is what a service's controller must not forget.
type Progress struct {
	// Steady says that the event of a steady state has been given for how things are.
	Steady bool `json:"steady,omitempty"`
	// LaunchFailures counts tasks that did not come to run, since the last one that did; LastFailure is when the latest ended.
	LaunchFailures int32  `json:"launchFailures,omitempty"`
	LastFailure    Millis `json:"lastFailure,omitempty"`
	// Throttled says that the event of throttled launches has been given.
	Throttled bool `json:"throttled,omitempty"`
	// Unplaced is why no place was found for a task, as the last event has it; "" when there was one.
	Unplaced   string `json:"unplaced,omitempty"`
	UnplacedAt Millis `json:"unplacedAt,omitempty"`
}

// DeploymentConfiguration is the ECS type of that name, with its defaults filled in.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
type DeploymentConfiguration struct {
	MinimumHealthyPercent int32                     `json:"minimumHealthyPercent"`
	MaximumPercent        int32                     `json:"maximumPercent"`
	CircuitBreaker        *DeploymentCircuitBreaker `json:"circuitBreaker,omitempty"`
	BakeTimeInMinutes     int32                     `json:"bakeTimeInMinutes,omitempty"`
}

// DeploymentCircuitBreaker is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentCircuitBreaker.html
type DeploymentCircuitBreaker struct {
	Enable   bool `json:"enable,omitempty"`
	Rollback bool `json:"rollback,omitempty"`
}

// Roles of a deployment.
const (
	DeploymentPrimary = "PRIMARY"
	DeploymentActive  = "ACTIVE"
)

// States of a rollout.
const (
	RolloutInProgress = "IN_PROGRESS"
	RolloutCompleted  = "COMPLETED"
	RolloutFailed     = "FAILED"
)

// Deployment is one rollout of a service: what its tasks run, and how far it is.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
type Deployment struct {
	// ID is ecs-svc/ and digits: the startedBy of its tasks.
	ID                       string                         `json:"id"`
	Status                   string                         `json:"status"`
	Definition               DefinitionID                   `json:"definition"`
	LaunchType               string                         `json:"launchType,omitempty"`
	CapacityProviderStrategy []CapacityProviderStrategyItem `json:"capacityProviderStrategy,omitempty"`
	PlatformVersion          string                         `json:"platformVersion,omitempty"`
	NetworkConfiguration     *NetworkConfiguration          `json:"networkConfiguration,omitempty"`
	PlacementConstraints     []PlacementConstraint          `json:"placementConstraints,omitempty"`
	PlacementStrategy        []PlacementStrategy            `json:"placementStrategy,omitempty"`
	EnableExecuteCommand     bool                           `json:"enableExecuteCommand,omitempty"`
	CreatedAt                Millis                         `json:"createdAt"`
	UpdatedAt                Millis                         `json:"updatedAt"`
	// FailedTasks counts its tasks that did not come to run, or not to be healthy, while it was rolled out.
	FailedTasks        int32  `json:"failedTasks,omitempty"`
	RolloutState       string `json:"rolloutState"`
	RolloutStateReason string `json:"rolloutStateReason,omitempty"`
	// ReadyAt is when all of its tasks ran and were healthy: the bake time begins then.
	ReadyAt Millis `json:"readyAt,omitempty"`
}

// Key is the service's in its table.
func (s *Service) Key() string { return s.Cluster + "/" + s.Name }

// Primary is the deployment that is to be, or is, the service; nil only in a service that was never stored.
func (s *Service) Primary() *Deployment {
	if len(s.Deployments) == 0 {
		return nil
	}
	return &s.Deployments[0]
}

// ServiceGroup is the group of a service's tasks.
func ServiceGroup(name string) string { return servicePrefix + name }

const servicePrefix = "service:"

// ServiceOfGroup gives the name of the service that a group of tasks belongs to, and whether it is one's.
func ServiceOfGroup(group string) (string, bool) { return strings.CutPrefix(group, servicePrefix) }

// The tags that enableECSManagedTags asks for; the second is that of services' tasks alone.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html#managed-tags
const (
	TagClusterName = "aws:ecs:clusterName"
	TagServiceName = "aws:ecs:serviceName"
)

// ServiceARN names a service, in the long form.
func (p Place) ServiceARN(cluster, name string) string {
	return p.arn("service/" + cluster + "/" + name)
}

// ServiceEvent is one line of a service's history.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceEvent.html
type ServiceEvent struct {
	Cluster string `json:"cluster"`
	Service string `json:"service"`
	// Number grows by one with each event of the service.
	Number    int64  `json:"number"`
	ID        string `json:"id"`
	CreatedAt Millis `json:"createdAt"`
	Message   string `json:"message"`
}

// MaxServiceEvents is how many events of a service are kept.
const MaxServiceEvents = 100
