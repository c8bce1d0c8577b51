package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"roadstead.dev/roadstead/internal/agent/firelens"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Containers with the awsfirelens driver are shipped to their task's log router by the fluentd driver, over a socket in a directory that
// is mounted into the router.

// routerGrace is how long output is offered to a router that is gone, once the container has ended.
const routerGrace = 5 * time.Second

// needsOfRouter makes containers start after their log router, and the router end after their output is shipped. A router that itself
// waits for others is left out, as by Amazon's agent.
func (t *task) needsOfRouter() {
	r := firelens.Router(t.definition)
	if r < 0 || len(t.definition.ContainerDefinitions[r].DependsOn) > 0 {
		return
	}
	for i := range t.definition.ContainerDefinitions {
		if i != r && firelens.Routed(&t.definition.ContainerDefinitions[i]) {
			t.seen.containers[i].needs = append(t.seen.containers[i].needs, dependency{on: r, condition: conditionStart, logs: true})
		}
	}
}

// routerSource turns what the awsfirelens driver is told into what the fluentd driver is.
func (t *task) routerSource(s *logs.Source) {
	s.Driver, s.GiveUp = "fluentd", routerGrace
	s.Options = map[string]string{
		"fluentd-address": "unix://" + filepath.Join(t.engine.files.firelens(t.run.ID), "socket", filepath.Base(firelens.Socket)), "fluentd-async": "true",
		"fluentd-sub-second-precision": "true", "tag": s.ContainerName + "-firelens-" + s.TaskID,
	}
}

// route adds what a router, or a container whose output is routed, has beside its definition.
func (e *Engine) route(t *task, i int, spec *runtime.Spec) error {
	r := firelens.Router(t.definition)
	switch {
	case r < 0 || e.cfg.Simulated:
		return nil
	case i == r:
		return e.prepareRouter(t, r, spec)
	case !firelens.Routed(&t.definition.ContainerDefinitions[i]):
		return nil
	}
	t.mu.Lock()
	address := t.state.Containers[r].Address
	t.mu.Unlock()
	if host := firelens.Host(networkMode(t.definition), address); host != "" {
		spec.Env = withEnv(spec.Env, []string{"FLUENT_HOST=" + host, "FLUENT_PORT=" + firelens.Port})
	}
	return nil
}

// prepareRouter gives the router its configuration and its socket's directory.
func (e *Engine) prepareRouter(t *task, r int, spec *runtime.Spec) error {
	if e.files.none() {
		return errors.New("this agent keeps no files for a log router")
	}
	router := firelens.Task{Definition: t.definition, Network: networkMode(t.definition), Cluster: t.run.Cluster, ARN: t.run.ARN}
	text, err := router.Config()
	if err != nil {
		return err
	}
	dir := e.files.firelens(t.run.ID)
	socket, config := filepath.Join(dir, "socket"), filepath.Join(dir, "fluent.conf")
	if err := os.MkdirAll(socket, 0o700); err != nil {
		return fmt.Errorf("make the log router's directory: %w", err)
	}
	if err := os.Chmod(socket, 0o777); err != nil { // the router may be any user; the directories above keep others out
		return fmt.Errorf("make the log router's directory: %w", err)
	}
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the log router's configuration: %w", err)
	}
	c := &t.definition.ContainerDefinitions[r]
	if c.FirelensConfiguration.Type == "fluentd" && c.User == "" { // its image gives root's rights away otherwise
		spec.Env = withEnv(spec.Env, []string{"FLUENT_UID=0"})
	}
	// First: the task's own mounts may be within them.
	spec.Mounts = append([]runtime.Mount{{Source: socket, Target: filepath.Dir(firelens.Socket)}, {Source: config, Target: router.File()}}, spec.Mounts...)
	return nil
}

// routerSecrets are, for a router, the secret options of the containers whose output is routed, as variables that its configuration
// names.
func (e *Engine) routerSecrets(ctx context.Context, t *task, router int) (env []string, err error) {
	if t.definition.ContainerDefinitions[router].FirelensConfiguration == nil {
		return nil, nil
	}
	for i := range t.definition.ContainerDefinitions {
		c := &t.definition.ContainerDefinitions[i]
		if !firelens.Routed(c) {
			continue
		}
		err := e.eachSecret(ctx, t, c.LogConfiguration.SecretOptions, func(name, value string) {
			env = append(env, firelens.Variable(name, i)+"="+value)
		})
		if err != nil {
			return nil, err
		}
	}
	return env, nil
}
