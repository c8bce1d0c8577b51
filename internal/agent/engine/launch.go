package engine

import (
	"context"
	"errors"
	"net/netip"

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
	if env, err = e.routerSecrets(ctx, t, i); err != nil {
		return nil, err.Error()
	}
	spec.Env = withEnv(spec.Env, env)
	if err := e.route(t, i, spec); err != nil {
		return nil, cannotCreate + err.Error()
	}
	options, err := e.logSecrets(ctx, t, i)
	if err != nil {
		return nil, err.Error()
	}
	l = &launched{}
	if l.shipment, err = e.attach(ctx, t, i, options); err != nil {
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
	if err := e.hold(ctx, t); err != nil {
		return err
	}
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
