package events

import (
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// serviceDetail is the detail of a service's action.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html
type serviceDetail struct {
	EventType            string   `json:"eventType"`
	EventName            string   `json:"eventName"`
	ClusterARN           string   `json:"clusterArn"`
	CapacityProviderARNs []string `json:"capacityProviderArns,omitempty"`
	Reason               string   `json:"reason,omitempty"`
	CreatedAt            *string  `json:"createdAt"`
}

// deploymentDetail is the detail of a change of a deployment.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
type deploymentDetail struct {
	EventType    string  `json:"eventType"`
	EventName    string  `json:"eventName"`
	DeploymentID string  `json:"deploymentId"`
	UpdatedAt    *string `json:"updatedAt"`
	Reason       string  `json:"reason"`
}

// eventType is INFO where nothing has gone wrong.
func eventType(name string) string {
	switch name {
	case ecs.ActionStartImpaired:
		return "WARN"
	case ecs.ActionPlacementFailure, deploymentFailed:
		return "ERROR"
	}
	return "INFO"
}

// actions adds the events of new lines of services' histories.
func (o *Outbox) actions(out []state.EventChange, lines []state.Change[ecs.ServiceEvent]) []state.EventChange {
	for _, ch := range lines {
		l := ch.New
		if l == nil || ch.Old != nil || l.Action == "" {
			continue
		}
		e := New(o.place, l.ID, SourceECS, TypeService, l.CreatedAt, o.place.ServiceARN(l.Cluster, l.Service))
		e.Detail = serviceDetail{
			EventType: eventType(l.Action), EventName: l.Action, ClusterARN: o.place.ClusterARN(l.Cluster), Reason: l.Reason, CreatedAt: instant(l.CreatedAt),
		}
		out = appendEvent(out, e)
	}
	return out
}

// Names of a deployment's events.
const (
	deploymentInProgress = "SERVICE_DEPLOYMENT_IN_PROGRESS"
	deploymentCompleted  = "SERVICE_DEPLOYMENT_COMPLETED"
	deploymentFailed     = "SERVICE_DEPLOYMENT_FAILED"
)

// deployments adds the events of deployments whose rollout came to another state.
func (o *Outbox) deployments(out []state.EventChange, changed []state.Change[ecs.Service], at ecs.Millis) []state.EventChange {
	for _, ch := range changed {
		if ch.New == nil {
			continue
		}
		for i := range ch.New.Deployments {
			d := &ch.New.Deployments[i]
			if d.RolloutState == "" || d.RolloutState == rolloutOf(ch.Old, d.ID) {
				continue
			}
			name := map[string]string{
				ecs.RolloutInProgress: deploymentInProgress, ecs.RolloutCompleted: deploymentCompleted, ecs.RolloutFailed: deploymentFailed,
			}[d.RolloutState]
			if name == "" {
				continue
			}
			arn := o.place.ServiceARN(ch.New.Cluster, ch.New.Name)
			e := New(o.place, stableID(arn, d.ID, d.RolloutState, at), SourceECS, TypeDeployment, at, arn)
			e.Detail = deploymentDetail{
				EventType: eventType(name), EventName: name, DeploymentID: d.ID, UpdatedAt: instant(d.UpdatedAt), Reason: d.RolloutStateReason,
			}
			out = appendEvent(out, e)
		}
	}
	return out
}

func rolloutOf(s *ecs.Service, deployment string) string {
	if s == nil {
		return ""
	}
	for i := range s.Deployments {
		if s.Deployments[i].ID == deployment {
			return s.Deployments[i].RolloutState
		}
	}
	return ""
}

// appendEvent adds an event that consists of texts and so can always be written.
func appendEvent(out []state.EventChange, e *Event) []state.EventChange {
	text, err := e.JSON()
	if err != nil {
		panic("events: " + err.Error())
	}
	return append(out, state.EventChange{Event: text})
}
