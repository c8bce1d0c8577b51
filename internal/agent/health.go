package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// checkTimeout is how long the container runtime may take to answer.
const checkTimeout = 10 * time.Second

// checkup checks the machine's container runtime, as Amazon's agent does, whenever the server asks for a sign of life. It
// outlives sessions, so that it knows since when things are as they are. It may be used from many goroutines.
type checkup struct {
	runtime runtime.Runtime
	// one is taken by the check that is under way: there is no second beside one that hangs.
	one chan struct{}

	mu   sync.Mutex
	last acs.StatusResult
}

func newCheckup(r runtime.Runtime) *checkup {
	now := seconds(time.Now())
	return &checkup{runtime: r, one: make(chan struct{}, 1), last: acs.StatusResult{
		Type: acs.CheckContainerRuntime, Status: domain.CheckInitializing, LastStatusChange: now, LastUpdated: now,
	}}
}

// run checks, within checkTimeout, and says what came of it; false while another check is under way.
func (c *checkup) run(ctx context.Context) (acs.InstanceStatus, bool) {
	select {
	case c.one <- struct{}{}:
	default:
		return acs.InstanceStatus{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	answered := make(chan error, 1)
	go func() {
		defer func() { <-c.one }()
		defer cancel()
		_, err := c.runtime.List(ctx)
		answered <- err
	}()
	var err error
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = fmt.Errorf("no answer within %v", checkTimeout)
	}
	return c.note(err), true
}

func (c *checkup) note(err error) acs.InstanceStatus {
	now := seconds(time.Now())
	status, reason := domain.CheckOK, ""
	if err != nil {
		status, reason = domain.CheckImpaired, err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.Status != status {
		c.last.LastStatusChange = now
	}
	c.last.Status, c.last.Reason, c.last.LastUpdated = status, reason, now
	return acs.InstanceStatus{Timestamp: now, Statuses: []acs.StatusResult{c.last}}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
