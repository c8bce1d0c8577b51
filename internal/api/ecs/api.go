// Package ecsapi answers the Amazon ECS API from the state. There is one method per operation, with AWS's own input and output
// structs, and one file per resource. A method validates all of its input before it opens an update, so that refused
// input changes nothing; reads are answered from a snapshot.
//
// What an input asks for and the platform does not do yet is refused by one table, refusals, and never ignored.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Operations.html
package ecsapi

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// Config is what the API needs. Store and Place must be set; the rest has defaults.
type Config struct {
	Store *state.Store
	Place ecs.Place
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Connected tells whether an instance's agent has a connection right now; nil means that all have. It is called inside
	// updates and must not block.
	Connected func(ecs.InstanceID) bool
	// Health gives the checks of an instance; nil means that there are none.
	Health func(ecs.InstanceID) ecs.InstanceHealth
	// Endpoint gives the addresses, such as http://host:port, that an agent shall use for its sessions (ACS and TCS),
	// as it can reach them; nil leaves DiscoverPollEndpoint unsupported.
	Endpoint func(ctx context.Context) (acs, telemetry string)
	// ClientToken gives the clientToken member of a RegisterContainerInstance request, which agents send and the SDK's
	// struct lacks; nil means that there is none.
	ClientToken func(ctx context.Context) string
	// Caller gives the ARN of who sent a request, for registeredBy; nil leaves that out.
	Caller func(ctx context.Context) string
	// Agent gives the id of the key that a request was signed with if it is an agent's own, which may speak for the instances
	// it registered alone; "" is a user's, which may do all. nil means that all are users'.
	Agent func(ctx context.Context) string
	// MaxRunCount is the largest count of RunTask; 0 is ECS's own, 10.
	MaxRunCount int
	// TokenLifetime is how long a RunTask client token is remembered; 0 is 24 hours.
	TokenLifetime time.Duration
	// Exec begins sessions of ECS Exec; nil leaves ExecuteCommand unsupported.
	Exec Exec
	// Alarm gives the state of an alarm, and whether there is one of that name; nil leaves alarms of deployments unsupported.
	Alarm func(name string) (ecs.AlarmState, bool)
	// HookURLs lets life-cycle hooks of deployments name http and https URLs in place of Lambda functions.
	HookURLs bool
	// Subnets says what a subnet becomes that is named for the first time; the zero value adopts it without a zone.
	Subnets lifecycle.Subnets
	// AgentRelease is what UpdateContainerAgent brings Amazon's agents to; nil means that there are no updates.
	AgentRelease *ecs.AgentRelease
	Log          *slog.Logger
}

// API has the operations as methods. They may be called at once from many goroutines.
type API struct {
	Config
	throttles throttles
}

// New checks a configuration and makes the API of it.
func New(c Config) (*API, error) {
	if c.Store == nil {
		return nil, errors.New("ecs api: no store")
	}
	if c.Place.Account == "" || c.Place.Region == "" {
		return nil, errors.New("ecs api: no account or region")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Connected == nil {
		c.Connected = func(ecs.InstanceID) bool { return true }
	}
	if c.Health == nil {
		c.Health = func(ecs.InstanceID) ecs.InstanceHealth { return nil }
	}
	if c.Agent == nil {
		c.Agent = func(context.Context) string { return "" }
	}
	if c.MaxRunCount == 0 {
		c.MaxRunCount = 10
	}
	if c.TokenLifetime == 0 {
		c.TokenLifetime = 24 * time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &API{Config: c}, nil
}

func (a *API) now() ecs.Millis { return ecs.MillisOf(a.Now()) }

// str reads an optional string of the wire.
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
	kept := s // The argument itself would be on the heap for "" too.
	return &kept
}

// moment is nil for no moment.
func moment(m ecs.Millis) *time.Time {
	if m == 0 {
		return nil
	}
	t := m.Time()
	return &t
}
