// Package events writes ECS's events out as EventBridge shapes them, and notes in the state which there are to be delivered.
//
// What happens is noted in two steps. [Outbox] runs at the end of each Update, inside its transaction, and keeps what changed
// in a short form; [Describe] makes JSON of it when it is delivered (package deliver). Both are functions of the change alone.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
package events

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// SourceECS is the source of ECS's own events.
const SourceECS = "aws.ecs"

// SourceEvents is the source of the events that schedules make.
const SourceEvents = "aws.events"

// DefaultBus is the event bus that AWS's services put events on.
const DefaultBus = "default"

// Detail types.
const (
	TypeTask       = "ECS Task State Change"
	TypeInstance   = "ECS Container Instance State Change"
	TypeService    = "ECS Service Action"
	TypeDeployment = "ECS Deployment State Change"
	TypeDaemon     = "ECS Daemon Service Action"
	TypeRollout    = "ECS Daemon Deployment State Change"
	TypeScheduled  = "Scheduled Event"
)

// Event is the envelope of every event.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
type Event struct {
	Version    string   `json:"version"`
	ID         string   `json:"id"`
	DetailType string   `json:"detail-type"`
	Source     string   `json:"source"`
	Account    string   `json:"account"`
	Time       string   `json:"time"`
	Region     string   `json:"region"`
	Resources  []string `json:"resources"`
	Detail     any      `json:"detail"`
}

// New makes an envelope without its detail; resources may be nil.
func New(p ecs.Place, id, source, detailType string, at ecs.Millis, resources ...string) *Event {
	if resources == nil {
		resources = []string{}
	}
	return &Event{
		Version: "0", ID: id, DetailType: detailType, Source: source, Account: p.Account,
		Time: at.Time().Format("2006-01-02T15:04:05Z"), Region: p.Region, Resources: resources,
	}
}

// JSON writes the event.
func (e *Event) JSON() (string, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return string(b), nil
}

// stableID makes an event's id of what the event is, so that one that is delivered twice is known by it.
func stableID(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprintln(parts...)))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // Version 8, RFC 9562.
	return id.String()
}

// instant is a time as details have it: milliseconds; nil for none.
func instant(m ecs.Millis) *string {
	if m == 0 {
		return nil
	}
	s := m.Time().Format("2006-01-02T15:04:05.000Z")
	return &s
}

// Described is an event with whose rules it is for.
type Described struct {
	*Event
	// JSON is the event written out.
	JSON string
	// Bus is that of the event; Rule is the key of the only rule it is for, or "".
	Bus, Rule string
	At        time.Time
}

// Describe writes the events of a record. The tables give what a task shows of its definition and its instance.
func Describe(p ecs.Place, t *state.Tables, r *state.EventRecord) ([]Described, error) {
	out := make([]Described, 0, len(r.Changes))
	for i := range r.Changes {
		c := &r.Changes[i]
		d := Described{Bus: c.Bus, Rule: c.Rule, JSON: c.Event, At: r.At.Time()}
		switch {
		case c.Task != nil:
			d.Event = taskEvent(p, t, c.Task, r.At)
		case c.Instance != nil:
			// Its version does not tell of its tasks; the record does.
			d.Event = instanceEvent(p, c.Instance, r.At, stableID(p.InstanceARN(c.Instance.Instance.Cluster, c.Instance.Instance.ID), r.Number, i))
		default:
			d.Event = new(Event)
			if err := json.Unmarshal([]byte(c.Event), d.Event); err != nil {
				return nil, fmt.Errorf("read a stored event: %w", err)
			}
		}
		if d.JSON == "" {
			var err error
			if d.JSON, err = d.Event.JSON(); err != nil {
				return nil, err
			}
		}
		if d.Bus == "" {
			d.Bus = DefaultBus
		}
		out = append(out, d)
	}
	return out, nil
}
