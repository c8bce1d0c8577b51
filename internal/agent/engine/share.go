package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// The values of pidMode and ipcMode.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
const (
	shareTask = "task"
	shareHost = "host"
	shareNone = "none"
)

// holderName is that of the container that keeps a task's shared namespaces, which is the stock agent's too.
const holderName = "~internal~ecs~pause"

// holds tells whether the task's containers share a namespace. A pid namespace ends with its first process, and none of the
// containers is there from the first to the last: so one that runs nothing keeps it, as with Amazon's agent.
func (t *task) holds() bool {
	return (t.definition.PidMode == shareTask || t.definition.IpcMode == shareTask) && !t.engine.cfg.Simulated
}

// holderID follows from the task's, so that what a crash left is found again.
func (t *task) holderID() string {
	sum := sha256.Sum256([]byte("namespaces of task " + t.run.ID.String()))
	return hex.EncodeToString(sum[:])
}

// share says what a container shares with others, or with the machine.
func (t *task) share(spec *runtime.Spec) {
	of := func(mode string) string {
		switch {
		case mode == shareHost:
			return shareHost
		case mode == shareTask && t.holds():
			return t.holderID()
		}
		return ""
	}
	spec.PidNS, spec.IpcNS, spec.NoShm = of(t.definition.PidMode), of(t.definition.IpcMode), t.definition.IpcMode == shareNone
}

// hold sees to it that the task's shared namespaces are there.
func (e *Engine) hold(ctx context.Context, t *task) error {
	if !t.holds() {
		return nil
	}
	t.holding.Lock()
	defer t.holding.Unlock()
	if t.held {
		return nil
	}
	spec := &runtime.Spec{
		ID: t.holderID(), Labels: t.labels(&ecs.ContainerDefinition{Name: holderName}), Hold: true, CPUShares: minimalShares,
		CgroupParent: "task-" + t.run.ID.String(),
	}
	if err := t.limit(spec, &ecs.ContainerDefinition{}); err != nil {
		return err
	}
	// The shared memory is the task's: of the sizes that its containers ask for it has the largest.
	for i := range t.definition.ContainerDefinitions {
		if l := t.definition.ContainerDefinitions[i].LinuxParameters; l != nil && l.SharedMemorySize != nil {
			spec.Linux.ShmSize = max(spec.Linux.ShmSize, int64(*l.SharedMemorySize)*mib)
		}
	}
	if _, err := e.cfg.Runtime.Start(ctx, spec); err != nil {
		return fmt.Errorf("share namespaces: %w", err)
	}
	t.held = true
	return nil
}

// heldBefore tells whether what an earlier process started to hold the task's namespaces runs. One that has ended makes room
// for another, which containers that are started from now on share.
func (e *Engine) heldBefore(ctx context.Context, t *task, status *runtime.Status) bool {
	if status == nil || status.State == runtime.Running {
		return status != nil
	}
	if err := e.cfg.Runtime.Delete(ctx, status.ID, false); err != nil {
		e.cfg.Log.Error("what held a task's namespaces cannot be removed", "task", t.run.ID, "err", err)
	}
	return false
}

// letGo removes what holds the task's namespaces. It may be done twice.
func (e *Engine) letGo(t *task) error {
	if !t.holds() {
		return nil
	}
	err := e.cfg.Runtime.Kill(e.ctx, t.holderID(), int(unix.SIGKILL), true)
	if errors.Is(err, runtime.ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = e.cfg.Runtime.Wait(e.ctx, t.holderID())
	}
	if err == nil {
		err = e.cfg.Runtime.Delete(e.ctx, t.holderID(), false)
	}
	if err != nil {
		return fmt.Errorf("let go of the task's namespaces: %w", err)
	}
	return nil
}
