package acs

import (
	"encoding/json"

	"roadstead.dev/roadstead/internal/ecs"
)

// CapabilityExec is the attribute by which an agent says that it has ECS Exec.
const CapabilityExec = "ecs.capability.execute-command"

// TypeExecEnded is the name of the message ExecEnded.
const TypeExecEnded = "RoadsteadExecEndedMessage"

// ExecSession is a session of ECS Exec that an agent is to hold: it runs the command with a terminal and speaks with the client,
// as package ssmsession has it, over a websocket of the session's own, which it opens at once and again whenever it breaks.
type ExecSession struct {
	ID string `json:"id"`
	// RuntimeID is the container's.
	RuntimeID string `json:"runtimeId"`
	Command   string `json:"command"`
	// Opened says that the agent has had it. One that does not know of it any more was restarted, and reports that it ended.
	Opened bool `json:"opened,omitempty"`
	// Log is where what the terminal shows is kept; nil is nowhere.
	Log *ecs.ExecLog `json:"log,omitempty"`
}

// ExecEnded tells the server of sessions that have ended. It is repeated for a session that the server asks for nevertheless.
type ExecEnded struct {
	Sessions []ExecEnd `json:"sessions"`
}

// ExecEnd is the end of a session.
type ExecEnd struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// ExecNote is a text message on a session's websocket. Binary ones are frames, passed on between agent and client.
type ExecNote struct {
	Event ExecEvent `json:"event"`
	// Client numbers the clients of a session: each connection is another.
	Client int64 `json:"client,omitempty"`
}

// Encode gives the note as it is sent.
func (n ExecNote) Encode() []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // it is of strings and numbers
	}
	return b
}

// ExecEvent says what an ExecNote tells.
type ExecEvent string

// What the server tells is that a client has come or gone. What the agent tells is that it has begun anew for the client that has
// come: what it sent before is not for that one, and that the session has ended and nothing follows.
const (
	ExecClientCame ExecEvent = "clientCame"
	ExecClientGone ExecEvent = "clientGone"
	ExecBegun      ExecEvent = "begun"
	ExecOver       ExecEvent = "over"
)
