package engine

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/agent/firelens"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/ecs"
)

// attach begins to ship a container's output, if its log driver ships it; nil for none. secrets are the values of its secret options.
func (e *Engine) attach(ctx context.Context, t *task, i int, secrets map[string]string) (logs.Shipment, error) {
	c := &t.definition.ContainerDefinitions[i]
	if !shipped(c) {
		return nil, nil
	}
	source := t.logSource(i)
	source.Secrets = secrets
	switch {
	case e.cfg.Simulated && e.cfg.Logs != nil:
		return e.cfg.Logs.Attach(ctx, source)
	case e.cfg.Logs == nil || e.files.none():
		return nil, fmt.Errorf("failed to initialize logging driver: this agent has no %s", source.Driver)
	}
	state := e.files.shipping(t.run.ID, c.Name)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	source.Path, source.State = e.files.log(t.run.ID, c), state
	return e.cfg.Logs.Attach(ctx, source)
}

// logSource is what the log driver is told of a container. The variables are the definition's own: what only the image or a secret
// sets is not to be had after a restart, or is nobody's to see.
func (t *task) logSource(i int) logs.Source {
	c := t.container(i)
	id := t.state.Containers[i].RuntimeID
	info := logs.Info{
		ContainerID: id, ContainerName: "/" + dockerName(t.definition, c.Name, id), ContainerEntrypoint: strings.Join(c.EntryPoint, " "), ContainerArgs: c.Command,
		ContainerImageID: t.state.Containers[i].ImageDigest, ContainerImageName: c.Image, ContainerCreated: t.state.PullStartedAt.Time(),
		ContainerEnv: env(c, nil, t.givenEnv(t.engine.cfg.Region)), ContainerLabels: t.labels(c), DaemonName: "docker",
	}
	source := logs.Source{
		ContainerID: id, ContainerName: c.Name, TaskID: t.run.ID.String(), Cluster: t.run.Cluster,
		Driver: logDriver(c), Options: c.LogConfiguration.Options, Info: info,
	}
	if firelens.Routed(c) && !t.engine.cfg.Simulated {
		t.routerSource(&source)
	}
	return source
}

// dockerName is the name that ECS's agent would give the container, as the metadata endpoint tells it.
func dockerName(d *ecs.TaskDefinition, container, id string) string {
	return fmt.Sprintf("ecs-%s-%d-%s-%s", d.Family, d.Revision, container, id[:min(len(id), 20)])
}

// logSecrets gives the values of a container's secret log options by name. They go nowhere but to its log driver.
func (e *Engine) logSecrets(ctx context.Context, t *task, i int) (map[string]string, error) {
	c := &t.definition.ContainerDefinitions[i]
	if c.LogConfiguration == nil || firelens.Routed(c) {
		return nil, nil
	}
	options := map[string]string{}
	err := e.eachSecret(ctx, t, c.LogConfiguration.SecretOptions, func(name, value string) { options[name] = value })
	return options, err
}

// lateTry is the pause between attempts to take up a shipment again, and lateEnd how long they go on once the container has ended:
// the secrets of a task that the server knows to have stopped are not given any more.
const (
	lateTry = 5 * time.Second
	lateEnd = time.Minute
)

// lateShipment is that of a container of an earlier process whose log options must be fetched first, from a server that may be away.
// Nothing is lost meanwhile: the output is in its file.
type lateShipment struct {
	cancel   context.CancelFunc
	draining chan struct{}
	once     sync.Once
	done     chan struct{}

	// These are good once done is closed.
	shipment logs.Shipment
	err      error
}

var _ logs.Shipment = (*lateShipment)(nil)

// attachLater takes a container's output up again, in the background.
func (e *Engine) attachLater(t *task, i int) logs.Shipment {
	ctx, cancel := context.WithCancel(e.ctx)
	l := &lateShipment{cancel: cancel, draining: make(chan struct{}), done: make(chan struct{})}
	e.spawn(func() {
		defer close(l.done)
		defer cancel()
		l.shipment, l.err = e.attachPatiently(ctx, t, i, l.draining)
	})
	return l
}

func (e *Engine) attachPatiently(ctx context.Context, t *task, i int, draining <-chan struct{}) (logs.Shipment, error) {
	var end <-chan time.Time
	for told := false; ; told = true {
		options, err := e.logSecrets(ctx, t, i)
		var shipment logs.Shipment
		if err == nil {
			shipment, err = e.attach(ctx, t, i, options)
		}
		if err == nil || ctx.Err() != nil {
			return shipment, err
		}
		if !told {
			e.cfg.Log.Warn("output cannot be shipped yet; trying again", "task", t.run.ID, "container", t.state.Containers[i].Name, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-draining:
			draining, end = nil, time.After(lateEnd)
		case <-end:
			return nil, err
		case <-time.After(lateTry):
		}
	}
}

func (l *lateShipment) Drain(ctx context.Context) error {
	l.once.Do(func() { close(l.draining) })
	select {
	case <-ctx.Done():
		return fmt.Errorf("output was not all sent: %w", ctx.Err())
	case <-l.done:
	}
	if l.err != nil {
		return l.err
	}
	return l.shipment.Drain(ctx)
}

func (l *lateShipment) Close() {
	l.cancel()
	<-l.done
	if l.shipment != nil {
		l.shipment.Close()
	}
}
