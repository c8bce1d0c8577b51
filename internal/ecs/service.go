package ecs

import (
	"math"
	"strings"
)

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
	// Controller is the deployment controller's type; "" is ECS.
	Controller string `json:"controller,omitempty"`
	// DesiredCount is the user's, and its controller's for a DAEMON: the instances that its tasks fit on.
	DesiredCount int32 `json:"desiredCount,omitempty"`
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
	// ServiceDeployment is the id of the one that goes on, or of the last one.
	ServiceDeployment string `json:"serviceDeployment,omitempty"`
	// TaskSets are an EXTERNAL service's in place of deployments, in the order of their creation.
	TaskSets []TaskSet `json:"taskSets,omitempty"`
	// Base is what an EXTERNAL service's task sets have of it: placement and whether commands can be executed.
	Base *Deployment `json:"base,omitempty"`
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
	// Rebalancing is how many tasks are being moved to other zones; RebalanceAt is until when that may take, and when the next such move
	// may begin.
	Rebalancing int32 `json:"rebalancing,omitempty"`
	// Blocked says that the event has been given of a deployment whose percentages let nothing be started or stopped.
	Blocked     bool   `json:"blocked,omitempty"`
	RebalanceAt Millis `json:"rebalanceAt,omitempty"`
}

// DeploymentConfiguration is the ECS type of that name, with its defaults filled in.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
type DeploymentConfiguration struct {
	MinimumHealthyPercent int32                     `json:"minimumHealthyPercent"`
	MaximumPercent        int32                     `json:"maximumPercent"`
	CircuitBreaker        *DeploymentCircuitBreaker `json:"circuitBreaker,omitempty"`
	BakeTimeInMinutes     int32                     `json:"bakeTimeInMinutes,omitempty"`
	EarlySuccess          *EarlySuccess             `json:"earlySuccess,omitempty"`
	Alarms                *DeploymentAlarms         `json:"alarms,omitempty"`
	Hooks                 []LifecycleHook           `json:"hooks,omitempty"`
}

// EarlySuccess is ECS's DeploymentEarlySuccessCriteria: a rollout is done once that part of its tasks is healthy.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
type EarlySuccess struct {
	Enable         bool  `json:"enable,omitempty"`
	HealthyPercent int32 `json:"healthyPercent,omitempty"`
	// Cleanup is BLOCKING or DEFERRED: whether the old tasks go before the deployment is done, or after.
	Cleanup string `json:"cleanup,omitempty"`
}

// When the old tasks of an early success go.
const (
	CleanupBlocking = "BLOCKING"
	CleanupDeferred = "DEFERRED"
)

// DeploymentAlarms is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentAlarms.html
type DeploymentAlarms struct {
	AlarmNames []string `json:"alarmNames,omitempty"`
	Enable     bool     `json:"enable,omitempty"`
	Rollback   bool     `json:"rollback,omitempty"`
}

// AlarmState is what an alarm says.
type AlarmState string

// The states of an alarm.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
const (
	AlarmOK               AlarmState = "OK"
	AlarmInAlarm          AlarmState = "ALARM"
	AlarmInsufficientData AlarmState = "INSUFFICIENT_DATA"
)

// DeploymentCircuitBreaker is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentCircuitBreaker.html
type DeploymentCircuitBreaker struct {
	Enable   bool `json:"enable,omitempty"`
	Rollback bool `json:"rollback,omitempty"`
	// ThresholdType and ThresholdValue say how many failures are too many; "" is BOUNDED_PERCENT of 50.
	ThresholdType  string `json:"thresholdType,omitempty"`
	ThresholdValue int32  `json:"thresholdValue,omitempty"`
	// KeepCount has the count of failures go on when a task is healthy, ECS's resetOnHealthyTask=false.
	KeepCount bool `json:"keepCount,omitempty"`
}

// How a threshold is meant.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ThresholdConfiguration.html
const (
	ThresholdCount            = "COUNT"
	ThresholdBoundedPercent   = "BOUNDED_PERCENT"
	ThresholdUnboundedPercent = "UNBOUNDED_PERCENT"
)

// Threshold is how many failed tasks trip the breaker of a service that is to have that many tasks: by default half of them, at
// least 3 and at most 200.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
func (b *DeploymentCircuitBreaker) Threshold(desired int32) int32 {
	kind, value := ThresholdBoundedPercent, int32(50)
	if b != nil && b.ThresholdType != "" {
		kind, value = b.ThresholdType, b.ThresholdValue
	}
	if kind == ThresholdCount {
		return max(1, value)
	}
	n := int32((int64(desired)*int64(value) + 99) / 100)
	if kind == ThresholdUnboundedPercent {
		return max(1, n)
	}
	return min(200, max(3, n))
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
	// ResetAt is when the newest of the healthy tasks was started for which FailedTasks was set back.
	ResetAt Millis `json:"resetAt,omitempty"`
}

// The stability of a task set.
const (
	StabilitySteady      = "STEADY_STATE"
	StabilityStabilizing = "STABILIZING"
)

// TaskSetDraining is the status of a task set that is being deleted; others are PRIMARY or ACTIVE.
const TaskSetDraining = "DRAINING"

// TaskSet is a part of a service whose deployments another system controls. Its deployment says what its tasks are and its role.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
type TaskSet struct {
	Deployment
	ExternalID string `json:"externalId,omitempty"`
	// ScalePercent is its part of the service's desired count.
	ScalePercent float64 `json:"scalePercent"`
	Tags         []Tag   `json:"tags,omitempty"`
	ClientToken  string  `json:"clientToken,omitempty"`
	Stability    string  `json:"stability"`
	StabilityAt  Millis  `json:"stabilityAt"`
	// Unplaced is why no place was found for a task when one was last looked for; "" when there was one.
	Unplaced string `json:"unplaced,omitempty"`
}

// Computed is how many tasks a task set is to have: its part of the service's desired count, rounded up.
func (t *TaskSet) Computed(desired int32) int32 {
	return int32(math.Ceil(float64(desired)*t.ScalePercent/100 - 1e-9))
}

// Key is the service's in its table.
func (s *Service) Key() string { return s.Cluster + "/" + s.Name }

// External tells whether the service has task sets in place of deployments.
func (s *Service) External() bool { return s.Controller == ControllerExternal }

// ControllerExternal is the deployment controller that leaves deployments to another system.
const ControllerExternal = "EXTERNAL"

// Primary is the deployment that is to be, or is, the service. It is nil in a service that ended and in an EXTERNAL one without a primary task
// set.
func (s *Service) Primary() *Deployment {
	for i := range s.TaskSets {
		if s.TaskSets[i].Status == DeploymentPrimary {
			return &s.TaskSets[i].Deployment
		}
	}
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
	// Action is the eventName under which EventBridge hears of it; "" for a line that is only here. Reason goes with it.
	Action string `json:"action,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Service actions that EventBridge hears of.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html
const (
	ActionSteadyState      = "SERVICE_STEADY_STATE"
	ActionTaskSetSteady    = "TASKSET_STEADY_STATE"
	ActionTasksStopped     = "TASKS_STOPPED"
	ActionStartImpaired    = "SERVICE_TASK_START_IMPAIRED"
	ActionPlacementFailure = "SERVICE_TASK_PLACEMENT_FAILURE"
)

// MaxServiceEvents is how many events of a service are kept.
const MaxServiceEvents = 100
