// Package eventbridge answers the operations of Amazon EventBridge that rules, their targets, schedules, event buses and API
// destinations need. What it writes is read by package events/deliver.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/Welcome.html
package eventbridge

import (
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// Exceptions that only this service has.
const (
	invalidPattern fault.Kind = "InvalidEventPatternException"
	resourceExists fault.Kind = "ResourceAlreadyExistsException"
)

// Config is what the API needs. All but Now and Log must be set.
type Config struct {
	Store  *state.Store
	Outbox *events.Outbox
	Keeper *secrets.Keeper
	Place  ecs.Place
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is told of what is stored and cannot be read; nil is none.
	Log *slog.Logger
}

// API has the operations as methods, which may be called at once from many goroutines.
type API struct {
	Config
	patterns *events.Patterns
}

// New checks a configuration.
func New(c Config) (*API, error) {
	if c.Store == nil || c.Outbox == nil || c.Keeper == nil || c.Place.Region == "" || c.Place.Account == "" {
		return nil, errors.New("eventbridge api: Store, Outbox, Keeper and Place must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &API{Config: c, patterns: events.NewPatterns(c.Log)}, nil
}

// Service makes the wire's service of the operations.
func (a *API) Service() *wire.Service {
	w := wire.NewService(wire.ServiceConfig{
		Name: "events", SigningName: "events", Protocol: wire.JSON11, TargetPrefix: "AWSEvents", APIVersion: "2015-10-07",
		Client: reflect.TypeFor[*sdk.Client](), Unsupported: fault.Unsupported, Internal: "InternalException",
	})
	wire.Handle(w, "PutRule", a.PutRule)
	wire.Handle(w, "DescribeRule", a.DescribeRule)
	wire.Handle(w, "ListRules", a.ListRules)
	wire.Handle(w, "DeleteRule", a.DeleteRule)
	wire.Handle(w, "EnableRule", a.EnableRule)
	wire.Handle(w, "DisableRule", a.DisableRule)

	wire.Handle(w, "PutTargets", a.PutTargets)
	wire.Handle(w, "RemoveTargets", a.RemoveTargets)
	wire.Handle(w, "ListTargetsByRule", a.ListTargetsByRule)
	wire.Handle(w, "ListRuleNamesByTarget", a.ListRuleNamesByTarget)

	wire.Handle(w, "TestEventPattern", a.TestEventPattern)
	wire.Handle(w, "PutEvents", a.PutEvents)

	wire.Handle(w, "CreateEventBus", a.CreateEventBus)
	wire.Handle(w, "UpdateEventBus", a.UpdateEventBus)
	wire.Handle(w, "DescribeEventBus", a.DescribeEventBus)
	wire.Handle(w, "ListEventBuses", a.ListEventBuses)
	wire.Handle(w, "DeleteEventBus", a.DeleteEventBus)

	wire.Handle(w, "CreateConnection", a.CreateConnection)
	wire.Handle(w, "UpdateConnection", a.UpdateConnection)
	wire.Handle(w, "DescribeConnection", a.DescribeConnection)
	wire.Handle(w, "ListConnections", a.ListConnections)
	wire.Handle(w, "DeleteConnection", a.DeleteConnection)

	wire.Handle(w, "CreateApiDestination", a.CreateApiDestination)
	wire.Handle(w, "UpdateApiDestination", a.UpdateApiDestination)
	wire.Handle(w, "DescribeApiDestination", a.DescribeApiDestination)
	wire.Handle(w, "ListApiDestinations", a.ListApiDestinations)
	wire.Handle(w, "DeleteApiDestination", a.DeleteApiDestination)

	wire.Handle(w, "TagResource", a.TagResource)
	wire.Handle(w, "UntagResource", a.UntagResource)
	wire.Handle(w, "ListTagsForResource", a.ListTagsForResource)
	return w
}

func (a *API) now() ecs.Millis { return ecs.MillisOf(a.Now()) }

func (a *API) tables() *state.Tables { return &a.Store.View().Tables }

// busOf reads a bus's name or ARN; nil is the default bus.
func (a *API) busOf(c *checks, v *string) string {
	if v == nil || *v == "" {
		return events.DefaultBus
	}
	if strings.HasPrefix(*v, "arn:") {
		if name, ok := events.BusOfARN(a.Place, *v); ok && plainName.MatchString(name) {
			return name
		}
		c.Add(constraint.Shown(*v), "eventBusName", "Member must be the ARN of an event bus of this account and region")
		return ""
	}
	return c.Text(v, "eventBusName", busNameForm)
}

func checkBus(t *state.Tables, name string) error {
	if name != events.DefaultBus && t.EventBuses.Get(name) == nil {
		return fault.New(fault.ResourceNotFound, "Event bus %s does not exist.", name)
	}
	return nil
}

// rule finds a rule.
func rule(t *state.Tables, bus, name string) (*state.EventRule, error) {
	if err := checkBus(t, bus); err != nil {
		return nil, err
	}
	r := t.EventRules.Get((&state.EventRule{Bus: bus, Name: name}).Key())
	if r == nil {
		return nil, fault.New(fault.ResourceNotFound, "Rule %s does not exist on EventBus %s.", name, bus)
	}
	return r, nil
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// ptr is nil for "", which the wire leaves out.
func ptr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func moment(m ecs.Millis) *time.Time {
	if m == 0 {
		return nil
	}
	t := m.Time()
	return &t
}
