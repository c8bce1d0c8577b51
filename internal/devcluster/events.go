package devcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/api/eventbridge"
	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/deliver"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/wire"
)

// newEvents makes EventBridge's API, and readies the delivery.
func (p *plane) newEvents(api *ecsapi.API, outbox *events.Outbox, keeper *secrets.Keeper) (*wire.Service, error) {
	bridge, err := eventbridge.New(eventbridge.Config{Store: p.store, Outbox: outbox, Keeper: keeper, Place: p.cfg.Place, Log: p.cfg.Log})
	if err != nil {
		return nil, err
	}
	p.events = deliver.Config{
		Store: p.store, Place: p.cfg.Place, Outbox: outbox, Keeper: keeper, Limits: p.limits, Log: p.cfg.Log,
		WriteLog: func(ctx context.Context, group, stream string, at time.Time, message string) error {
			return writeLog(ctx, p.logs, group, stream, at, message)
		},
		RunTask: func(ctx context.Context, call deliver.TaskCall) error { return runTask(ctx, api, call) },
	}
	return bridge.Service(), nil
}

// writeLog writes an event into a stream, which it makes if need be. A group that is not there is not made.
func writeLog(ctx context.Context, logs *logstore.Store, group, stream string, at time.Time, message string) error {
	put := func() error {
		res, err := logs.Put(ctx, group, stream, []logstore.Input{{Time: at.UnixMilli(), Message: message}})
		if err == nil && res.TooOld+res.Expired+res.TooNew > 0 {
			return &deliver.Permanent{Err: fmt.Errorf("the log group %s takes no event of %v", group, at)}
		}
		return err
	}
	err := put()
	if fault.Is(err, fault.ResourceNotFound) {
		if err = logs.CreateStream(ctx, group, stream); err == nil || fault.Is(err, logstore.AlreadyExists) {
			err = put()
		}
	}
	return lasting(err)
}

// lasting marks what another attempt would meet again: a caller's mistakes.
func lasting(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	switch f.Kind {
	case fault.Unavailable, fault.Server, fault.Throttling, fault.LimitExceeded:
		return err
	}
	return &deliver.Permanent{Err: err}
}

// runTask starts a target's tasks. What finds no place yet may find one later; what a repeated token has started is not started again.
func runTask(ctx context.Context, api *ecsapi.API, call deliver.TaskCall) error {
	t := call.Task
	if t == nil {
		return &deliver.Permanent{Err: errors.New("the target has no EcsParameters")}
	}
	in := &sdk.RunTaskInput{
		Cluster: &call.Cluster, TaskDefinition: &t.Definition, Count: &t.Count, ClientToken: &call.Token, StartedBy: &call.StartedBy,
		LaunchType: types.LaunchType(t.LaunchType), EnableECSManagedTags: t.EnableECSManagedTags, EnableExecuteCommand: t.EnableExecuteCommand,
		CapacityProviderStrategy: mirror.Slice[types.CapacityProviderStrategyItem](t.CapacityProviderStrategy),
		PlacementConstraints:     mirror.Slice[types.PlacementConstraint](t.PlacementConstraints),
		PlacementStrategy:        mirror.Slice[types.PlacementStrategy](t.PlacementStrategy),
		PropagateTags:            types.PropagateTags(t.PropagateTags), Tags: mirror.Slice[types.Tag](t.Tags),
	}
	for _, m := range []struct {
		to  **string
		the string
	}{{&in.Group, t.Group}, {&in.PlatformVersion, t.PlatformVersion}, {&in.ReferenceId, t.ReferenceID}} {
		if m.the != "" {
			*m.to = &m.the
		}
	}
	if t.NetworkConfiguration != nil {
		network := mirror.Of[types.NetworkConfiguration](t.NetworkConfiguration)
		in.NetworkConfiguration = &network
	}
	// As at AWS the input is the task's override; an event that stands as it is has none of its members.
	var override types.TaskOverride
	if err := json.Unmarshal([]byte(call.Input), &override); err != nil {
		return &deliver.Permanent{Err: errors.New("the input is no task override")}
	}
	in.Overrides = &override
	out, err := api.RunTask(ctx, in)
	if err != nil {
		return lasting(err)
	}
	if len(out.Tasks) == 0 {
		reason := "no reason given"
		if len(out.Failures) > 0 && out.Failures[0].Reason != nil {
			reason = *out.Failures[0].Reason
		}
		return fmt.Errorf("no task was started: %s", reason)
	}
	return nil
}
