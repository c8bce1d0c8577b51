package devcluster

import (
	"context"
	"errors"
	"strings"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/execlink"
)

// execs is what the ECS API knows of sessions of ECS Exec.
type execs struct{ broker *execlink.Broker }

// Begin implements ecsapi.Exec.
func (e execs) Begin(ctx context.Context, instance ecs.InstanceID, runtimeID, command string, log *ecs.ExecLog) (*ecsapi.ExecSession, error) {
	id, token, err := e.broker.Begin(execlink.Target{Instance: instance, RuntimeID: runtimeID, Command: command, Log: log})
	switch {
	case errors.Is(err, execlink.ErrNotConnected):
		return nil, ecsapi.ErrExecNotConnected
	case errors.Is(err, execlink.ErrTooMany):
		return nil, ecsapi.ErrExecTooMany
	case err != nil:
		return nil, err
	}
	return &ecsapi.ExecSession{ID: id, Token: token, StreamURL: streamURL(ctx, id)}, nil
}

// streamURL is where the client of a session comes: where the caller has reached us already.
func streamURL(ctx context.Context, session string) string {
	host, _ := ctx.Value(hostKey{}).(string)
	return strings.Replace(host, "http", "ws", 1) + execlink.ClientPath + session + "?role=publish_subscribe"
}
