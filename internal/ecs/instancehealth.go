package ecs

// InstanceCheckStatus is the outcome of a check of a container instance.
type InstanceCheckStatus string

// The outcomes, as in InstanceHealthCheckState.
const (
	CheckOK               InstanceCheckStatus = "OK"
	CheckImpaired         InstanceCheckStatus = "IMPAIRED"
	CheckInsufficientData InstanceCheckStatus = "INSUFFICIENT_DATA"
	CheckInitializing     InstanceCheckStatus = "INITIALIZING"
)

// Types of checks, as in InstanceHealthCheckType.
const (
	CheckContainerRuntime   = "CONTAINER_RUNTIME"
	CheckAgentConnectivity  = "AGENT_CONNECTIVITY"
	CheckDaemon             = "DAEMON"
	CheckAcceleratedCompute = "ACCELERATED_COMPUTE"
)

// InstanceCheck is one check of an instance. The times are 0 where there has been none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_InstanceHealthCheckResult.html
type InstanceCheck struct {
	Type    string
	Status  InstanceCheckStatus
	Reason  string
	Changed Millis
	Updated Millis
}

// InstanceHealth are the checks of an instance, each type once.
type InstanceHealth []InstanceCheck

// Overall is the most severe status of the checks; without any there is no data.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-health.html
func (h InstanceHealth) Overall() InstanceCheckStatus {
	for _, status := range []InstanceCheckStatus{CheckImpaired, CheckInsufficientData, CheckInitializing, CheckOK} {
		for i := range h {
			if h[i].Status == status {
				return status
			}
		}
	}
	return CheckInsufficientData
}
