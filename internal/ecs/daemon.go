package ecs

import "strings"

// DaemonStatus is where a daemon is in its life.
type DaemonStatus string

// The states of a daemon. One that is being deleted is gone once its last task has stopped.
const (
	DaemonActive           DaemonStatus = "ACTIVE"
	DaemonDeleteInProgress DaemonStatus = "DELETE_IN_PROGRESS"
)

// Daemon keeps one task on each ACTIVE instance of its capacity providers.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DaemonDetail.html
type Daemon struct {
	Cluster   string       `json:"cluster"`
	Name      string       `json:"name"`
	Status    DaemonStatus `json:"status"`
	CreatedAt Millis       `json:"createdAt"`
	UpdatedAt Millis       `json:"updatedAt"`
	Tags      []Tag        `json:"tags,omitempty"`
	// ClientToken is that of its creation.
	ClientToken string `json:"clientToken,omitempty"`
	// Revisions are the ids of the one that is to run and of those that may still have tasks.
	Revisions []string `json:"revisions"`
	// Completed is the revision of the last deployment that was successful, for a rollback.
	Completed string `json:"completed,omitempty"`
	// Deployment is the id of the one that goes on, or of the last one.
	Deployment string `json:"deployment,omitempty"`
	// Failed says that the deployment of the revision that is to run failed: it is launched no more.
	Failed bool `json:"failed,omitempty"`
	// Unplaced is the instance that has no room for a task, as the last event has it.
	Unplaced *DaemonUnplaced `json:"unplaced,omitempty"`
}

// DaemonUnplaced says why an instance has no task of a daemon.
type DaemonUnplaced struct {
	Instance InstanceID `json:"instance"`
	// Reason is placement's.
	Reason string `json:"reason"`
	At     Millis `json:"at"`
}

// Key is the daemon's in its table.
func (d *Daemon) Key() string { return d.Cluster + "/" + d.Name }

// DaemonRevision is what the tasks of a daemon are. It never changes.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DaemonRevision.html
type DaemonRevision struct {
	Cluster string `json:"cluster"`
	Daemon  string `json:"daemon"`
	// ID is 19 digits.
	ID         string       `json:"id"`
	CreatedAt  Millis       `json:"createdAt"`
	Definition DefinitionID `json:"definition"`
	// CapacityProviders are their names.
	CapacityProviders    []string         `json:"capacityProviders"`
	Critical             bool             `json:"critical,omitempty"`
	PropagateTags        string           `json:"propagateTags,omitempty"`
	EnableECSManagedTags bool             `json:"enableECSManagedTags,omitempty"`
	EnableExecuteCommand bool             `json:"enableExecuteCommand,omitempty"`
	Images               []ContainerImage `json:"images,omitempty"`
}

// Key is the revision's in its table.
func (r *DaemonRevision) Key() string { return r.Cluster + "/" + r.Daemon + "/" + r.ID }

// StartedBy is what the revision's tasks are started by.
func (r *DaemonRevision) StartedBy() string { return daemonStarter + r.ID }

// RevisionOfStarter gives the daemon revision of a task's startedBy; "" if it is none's.
func RevisionOfStarter(startedBy string) string {
	id, ok := strings.CutPrefix(startedBy, daemonStarter)
	if !ok {
		return ""
	}
	return id
}

const daemonStarter = "ecs-daemon/"

// DaemonDeployment is the rollout of one revision of a daemon; its states are those of service deployments. The numbers of its revisions'
// tasks are counted while it goes on, and kept here at its end.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DaemonDeployment.html
type DaemonDeployment struct {
	Cluster string `json:"cluster"`
	Daemon  string `json:"daemon"`
	// ID is 22 letters, digits, "-" and "_".
	ID            string                        `json:"id"`
	Status        ServiceDeploymentStatus       `json:"status"`
	StatusReason  string                        `json:"statusReason,omitempty"`
	CreatedAt     Millis                        `json:"createdAt"`
	StartedAt     Millis                        `json:"startedAt,omitempty"`
	FinishedAt    Millis                        `json:"finishedAt,omitempty"`
	StoppedAt     Millis                        `json:"stoppedAt,omitempty"`
	UpdatedAt     Millis                        `json:"updatedAt,omitempty"`
	Configuration DaemonDeploymentConfiguration `json:"configuration"`
	// Target is the revision that is rolled out; "" where the daemon is deleted.
	Target string `json:"target,omitempty"`
	// Sources are those that it takes the place of.
	Sources []string `json:"sources,omitempty"`
	// ReadyAt is when all instances had a healthy task: the bake time begins then.
	ReadyAt Millis `json:"readyAt,omitempty"`
	// FailureCount counts launches that failed, RollbackFailures those of the rollback; Threshold is how many were too many at the end.
	FailureCount     int32 `json:"failureCount,omitempty"`
	RollbackFailures int32 `json:"rollbackFailures,omitempty"`
	Threshold        int32 `json:"threshold,omitempty"`
	// BreakerTriggered and TriggeredAlarms say what ended it. IgnoredAlarms were in ALARM when it began.
	BreakerTriggered bool      `json:"breakerTriggered,omitempty"`
	TriggeredAlarms  []string  `json:"triggeredAlarms,omitempty"`
	IgnoredAlarms    []string  `json:"ignoredAlarms,omitempty"`
	Rollback         *Rollback `json:"rollback,omitempty"`
	// Counts are its revisions' at the end.
	Counts []DaemonCounts `json:"counts,omitempty"`
}

// Key is the deployment's in its table.
func (d *DaemonDeployment) Key() string { return d.Cluster + "/" + d.Daemon + "/" + d.ID }

// DaemonDeploymentConfiguration is the ECS type of that name, with its defaults filled in.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DaemonDeploymentConfiguration.html
type DaemonDeploymentConfiguration struct {
	DrainPercent      float64  `json:"drainPercent"`
	BakeTimeInMinutes int32    `json:"bakeTimeInMinutes,omitempty"`
	AlarmNames        []string `json:"alarmNames,omitempty"`
	// Alarms says that they are looked at.
	Alarms bool `json:"alarms,omitempty"`
}

// AtOnce is on how many of so many instances a deployment may be without a task of a daemon at a time.
func (c *DaemonDeploymentConfiguration) AtOnce(instances int) int {
	return max(1, int(float64(instances)*c.DrainPercent/100))
}

// DaemonCounts are numbers of instances of one capacity provider, for one revision of a daemon.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DaemonDeploymentCapacityProvider.html
type DaemonCounts struct {
	Revision         string `json:"revision"`
	CapacityProvider string `json:"capacityProvider"`
	// Running have a task of the revision that runs, Draining one that is to stop.
	Running  int32 `json:"running,omitempty"`
	Draining int32 `json:"draining,omitempty"`
	// Without run no task of a daemon that is not critical; they are counted with the revision that is to run.
	Without int32 `json:"without,omitempty"`
}

const daemonPrefix = "daemon:"

// DaemonGroup is the group of a daemon's tasks.
func DaemonGroup(name string) string { return daemonPrefix + name }

// DaemonOfGroup gives the name of the daemon that a group of tasks belongs to, and whether it is one's.
func DaemonOfGroup(group string) (string, bool) { return strings.CutPrefix(group, daemonPrefix) }

// NewDaemonRevisionID makes 19 digits, as ECS's are.
func NewDaemonRevisionID() string {
	d := Deployment{ID: NewDeploymentID()}
	return d.RevisionID()
}

// DaemonARN names a daemon.
func (p Place) DaemonARN(cluster, name string) string { return p.arn("daemon/" + cluster + "/" + name) }

// DaemonRevisionARN names a revision of a daemon.
func (p Place) DaemonRevisionARN(cluster, daemon, id string) string {
	return p.arn("daemon-revision/" + cluster + "/" + daemon + "/" + id)
}

// DaemonDeploymentARN names a deployment of a daemon.
func (p Place) DaemonDeploymentARN(cluster, daemon, id string) string {
	return p.arn("daemon-deployment/" + cluster + "/" + daemon + "/" + id)
}

// IsWanted tells whether a task is to run and has not stopped.
func (t *Task) IsWanted() bool { return t.DesiredStatus == TaskRunning && t.LastStatus < TaskStopped }

// IsHealthy tells whether a task that is to run does, and is HEALTHY where there are health checks.
func (t *Task) IsHealthy() bool {
	return t.IsWanted() && t.LastStatus == TaskRunning && (t.HealthStatus == "" || t.HealthStatus == HealthHealthy)
}
