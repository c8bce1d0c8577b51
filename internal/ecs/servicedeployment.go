package ecs

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// ServiceRevision is what one deployment's tasks are, kept for the history of a service. It never changes.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html
type ServiceRevision struct {
	Cluster string `json:"cluster"`
	Service string `json:"service"`
	// ID is the digits of its deployment's id.
	ID                       string                         `json:"id"`
	CreatedAt                Millis                         `json:"createdAt"`
	Definition               DefinitionID                   `json:"definition"`
	LaunchType               string                         `json:"launchType,omitempty"`
	CapacityProviderStrategy []CapacityProviderStrategyItem `json:"capacityProviderStrategy,omitempty"`
	PlatformVersion          string                         `json:"platformVersion,omitempty"`
	NetworkConfiguration     *NetworkConfiguration          `json:"networkConfiguration,omitempty"`
	// Images are the definition's, as they were.
	Images []ContainerImage `json:"images,omitempty"`
}

// ContainerImage is the image of one container.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerImage.html
type ContainerImage struct {
	ContainerName string `json:"containerName"`
	Image         string `json:"image"`
	ImageDigest   string `json:"imageDigest,omitempty"`
}

// Key is the revision's in its table.
func (r *ServiceRevision) Key() string { return r.Cluster + "/" + r.Service + "/" + r.ID }

// ServiceDeploymentStatus is how far a service deployment is.
type ServiceDeploymentStatus string

// The states of a service deployment.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html
const (
	ServiceDeploymentPending            ServiceDeploymentStatus = "PENDING"
	ServiceDeploymentInProgress         ServiceDeploymentStatus = "IN_PROGRESS"
	ServiceDeploymentSuccessful         ServiceDeploymentStatus = "SUCCESSFUL"
	ServiceDeploymentStopRequested      ServiceDeploymentStatus = "STOP_REQUESTED"
	ServiceDeploymentStopped            ServiceDeploymentStatus = "STOPPED"
	ServiceDeploymentRollbackRequested  ServiceDeploymentStatus = "ROLLBACK_REQUESTED"
	ServiceDeploymentRollbackInProgress ServiceDeploymentStatus = "ROLLBACK_IN_PROGRESS"
	ServiceDeploymentRollbackSuccessful ServiceDeploymentStatus = "ROLLBACK_SUCCESSFUL"
	ServiceDeploymentRollbackFailed     ServiceDeploymentStatus = "ROLLBACK_FAILED"
)

// Ongoing tells whether a deployment has not come to its end.
func (s ServiceDeploymentStatus) Ongoing() bool {
	switch s {
	case ServiceDeploymentSuccessful, ServiceDeploymentStopped, ServiceDeploymentRollbackSuccessful, ServiceDeploymentRollbackFailed:
		return false
	}
	return true
}

// Stages of a rolling deployment's life, in their order. Those in which traffic is shifted are of other strategies.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html
const (
	StageReconcile   = "RECONCILE_SERVICE"
	StagePreScaleUp  = "PRE_SCALE_UP"
	StageScaleUp     = "SCALE_UP"
	StagePostScaleUp = "POST_SCALE_UP"
	StageBakeTime    = "BAKE_TIME"
	StageCleanUp     = "CLEAN_UP"
)

// ServiceDeployment is the rollout of one revision of a service, from its beginning to what became of it. While it goes on the
// service names it; the numbers of its revisions' tasks and failures are then the service's, and are kept here at its end.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html
type ServiceDeployment struct {
	Cluster string `json:"cluster"`
	Service string `json:"service"`
	// ID is 22 letters, digits, "-" and "_".
	ID            string                  `json:"id"`
	Status        ServiceDeploymentStatus `json:"status"`
	StatusReason  string                  `json:"statusReason,omitempty"`
	CreatedAt     Millis                  `json:"createdAt"`
	StartedAt     Millis                  `json:"startedAt,omitempty"`
	FinishedAt    Millis                  `json:"finishedAt,omitempty"`
	StoppedAt     Millis                  `json:"stoppedAt,omitempty"`
	UpdatedAt     Millis                  `json:"updatedAt,omitempty"`
	Stage         string                  `json:"stage,omitempty"`
	StageAt       Millis                  `json:"stageAt,omitempty"`
	Sources       []RevisionCounts        `json:"sources,omitempty"`
	Target        RevisionCounts          `json:"target"`
	Configuration DeploymentConfiguration `json:"configuration"`
	// FailureCount and Threshold are the circuit breaker's at the end, BreakerTriggered that it ended the deployment.
	FailureCount     int32    `json:"failureCount,omitempty"`
	Threshold        int32    `json:"threshold,omitempty"`
	BreakerTriggered bool     `json:"breakerTriggered,omitempty"`
	TriggeredAlarms  []string `json:"triggeredAlarms,omitempty"`
	// Rollback is set once one has begun.
	Rollback *Rollback `json:"rollback,omitempty"`
	// Hooks are those of the stages that it came to.
	Hooks []HookRun `json:"hooks,omitempty"`
}

// Key is the deployment's in its table.
func (d *ServiceDeployment) Key() string { return d.Cluster + "/" + d.Service + "/" + d.ID }

// RevisionCounts are numbers of tasks of a service revision.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevisionSummary.html
type RevisionCounts struct {
	// ID is the revision's.
	ID        string `json:"id"`
	Requested int32  `json:"requested,omitempty"`
	Running   int32  `json:"running,omitempty"`
	Pending   int32  `json:"pending,omitempty"`
}

// Rollback says to which revision a deployment went back, and why.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Rollback.html
type Rollback struct {
	Reason    string `json:"reason"`
	StartedAt Millis `json:"startedAt"`
	Revision  string `json:"revision"`
}

// What life-cycle hooks are, and what becomes of one that is not resolved in time.
const (
	HookLambda = "AWS_LAMBDA"
	HookPause  = "PAUSE"

	HookContinue = "CONTINUE"
	HookRollback = "ROLLBACK"
)

// LifecycleHook is a step of the user's at stages of deployments.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHook.html
type LifecycleHook struct {
	TargetType string   `json:"targetType"`
	TargetARN  string   `json:"targetArn,omitempty"`
	RoleARN    string   `json:"roleArn,omitempty"`
	Stages     []string `json:"stages"`
	// Details are a JSON value that the target gets with each call; "" is none.
	Details string `json:"details,omitempty"`
	// TimeoutMinutes is how long a stage waits for it; 0 is the default. TimeoutAction is what is done then.
	TimeoutMinutes int32  `json:"timeoutMinutes,omitempty"`
	TimeoutAction  string `json:"timeoutAction,omitempty"`
}

// The states of a hook at a stage.
const (
	HookAwaitingAction = "AWAITING_ACTION"
	HookInProgress     = "IN_PROGRESS"
	HookSucceeded      = "SUCCEEDED"
	HookFailed         = "FAILED"
	HookTimedOut       = "TIMED_OUT"
)

// HookRun is a hook at one stage of one deployment.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHookDetail.html
type HookRun struct {
	ID string `json:"id"`
	// Hook is its place in the deployment's configuration.
	Hook      int    `json:"hook"`
	Stage     string `json:"stage"`
	Status    string `json:"status"`
	StartedAt Millis `json:"startedAt"`
	ExpiresAt Millis `json:"expiresAt,omitempty"`
	// NextCall is when a target is to be called again, Calls how often it was, Failures how often in a row without an answer.
	NextCall Millis `json:"nextCall,omitempty"`
	Calls    int32  `json:"calls,omitempty"`
	Failures int32  `json:"failures,omitempty"`
	// Details are what the target answered last for its next call.
	Details string `json:"details,omitempty"`
	// Reason is why it failed.
	Reason string `json:"reason,omitempty"`
}

// NewDeploymentID makes ecs-svc/ and 19 digits, as ECS's are; the digits alone are the service revision's id.
func NewDeploymentID() string {
	n, err := rand.Int(rand.Reader, big.NewInt(8e18))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return fmt.Sprintf("%s%019d", deploymentPrefix, n.Int64()+1e18)
}

// NewServiceDeploymentID makes 22 random letters, digits, "-" and "_".
func NewServiceDeploymentID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

const deploymentPrefix = "ecs-svc/"

// RevisionID is the id of the service revision that the deployment rolls out.
func (d *Deployment) RevisionID() string { return strings.TrimPrefix(d.ID, deploymentPrefix) }

// DeploymentOfRevision is the id of the deployment that rolled a revision out: the startedBy of its tasks.
func DeploymentOfRevision(id string) string { return deploymentPrefix + id }

// ServiceRevisionARN names a revision of a service.
func (p Place) ServiceRevisionARN(cluster, service, id string) string {
	return p.arn("service-revision/" + cluster + "/" + service + "/" + id)
}

// ServiceDeploymentARN names a deployment of a service.
func (p Place) ServiceDeploymentARN(cluster, service, id string) string {
	return p.arn("service-deployment/" + cluster + "/" + service + "/" + id)
}

// TaskSetARN names a task set; its id is ecs-svc/ and digits.
func (p Place) TaskSetARN(cluster, service, id string) string {
	return p.arn("task-set/" + cluster + "/" + service + "/" + id)
}
