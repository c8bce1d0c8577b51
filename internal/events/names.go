package events

import (
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// arn begins EventBridge's ARNs.
func arn(p ecs.Place, kind string) string {
	return "arn:aws:events:" + p.Region + ":" + p.Account + ":" + kind + "/"
}

// RuleARN names a rule; the default bus is not in it.
func RuleARN(p ecs.Place, r *state.EventRule) string {
	if r.Bus == DefaultBus {
		return arn(p, "rule") + r.Name
	}
	return arn(p, "rule") + r.Bus + "/" + r.Name
}

// RuleOfARN gives the key of the rule that an ARN names.
func RuleOfARN(p ecs.Place, text string) (key string, ok bool) {
	name, ok := strings.CutPrefix(text, arn(p, "rule"))
	if !ok || name == "" {
		return "", false
	}
	if !strings.Contains(name, "/") {
		name = DefaultBus + "/" + name
	}
	return name, true
}

// BusARN names a bus.
func BusARN(p ecs.Place, name string) string { return arn(p, "event-bus") + name }

// BusOfARN gives the name of the bus that an ARN names.
func BusOfARN(p ecs.Place, text string) (name string, ok bool) {
	return strings.CutPrefix(text, arn(p, "event-bus"))
}

// ConnectionARN names a connection.
func ConnectionARN(p ecs.Place, c *state.EventConnection) string {
	return arn(p, "connection") + c.Name + "/" + c.ID
}

// DestinationARN names an API destination.
func DestinationARN(p ecs.Place, d *state.EventDestination) string {
	return arn(p, "api-destination") + d.Name + "/" + d.ID
}

// ConnectionOfARN finds the connection of an ARN; nil if there is none.
func ConnectionOfARN(p ecs.Place, t *state.Tables, text string) *state.EventConnection {
	name, _, _ := strings.Cut(strings.TrimPrefix(text, arn(p, "connection")), "/")
	if c := t.EventConnections.Get(name); c != nil && ConnectionARN(p, c) == text {
		return c
	}
	return nil
}

// DestinationOfARN finds the API destination of an ARN; nil if there is none.
func DestinationOfARN(p ecs.Place, t *state.Tables, text string) *state.EventDestination {
	name, _, _ := strings.Cut(strings.TrimPrefix(text, arn(p, "api-destination")), "/")
	if d := t.EventDestinations.Get(name); d != nil && DestinationARN(p, d) == text {
		return d
	}
	return nil
}

// TargetKind is what a target's ARN names.
type TargetKind int

// What can be a target.
const (
	TargetUnknown TargetKind = iota
	TargetLogs
	TargetHTTP
	TargetTask
)

// KindOf tells what a target's ARN names, and the name within: the log group's, the ARN itself, or the cluster's.
func KindOf(p ecs.Place, text string) (kind TargetKind, name string) {
	here := ":" + p.Region + ":" + p.Account + ":"
	if name, ok := strings.CutPrefix(text, "arn:aws:logs"+here+"log-group:"); ok {
		return TargetLogs, strings.TrimSuffix(name, ":*")
	}
	if name, ok := strings.CutPrefix(text, "arn:aws:ecs"+here+"cluster/"); ok {
		return TargetTask, name
	}
	if strings.HasPrefix(text, arn(p, "api-destination")) {
		return TargetHTTP, text
	}
	return TargetUnknown, ""
}
