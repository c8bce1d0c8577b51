package state

import (
	"fmt"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/secrets"
)

// EventRule says which events go to which targets, or when its targets are called, or both.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Rule.html
type EventRule struct {
	Bus         string `json:"bus"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Pattern is the JSON of the event pattern, as it was given; "" for none.
	Pattern string `json:"pattern,omitempty"`
	// Schedule is a rate or cron expression; "" for none. NextAt is when it is due; 0 while the rule is disabled.
	Schedule string        `json:"schedule,omitempty"`
	NextAt   ecs.Millis    `json:"nextAt,omitempty"`
	RoleARN  string        `json:"roleArn,omitempty"`
	State    string        `json:"state"`
	Created  ecs.Millis    `json:"created,omitempty"`
	Targets  []EventTarget `json:"targets,omitempty"`
	Tags     []ecs.Tag     `json:"tags,omitempty"`
}

// States of a rule.
const (
	RuleEnabled  = "ENABLED"
	RuleDisabled = "DISABLED"
)

// Listens tells whether events are matched with the rule.
func (r *EventRule) Listens() bool {
	return r.State != RuleDisabled && r.Pattern != "" && len(r.Targets) > 0
}

// Key is the rule's in its table.
func (r *EventRule) Key() string { return r.Bus + "/" + r.Name }

// Target gives the target with an id, or nil.
func (r *EventRule) Target(id string) *EventTarget {
	for i := range r.Targets {
		if r.Targets[i].ID == id {
			return &r.Targets[i]
		}
	}
	return nil
}

// EventTarget is what a rule calls, and with what.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
type EventTarget struct {
	ID      string `json:"id"`
	ARN     string `json:"arn"`
	RoleARN string `json:"roleArn,omitempty"`
	// At most one of Input, InputPath and Transformer is set; without one the target gets the event.
	Input       *string           `json:"input,omitempty"`
	InputPath   *string           `json:"inputPath,omitempty"`
	Transformer *EventTransformer `json:"transformer,omitempty"`
	Task        *EventTask        `json:"task,omitempty"`
	HTTP        *EventHTTP        `json:"http,omitempty"`
	// MaxAgeSeconds and MaxRetries bound the retries; nil is AWS's default, a day and 185.
	MaxAgeSeconds *int32 `json:"maxAgeSeconds,omitempty"`
	MaxRetries    *int32 `json:"maxRetries,omitempty"`
}

// EventTransformer makes a target's input of parts of the event.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
type EventTransformer struct {
	Paths    map[string]string `json:"paths,omitempty"`
	Template string            `json:"template"`
}

// EventHTTP is what is added to the requests of an API destination.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_HttpParameters.html
type EventHTTP struct {
	Headers map[string]string `json:"headers,omitempty"`
	Query   map[string]string `json:"query,omitempty"`
	Path    []string          `json:"path,omitempty"`
}

// EventTask is the task that a target starts in the cluster that its ARN names.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_EcsParameters.html
type EventTask struct {
	Definition               string                             `json:"definition"`
	Count                    int32                              `json:"count"`
	LaunchType               string                             `json:"launchType,omitempty"`
	PlatformVersion          string                             `json:"platformVersion,omitempty"`
	CapacityProviderStrategy []ecs.CapacityProviderStrategyItem `json:"capacityProviderStrategy,omitempty"`
	EnableECSManagedTags     bool                               `json:"enableECSManagedTags,omitempty"`
	EnableExecuteCommand     bool                               `json:"enableExecuteCommand,omitempty"`
	Group                    string                             `json:"group,omitempty"`
	NetworkConfiguration     *ecs.NetworkConfiguration          `json:"networkConfiguration,omitempty"`
	PlacementConstraints     []ecs.PlacementConstraint          `json:"placementConstraints,omitempty"`
	PlacementStrategy        []ecs.PlacementStrategy            `json:"placementStrategy,omitempty"`
	PropagateTags            string                             `json:"propagateTags,omitempty"`
	ReferenceID              string                             `json:"referenceId,omitempty"`
	Tags                     []ecs.Tag                          `json:"tags,omitempty"`
}

// EventRecord is what one Update has to tell the rules, written with it and deleted when every target has it, or an
// EventRetry for it.
type EventRecord struct {
	// Number orders the records roughly by age and is never given twice at once.
	Number uint64     `json:"number"`
	At     ecs.Millis `json:"at"`
	// Changes has what is told; exactly one field of each is set, Rule aside.
	Changes []EventChange `json:"changes"`
}

// EventChange is one event in the shortest form: it is written out by package events when it is delivered.
type EventChange struct {
	Task     *ecs.Task      `json:"task,omitempty"`
	Instance *EventInstance `json:"instance,omitempty"`
	// Event is the JSON of a whole event. Bus is whose rules it is for.
	Event string `json:"event,omitempty"`
	Bus   string `json:"bus,omitempty"`
	// Rule is the key of the only rule that the event is for, that of a schedule; "" for all.
	Rule string `json:"rule,omitempty"`
}

// EventInstance is a container instance and what it shows of its tasks, as of the change.
type EventInstance struct {
	Instance ecs.Instance  `json:"instance"`
	InUse    ecs.Resources `json:"inUse"`
	Running  int32         `json:"running,omitempty"`
	Pending  int32         `json:"pending,omitempty"`
}

func eventRecordKey(v *EventRecord) string { return fmt.Sprintf("%020d", v.Number) }

// EventRetry is an event that a target has not taken yet.
type EventRetry struct {
	// Rule is the key of the target's rule, Target its id.
	Rule   string `json:"rule"`
	Target string `json:"target"`
	// EventID tells events apart.
	EventID string `json:"eventId"`
	Event   string `json:"event"`
	// First is when the event was, NextAt when the next attempt is due, Attempts how many there were.
	First    ecs.Millis `json:"first"`
	NextAt   ecs.Millis `json:"nextAt"`
	Attempts int32      `json:"attempts,omitempty"`
}

// Key is the retry's in its table: BUS/RULE/TARGET/EVENT.
func (r *EventRetry) Key() string { return r.Rule + "/" + r.Target + "/" + r.EventID }

// EventBus is a bus of one's own; the default one is there without a row.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_EventBus.html
type EventBus struct {
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Created     ecs.Millis `json:"created,omitempty"`
	Modified    ecs.Millis `json:"modified,omitempty"`
	Tags        []ecs.Tag  `json:"tags,omitempty"`
}

// Key is the bus's in its table.
func (b *EventBus) Key() string { return b.Name }

// Kinds of login of a connection, by their names at EventBridge.
const (
	ConnectionBasic  = "BASIC"
	ConnectionAPIKey = "API_KEY"
	ConnectionOAuth  = "OAUTH_CLIENT_CREDENTIALS"
)

// EventConnection is how API destinations are logged in to.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeConnection.html
type EventConnection struct {
	Name string `json:"name"`
	// ID ends the connection's ARN, so that one of a name that was used before has another one.
	ID          string `json:"id"`
	Description string `json:"description,omitempty"`
	// Type is ConnectionBasic or ConnectionAPIKey.
	Type string `json:"type"`
	// Login is the user's name of BASIC and the header's of API_KEY.
	Login string `json:"login"`
	// Parameters are added to each request.
	Parameters []EventParameter `json:"parameters,omitempty"`
	// Secret has the password or key, and the values of the parameters that are secret.
	Secret   secrets.Sealed `json:"secret"`
	Created  ecs.Millis     `json:"created,omitempty"`
	Modified ecs.Millis     `json:"modified,omitempty"`
}

// EventParameter is a header, a query string's or a body's member.
type EventParameter struct {
	// In is one of ParameterHeader, ParameterQuery and ParameterBody.
	In  string `json:"in"`
	Key string `json:"key"`
	// Value is "" if it is secret.
	Value  string `json:"value,omitempty"`
	Secret bool   `json:"secret,omitempty"`
}

// Places of an EventParameter.
const (
	ParameterHeader = "header"
	ParameterQuery  = "query"
	ParameterBody   = "body"
)

// Key is the connection's in its table.
func (c *EventConnection) Key() string { return c.Name }

// EventDestination is an HTTP endpoint that can be a target.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ApiDestination.html
type EventDestination struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Description string `json:"description,omitempty"`
	// Connection is the connection's name.
	Connection string `json:"connection"`
	Method     string `json:"method"`
	// Endpoint is a URL; each * in its path stands for a path parameter of the target's.
	Endpoint string `json:"endpoint"`
	// Rate is the most invocations a second.
	Rate     int32      `json:"rate"`
	Created  ecs.Millis `json:"created,omitempty"`
	Modified ecs.Millis `json:"modified,omitempty"`
}

// Key is the destination's in its table.
func (d *EventDestination) Key() string { return d.Name }
