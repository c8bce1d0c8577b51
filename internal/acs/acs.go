// Package acs is the protocol between the control plane and agents: the messages of Amazon's agent communication service
// that both sides need, and Roadstead's own, which agents and server use once both have said that they know them.
//
// A frame is one JSON object {"type": NAME, "message": {...}} in a websocket text message.
//
// An agent says that it is native with the attribute CapabilityNative at its registration and the query parameter
// roadstead=1 on the websocket. Then the server sends, in place of PayloadMessage, SyncMessage once after connecting and
// TasksMessage for each later change, and the agent reports with StatesMessage, in batches, in place of the Submit… calls.
// Every TasksMessage and StatesMessage is acknowledged by its id once its content is durable on the other side; what is
// not acknowledged when a connection ends is sent again on the next one. Both sides take a repeated message as nothing new.
package acs

import (
	"encoding/json"
	"fmt"

	"roadstead.dev/roadstead/internal/ecs"
)

// CapabilityNative is the attribute by which an agent says that it takes tasks in ECS's own terms.
const CapabilityNative = "roadstead.capability.native"

// MaxFrame is the largest frame that either side takes, in bytes.
const MaxFrame = 16 << 20

// Names of the messages.
const (
	TypeHeartbeat    = "HeartbeatMessage"
	TypeHeartbeatAck = "HeartbeatAckRequest"
	TypeSync         = "RoadsteadSyncMessage"
	TypeTasks        = "RoadsteadTasksMessage"
	TypeTasksAck     = "RoadsteadTasksAck"
	TypeStates       = "RoadsteadStatesMessage"
	TypeStatesAck    = "RoadsteadStatesAck"
)

// Heartbeat keeps a connection alive; the agent answers HeartbeatAck with the same id.
type Heartbeat struct {
	MessageID string `json:"messageId"`
	Healthy   bool   `json:"healthy"`
}

// HeartbeatAck answers a Heartbeat.
type HeartbeatAck struct {
	MessageID string `json:"messageId"`
}

// Tasks is what an agent has to do: start the tasks of Run, stop those of Stop. As a SyncMessage it is the whole truth
// for this instance: a task that the agent has and that is in neither list is unknown to the server and must end; for it
// the agent reports nothing. Large syncs come as one frame: task definitions are given once each.
type Tasks struct {
	MessageID   string                `json:"messageId"`
	Definitions []*ecs.TaskDefinition `json:"definitions,omitempty"`
	Run         []RunTask             `json:"run,omitempty"`
	// Stop are tasks whose desired status is STOPPED. An agent that does not have one reports it STOPPED.
	Stop []ecs.TaskID `json:"stop,omitempty"`
	// Exec are sessions of ECS Exec to hold, EndExec those to end.
	Exec    []ExecSession `json:"exec,omitempty"`
	EndExec []string      `json:"endExec,omitempty"`
}

// RunTask is one task to run. Its definition is among the message's Definitions.
type RunTask struct {
	ID         ecs.TaskID        `json:"id"`
	Cluster    string            `json:"cluster"`
	ARN        string            `json:"arn"`
	Definition ecs.DefinitionID  `json:"definition"`
	Group      string            `json:"group,omitempty"`
	LaunchType string            `json:"launchType,omitempty"`
	Overrides  *ecs.TaskOverride `json:"overrides,omitempty"`
	// ContainerARNs are in the order of the definition's containers.
	ContainerARNs []string `json:"containerArns"`
	// Known is the status that the server has for the task; an agent that has lost a task whose Known is past PENDING
	// (its journal is gone) must not start it again: it reports it STOPPED.
	Known ecs.TaskStatus `json:"known"`
	// EnableExecuteCommand asks for a way into the containers; they have the managed agent ExecuteCommandAgent then.
	EnableExecuteCommand bool `json:"enableExecuteCommand,omitempty"`
	// Interface is there for tasks in the network mode awsvpc.
	Interface *Interface `json:"interface,omitempty"`
}

// Interface is the network interface that a task's containers share.
type Interface struct {
	ecs.NetworkInterface
	// CIDR is the subnet's range; its first address is the gateway.
	CIDR string `json:"cidr"`
	// PrivateDNSName is the address's name.
	PrivateDNSName string `json:"privateDnsName"`
}

// TasksAck tells the server that the agent has journalled a Tasks message.
type TasksAck struct {
	MessageID string `json:"messageId"`
}

// States is a batch of what changed on the instance, oldest first.
type States struct {
	MessageID string      `json:"messageId"`
	Tasks     []TaskState `json:"tasks"`
}

// StatesAck tells the agent that a States message is durable.
type StatesAck struct {
	MessageID string `json:"messageId"`
}

// TaskState is what an agent knows of a task now. It is the whole of it, not a difference, so that a later one replaces an
// earlier one that was not sent yet. The server never takes a status backwards.
type TaskState struct {
	ID                 ecs.TaskID     `json:"id"`
	Status             ecs.TaskStatus `json:"status"`
	StopCode           string         `json:"stopCode,omitempty"`
	Reason             string         `json:"reason,omitempty"`
	PullStartedAt      ecs.Millis     `json:"pullStartedAt,omitempty"`
	PullStoppedAt      ecs.Millis     `json:"pullStoppedAt,omitempty"`
	StartedAt          ecs.Millis     `json:"startedAt,omitempty"`
	ExecutionStoppedAt ecs.Millis     `json:"executionStoppedAt,omitempty"`
	// Attachment is the state of the task's network interface, if it has one.
	Attachment ecs.AttachmentStatus `json:"attachment,omitempty"`
	// Containers is in the definition's order, one each.
	Containers []ecs.Container `json:"containers,omitempty"`
}

type frame struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message"`
}

// Encode makes a frame.
func Encode(name string, message any) ([]byte, error) {
	b, err := json.Marshal(struct {
		Type    string `json:"type"`
		Message any    `json:"message"`
	}{name, message})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return b, nil
}

// Decode takes a frame apart; the message is read with json.Unmarshal once its type is known.
func Decode(b []byte) (name string, message json.RawMessage, err error) {
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		return "", nil, fmt.Errorf("decode frame: %w", err)
	}
	if f.Type == "" || len(f.Message) == 0 {
		return "", nil, fmt.Errorf("decode frame: no type or no message")
	}
	return f.Type, f.Message, nil
}
