// Package oci runs containers by an OCI runtime (crun, runc) under a monitor process that outlives the agent.
// docs/design/runtime.md describes the two; package monitor is the other half.
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"

	"roadstead.dev/roadstead/internal/agent/monitor/cgroup"
	"roadstead.dev/roadstead/internal/agent/monitor/link"
	"roadstead.dev/roadstead/internal/agent/runtime"
)

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Meter   = (*Runtime)(nil)

	_ runtime.Restarter = (*Runtime)(nil)
)

// DefaultCgroupRoot is where containers' cgroups are when Config does not say.
const DefaultCgroupRoot = "/roadstead"

// Config is a runtime's settings.
type Config struct {
	// Dir is the monitor's directory: writable layers, OCI bundles and its socket. Agents of different Dirs know nothing of
	// each other.
	Dir string
	// CgroupRoot is the cgroup that containers' cgroups are made below, from the root of each hierarchy.
	CgroupRoot string
	// Command starts the monitor of Dir when none lives: program and arguments. Empty is this program with the arguments
	// "monitor --dir Dir".
	Command []string
	// OCIRuntime is used for containers that don't say; empty is the best that is installed.
	OCIRuntime string
	Log        *slog.Logger
}

// Runtime is a runtime.Runtime.
type Runtime struct {
	cfg    Config
	client *link.Client
	host   host
	groups *cgroup.Hierarchies
}

// New makes a Runtime. The monitor is started when it is first needed.
func New(cfg Config) (*Runtime, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.CgroupRoot == "" {
		cfg.CgroupRoot = DefaultCgroupRoot
	}
	if !filepath.IsAbs(cfg.Dir) || !path.IsAbs(cfg.CgroupRoot) || path.Clean(cfg.CgroupRoot) != cfg.CgroupRoot || cfg.CgroupRoot == "/" {
		return nil, fmt.Errorf("the container runtime needs an absolute directory and cgroup: %q, %q", cfg.Dir, cfg.CgroupRoot)
	}
	if len(cfg.Command) == 0 {
		cfg.Command = []string{"/proc/self/exe", "monitor", "--dir", cfg.Dir}
	}
	groups, err := cgroup.Find()
	if err != nil {
		return nil, err
	}
	host, err := readHost(groups)
	if err != nil {
		return nil, err
	}
	return &Runtime{cfg: cfg, host: host, groups: groups, client: link.NewClient(link.Config{Dir: cfg.Dir, Command: cfg.Command, Log: cfg.Log})}, nil
}

// Close lets go of the monitor. It and the containers live on.
func (r *Runtime) Close() error { return r.client.Close() }

// Start implements runtime.Runtime.
func (r *Runtime) Start(ctx context.Context, spec *runtime.Spec) (*runtime.Status, error) {
	if spec.Hold {
		var err error
		if spec, err = r.holder(spec); err != nil {
			return nil, fmt.Errorf("start container: %w", err)
		}
	}
	if spec.Image == nil || len(spec.Image.Layers) == 0 {
		return nil, errors.New("start container: it has no image")
	}
	if spec.ID == "" || len(spec.Args) == 0 {
		return nil, errors.New("start container: no command specified")
	}
	netNS, release, err := openNetNS(spec.NetNS)
	if err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	defer release()
	req, err := r.request(spec, netNS)
	if err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	status, err := r.client.Start(ctx, req)
	if err != nil {
		return nil, known(err)
	}
	return toStatus(status), nil
}

// Restart implements runtime.Restarter.
func (r *Runtime) Restart(ctx context.Context, id string, n int, netNS string) (*runtime.Status, error) {
	path, release, err := openNetNS(netNS)
	if err != nil {
		return nil, fmt.Errorf("restart container: %w", err)
	}
	defer release()
	if path == ofHost {
		path = ""
	}
	status, err := r.client.Restart(ctx, &link.RestartRequest{ID: id, N: n, NetNS: path})
	if err != nil {
		return nil, known(err)
	}
	return toStatus(status), nil
}

// openNetNS gives a path of a network namespace that means the same in the monitor's mount namespace: one that was mounted
// after the monitor started may not be seen there.
func openNetNS(name string) (path string, release func(), err error) {
	if name == "" || name == ofHost {
		return name, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", nil, fmt.Errorf("open the network namespace: %w", err)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()), func() { f.Close() }, nil
}

func (r *Runtime) request(spec *runtime.Spec, netNS string) (*link.StartRequest, error) {
	oci, err := r.host.spec(spec, netNS)
	if err != nil {
		return nil, err
	}
	group, err := r.cgroupPath(spec)
	if err != nil {
		return nil, err
	}
	oci.Linux.CgroupsPath = group
	config, err := json.Marshal(oci)
	if err != nil {
		return nil, err
	}
	req := &link.StartRequest{
		ID: spec.ID, Labels: spec.Labels, Runtime: spec.OCIRuntime, Config: config, Layers: spec.Image.Layers, User: spec.User,
		Cgroup: group, CgroupRoot: r.cfg.CgroupRoot, Terminal: spec.Terminal, Restartable: spec.Restartable,
		ParentCPUQuota: spec.ParentCPUQuota, ParentMemoryLimit: spec.ParentMemoryLimit,
		Log: link.Log{Path: spec.Log.Path, MaxBytes: spec.Log.MaxBytes, MaxFiles: spec.Log.MaxFiles},
	}
	req.PidNS, req.IpcNS, req.SharedPID = joined(spec.PidNS), joined(spec.IpcNS), spec.PidNS != ""
	if req.Runtime == "" {
		req.Runtime = r.cfg.OCIRuntime
	}
	if !spec.Privileged && !seccompUnconfined(spec.Linux.Security) {
		req.Seccomp, err = r.host.seccomp(oci)
	}
	return req, err
}

// cgroupPath is the container's cgroup, which cannot be outside the root.
func (r *Runtime) cgroupPath(spec *runtime.Spec) (string, error) {
	group := path.Join(r.cfg.CgroupRoot, path.Clean("/"+spec.CgroupParent), spec.ID)
	if path.Base(group) != spec.ID {
		return "", fmt.Errorf("%q cannot be an id", spec.ID)
	}
	return group, nil
}

// Wait implements runtime.Runtime.
func (r *Runtime) Wait(ctx context.Context, id string) (*runtime.Status, error) {
	status, err := r.client.Wait(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("wait for container: %w", known(err))
	}
	return toStatus(status), nil
}

// Kill implements runtime.Runtime.
func (r *Runtime) Kill(ctx context.Context, id string, signal int, all bool) error {
	if err := r.client.Call(ctx, link.MethodKill, link.KillRequest{ID: id, Signal: signal, All: all}, nil); err != nil {
		return fmt.Errorf("kill container: %w", known(err))
	}
	return nil
}

// Delete implements runtime.Runtime.
func (r *Runtime) Delete(ctx context.Context, id string, keepLogs bool) error {
	return known(r.client.Call(ctx, link.MethodDelete, link.DeleteRequest{ID: id, KeepLogs: keepLogs}, nil))
}

// List implements runtime.Runtime.
func (r *Runtime) List(ctx context.Context) ([]*runtime.Status, error) {
	var reply link.ListReply
	if err := r.client.Call(ctx, link.MethodList, struct{}{}, &reply); err != nil {
		return nil, fmt.Errorf("list containers: %w", known(err))
	}
	list := make([]*runtime.Status, len(reply.Containers))
	for i := range reply.Containers {
		list[i] = toStatus(&reply.Containers[i])
	}
	return list, nil
}

// Shutdown ends the monitor, if one lives, and waits until it is gone. It is refused while containers run, unless they are to be left running: another monitor takes
// them over when this or another Runtime of the directory next needs one.
func (r *Runtime) Shutdown(ctx context.Context, leave bool) error {
	return known(r.client.Shutdown(ctx, leave))
}

// known makes ErrNotFound and ErrNotRunning of the monitor's words for them.
func known(err error) error {
	var refusal *link.Error
	if !errors.As(err, &refusal) {
		return err
	}
	switch {
	case refusal.NotFound:
		return fmt.Errorf("%w: %w", runtime.ErrNotFound, err)
	case refusal.NotRunning:
		return fmt.Errorf("%w: %w", runtime.ErrNotRunning, err)
	}
	return err
}

func toStatus(s *link.Status) *runtime.Status {
	status := &runtime.Status{
		ID: s.ID, Labels: s.Labels, State: runtime.Running, Pid: s.Pid, StartedAt: s.StartedAt,
		Restarts: s.Restarts, ExitedAt: s.ExitedAt, ExitCode: s.ExitCode, OOMKilled: s.OOMKilled,
	}
	if s.State == link.StateExited {
		status.State = runtime.Exited
	}
	return status
}
