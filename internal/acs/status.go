package acs

import (
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
)

// TypeInstanceStatus tells of the checks of the agent's machine. Amazon's agents send it over their telemetry connection,
// Roadstead's own over its one connection, upon a heartbeat.
const TypeInstanceStatus = "PublishInstanceStatusRequest"

// Names of checks and their outcomes as agents have them.
const (
	CheckContainerRuntime = "ContainerRuntime"
	checkEBSDaemon        = "EBSDaemon"
	checkNvidia           = "NVIDIA_ACCELERATED_HARDWARE"
)

// InstanceStatus is the message of TypeInstanceStatus. Times are in seconds since 1970.
type InstanceStatus struct {
	Timestamp float64        `json:"timestamp"`
	Statuses  []StatusResult `json:"statuses"`
}

// StatusResult is the last outcome of a check.
type StatusResult struct {
	Type             string                  `json:"type"`
	Status           ecs.InstanceCheckStatus `json:"status"`
	LastStatusChange float64                 `json:"lastStatusChange"`
	LastUpdated      float64                 `json:"lastUpdated"`
	// Reason is said by Roadstead's own agent alone.
	Reason string `json:"statusReason,omitempty"`
}

// maxReason is how much of a reason is kept, in bytes.
const maxReason = 256

// Health reads the checks that are known, each type once, as of now; times that are still to come are not believed.
func (s *InstanceStatus) Health(now time.Time) ecs.InstanceHealth {
	var out ecs.InstanceHealth
	seen := map[string]bool{}
	for i := range s.Statuses {
		r := &s.Statuses[i]
		kind := checkType(r.Type)
		if kind == "" || seen[kind] {
			continue
		}
		switch r.Status {
		case ecs.CheckOK, ecs.CheckImpaired, ecs.CheckInsufficientData, ecs.CheckInitializing:
		default:
			continue
		}
		seen[kind] = true
		out = append(out, ecs.InstanceCheck{
			Type: kind, Status: r.Status, Reason: strings.ToValidUTF8(r.Reason[:min(len(r.Reason), maxReason)], ""),
			Changed: millis(r.LastStatusChange, now), Updated: millis(r.LastUpdated, now),
		})
	}
	return out
}

// checkType is ECS's name of a check; "" for one that it has none for.
func checkType(name string) string {
	switch name {
	case CheckContainerRuntime:
		return ecs.CheckContainerRuntime
	case checkEBSDaemon:
		return ecs.CheckDaemon
	case checkNvidia:
		return ecs.CheckAcceleratedCompute
	}
	return ""
}

func millis(seconds float64, now time.Time) ecs.Millis {
	if !(seconds > 0) {
		return 0
	}
	return ecs.Millis(min(seconds*1000, float64(now.UnixMilli())))
}
