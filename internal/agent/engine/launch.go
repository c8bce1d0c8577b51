package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// launched is a container that was just started.
type launched struct {
	status   *runtime.Status
	shipment logs.Shipment
	bindings []ecs.NetworkBinding
	// address is the container's own on the bridge, or its task's.
	address netip.Addr
}

// launch makes and starts a container with its files, its log and its network. reason is empty, or why it failed, as ECS
// words it; nothing is left of it then.
func (e *Engine) launch(t *task, i int, image *runtime.Image) (l *launched, reason string) {
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	spec, err := t.makeSpec(i, image, e.cfg.Region)
	if err != nil {
		return nil, cannotCreate + err.Error()
	}
	env, err := e.secrets(ctx, t, i)
	if err != nil {
		return nil, err.Error()
	}
	spec.Env = withEnv(spec.Env, env)
	l = &launched{}
	if l.shipment, err = e.attach(ctx, t, i); err != nil {
		return nil, cannotStart + err.Error()
	}
	if err = e.begin(ctx, t, i, spec, l); err != nil {
		if l.shipment != nil {
			l.shipment.Close()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, timedOut
		}
		return nil, cannotStart + err.Error()
	}
	return l, ""
}

// begin sets up the network and starts the container in it.
func (e *Engine) begin(ctx context.Context, t *task, i int, spec *runtime.Spec, l *launched) error {
	def := &t.definition.ContainerDefinitions[i]
	ip, err := e.connect(ctx, t, def, spec, l)
	if err != nil {
		return err
	}
	if err = t.name(spec, def, ip); err == nil {
		l.status, err = e.cfg.Runtime.Start(ctx, spec)
	}
	if err != nil {
		if err := e.teardown(spec.ID, def, t.definition); err != nil {
			e.cfg.Log.Error("a network is left behind", "container", spec.ID, "err", err)
		}
	}
	return err
}

// attach begins to ship a container's output, if its log driver ships it; nil for none.
func (e *Engine) attach(ctx context.Context, t *task, i int) (logs.Shipment, error) {
	c := &t.definition.ContainerDefinitions[i]
	if !shipped(c) {
		return nil, nil
	}
	driver := logDriver(c)
	source := logs.Source{
		ContainerID: t.state.Containers[i].RuntimeID, ContainerName: c.Name, TaskID: t.run.ID.String(), Cluster: t.run.Cluster,
		Driver: driver, Options: c.LogConfiguration.Options,
	}
	switch {
	case e.cfg.Simulated && e.cfg.Logs != nil:
		return e.cfg.Logs.Attach(ctx, source)
	case e.cfg.Logs == nil || e.files.none():
		return nil, fmt.Errorf("failed to initialize logging driver: this agent has no %s", driver)
	}
	state := e.files.shipping(t.run.ID, c.Name)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	source.Path, source.State = e.files.log(t.run.ID, c), state
	return e.cfg.Logs.Attach(ctx, source)
}
