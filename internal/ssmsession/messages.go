package ssmsession

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// OpenDataChannel is the first message of a client, in a text message and not in a frame.
type OpenDataChannel struct {
	MessageSchemaVersion string `json:"MessageSchemaVersion"`
	RequestID            string `json:"RequestId"`
	TokenValue           string `json:"TokenValue"`
	ClientID             string `json:"ClientId"`
	ClientVersion        string `json:"ClientVersion"`
}

// Acknowledge is the payload of TypeAck: a frame of data has come. Each frame is acknowledged alone.
type Acknowledge struct {
	MessageType  string `json:"AcknowledgedMessageType"`
	MessageID    string `json:"AcknowledgedMessageId"`
	Sequence     int64  `json:"AcknowledgedMessageSequenceNumber"`
	IsSequential bool   `json:"IsSequentialMessage"`
}

// Closed is the payload of TypeClosed. Output is shown to the user.
type Closed struct {
	MessageID     string `json:"MessageId"`
	CreatedDate   string `json:"CreatedDate"`
	DestinationID string `json:"DestinationId"`
	SessionID     string `json:"SessionId"`
	MessageType   string `json:"MessageType"`
	SchemaVersion int    `json:"SchemaVersion"`
	Output        string `json:"Output"`
}

// HandshakeRequest is the first frame of data to a client.
type HandshakeRequest struct {
	AgentVersion           string         `json:"AgentVersion"`
	RequestedClientActions []ClientAction `json:"RequestedClientActions"`
}

// ClientAction is something that a client is to do before the session begins.
type ClientAction struct {
	ActionType       string `json:"ActionType"`
	ActionParameters any    `json:"ActionParameters"`
}

// SessionTypeParameters are those of the action SessionType.
type SessionTypeParameters struct {
	SessionType string `json:"SessionType"`
	Properties  any    `json:"Properties"`
}

// HandshakeResponse is the client's answer.
type HandshakeResponse struct {
	ClientVersion          string            `json:"ClientVersion"`
	ProcessedClientActions []ProcessedAction `json:"ProcessedClientActions"`
	Errors                 []string          `json:"Errors"`
}

// ProcessedAction is what became of a ClientAction.
type ProcessedAction struct {
	ActionType   string `json:"ActionType"`
	ActionStatus int    `json:"ActionStatus"`
	Error        string `json:"Error"`
}

// actionSucceeded is the ActionStatus of an action that was done.
const actionSucceeded = 1

// HandshakeComplete ends the handshake. CustomerMessage is shown to the user.
type HandshakeComplete struct {
	TimeToComplete  time.Duration `json:"HandshakeTimeToComplete"`
	CustomerMessage string        `json:"CustomerMessage"`
}

// Size is the payload of PayloadSize: a terminal's, in characters.
type Size struct {
	Columns uint32 `json:"cols"`
	Rows    uint32 `json:"rows"`
}

// Flag reads the payload of PayloadFlag; 0 for none.
func (f *Frame) Flag() Flag {
	if len(f.Payload) != 4 {
		return 0
	}
	return Flag(binary.BigEndian.Uint32(f.Payload))
}

// agentVersion is the version of Amazon's SSM agent whose data channel this is; clients look it up for what they may use.
const agentVersion = "3.1.1511.0"

// sessionType is that of ECS Exec's sessions.
const sessionType = "InteractiveCommands"

// NewHandshakeRequest is the payload with which a session for a terminal begins.
func NewHandshakeRequest() []byte {
	return mustMarshal(HandshakeRequest{AgentVersion: agentVersion, RequestedClientActions: []ClientAction{
		{ActionType: "SessionType", ActionParameters: SessionTypeParameters{SessionType: sessionType}},
	}})
}

// ReadHandshakeResponse reads the answer to NewHandshakeRequest. An error says why the client cannot go on.
func ReadHandshakeResponse(payload []byte) (*HandshakeResponse, error) {
	var r HandshakeResponse
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("handshake response: %w", err)
	}
	if len(r.Errors) > 0 {
		return nil, fmt.Errorf("handshake response: the client says: %.200q", r.Errors[0])
	}
	for _, a := range r.ProcessedClientActions {
		if a.ActionType == "SessionType" && a.ActionStatus == actionSucceeded {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("handshake response: the client did not take the session's type")
}

// NewHandshakeComplete is the payload that ends a handshake that took so long.
func NewHandshakeComplete(took time.Duration) []byte {
	return mustMarshal(HandshakeComplete{TimeToComplete: took})
}

// NewAck encodes the acknowledgement of a frame.
func NewAck(f *Frame, now time.Time) []byte {
	payload := mustMarshal(Acknowledge{MessageType: f.Type, MessageID: f.ID.String(), Sequence: f.Sequence, IsSequential: true})
	// The flags are those that clients set: SYN and FIN, a stream of one message.
	return (&Frame{Type: TypeAck, Schema: 1, Created: millis(now), Flags: 3, ID: uuid.New(), Payload: payload}).Append(nil)
}

// ReadAck reads the payload of TypeAck.
func ReadAck(payload []byte) (*Acknowledge, error) {
	var a Acknowledge
	if err := json.Unmarshal(payload, &a); err != nil {
		return nil, fmt.Errorf("acknowledgement: %w", err)
	}
	return &a, nil
}

// NewClosed encodes the frame that ends a client. output is shown to its user; "" is a session that ended by itself.
func NewClosed(session, output string, now time.Time) []byte {
	id := uuid.New()
	payload := mustMarshal(Closed{
		MessageID: id.String(), CreatedDate: fmt.Sprint(millis(now)), DestinationID: session, SessionID: session, MessageType: TypeClosed,
		SchemaVersion: 1, Output: output,
	})
	return (&Frame{Type: TypeClosed, Schema: 1, Created: millis(now), Flags: 3, ID: id, Payload: payload}).Append(nil)
}

func millis(t time.Time) uint64 { return uint64(max(1, t.UnixMilli())) }

// mustMarshal encodes what always can be.
func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
