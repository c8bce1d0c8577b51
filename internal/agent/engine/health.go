package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// healthCheck is a container's, with ECS's defaults filled in.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
type healthCheck struct {
	args                           []string
	interval, timeout, startPeriod time.Duration
	retries                        int
}

// maxHealthOutput is how much of a check's output is kept, as the stock agent does.
const maxHealthOutput = 1024

// timedOutCode is the exit code that Docker gives a check that was not over in time, or could not be run.
const timedOutCode = -1

// healthCheckOf reads a definition; nil where nothing is to be checked. What the image has for it is ignored, as ECS does.
func healthCheckOf(c *ecs.ContainerDefinition) *healthCheck {
	h := c.HealthCheck
	if h == nil || len(h.Command) < 2 {
		return nil
	}
	check := &healthCheck{
		interval: seconds(h.Interval, 30), timeout: seconds(h.Timeout, 5), startPeriod: seconds(h.StartPeriod, 0), retries: 3,
	}
	if h.Retries != nil && *h.Retries > 0 {
		check.retries = int(*h.Retries)
	}
	switch h.Command[0] {
	case "CMD":
		check.args = h.Command[1:]
	case "CMD-SHELL":
		check.args = []string{"/bin/sh", "-c", h.Command[1]}
	default:
		return nil
	}
	return check
}

// seconds is a setting or its default.
func seconds(n *int32, otherwise int) time.Duration {
	if n == nil || *n <= 0 {
		return time.Duration(otherwise) * time.Second
	}
	return time.Duration(*n) * time.Second
}

// followHealth begins to check a container that runs, if it is to be checked. t.mu is held.
func (e *Engine) followHealth(t *task, i int, status *runtime.Status) {
	check := healthCheckOf(&t.definition.ContainerDefinitions[i])
	if check == nil {
		return
	}
	s := &t.state.Containers[i]
	if s.HealthStatus == "" {
		s.HealthStatus = ecs.HealthUnknown
		t.news, t.dirty = true, true
	}
	t.seen.containers[i].healthy = s.HealthStatus == ecs.HealthHealthy
	t.live[i].health = metadata.Health{Status: s.HealthStatus, Since: status.StartedAt}
	ctx, cancel := context.WithCancel(e.ctx)
	t.live[i].endHealth = cancel
	id, began := s.RuntimeID, status.StartedAt
	e.spawn(func() {
		defer cancel()
		e.checkHealth(ctx, t, i, id, began, check)
	})
}

// stopHealth ends the checks of a container that has ended. What was found last stays. t.mu is held.
func (t *task) stopHealth(i int) {
	if end := t.live[i].endHealth; end != nil {
		end()
		t.live[i].endHealth = nil
	}
}

// checkHealth checks a container until it has ended: an interval after its start, and an interval after each check's end.
// As with Docker, a container is healthy at the first success, and unhealthy after some failures in a row, of which those in
// the start period do not count until there was a success.
// https://docs.docker.com/reference/dockerfile/#healthcheck
func (e *Engine) checkHealth(ctx context.Context, t *task, i int, id string, began time.Time, check *healthCheck) {
	timer := time.NewTimer(check.interval)
	defer timer.Stop()
	for failures := 0; ; timer.Reset(check.interval) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		result, err := e.probe(ctx, id, check)
		if ctx.Err() != nil || errors.Is(err, runtime.ErrNotFound) || errors.Is(err, runtime.ErrNotRunning) {
			return // the container's end is told by who waits for it
		}
		e.observe(t, func() {
			if ctx.Err() != nil {
				return
			}
			starting := t.state.Containers[i].HealthStatus == ecs.HealthUnknown && begun.Sub(began) < check.startPeriod
			switch {
			case result.ExitCode == 0:
				failures, result.Status = 0, ecs.HealthHealthy
			case !starting:
				failures++
			}
			if failures >= check.retries {
				result.Status = ecs.HealthUnhealthy
			}
			e.noteHealth(t, i, result)
		})
	}
}

// noteHealth takes note of a check's result; its status is empty if that is as before. t.mu is held.
func (e *Engine) noteHealth(t *task, i int, result metadata.Health) {
	s, live := &t.state.Containers[i], &t.live[i]
	result.Since = live.health.Since
	if result.Status == "" || result.Status == s.HealthStatus {
		result.Status = s.HealthStatus
		live.health = result
		return
	}
	e.cfg.Log.Info("container's health changes", "task", t.run.ID, "container", s.Name, "health", result.Status, "exitCode", result.ExitCode)
	result.Since = time.Now()
	live.health = result
	s.HealthStatus = result.Status
	t.seen.containers[i].healthy = result.Status == ecs.HealthHealthy
	t.news, t.dirty = true, true
}

// probe runs a check once. An error is one of the container's end; any other failure is a result.
func (e *Engine) probe(ctx context.Context, id string, check *healthCheck) (metadata.Health, error) {
	limited, cancel := context.WithTimeout(ctx, check.timeout)
	defer cancel()
	var out headBuffer
	p, err := e.cfg.Runtime.Exec(limited, id, &runtime.ExecSpec{Args: check.args, Stdout: &out, Stderr: &out})
	code := timedOutCode
	if err == nil {
		code, err = p.Wait(limited)
	}
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		return metadata.Health{ExitCode: timedOutCode, Output: fmt.Sprintf("Health check exceeded timeout (%v)", check.timeout)}, nil
	case errors.Is(err, runtime.ErrNotFound) || errors.Is(err, runtime.ErrNotRunning):
		return metadata.Health{}, err
	case err != nil:
		return metadata.Health{ExitCode: timedOutCode, Output: head(err.Error())}, nil
	}
	return metadata.Health{ExitCode: code, Output: out.String()}, nil
}

func head(s string) string { return s[:min(len(s), maxHealthOutput)] }

// headBuffer keeps the beginning of what is written to it.
type headBuffer struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (h *headBuffer) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b = append(h.b, p[:min(len(p), maxHealthOutput-len(h.b))]...)
	return len(p), nil
}

func (h *headBuffer) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.b)
}
