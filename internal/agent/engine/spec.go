package engine

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/firelens"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// Labels that the engine puts on every container; the com.amazonaws.ecs ones are the stock agent's.
const (
	// LabelTask holds the task's id and marks a container as one of an engine's.
	LabelTask       = "dev.roadstead.task"
	labelCluster    = "com.amazonaws.ecs.cluster"
	labelContainer  = "com.amazonaws.ecs.container-name"
	labelTaskARN    = "com.amazonaws.ecs.task-arn"
	labelFamily     = "com.amazonaws.ecs.task-definition-family"
	labelRevision   = "com.amazonaws.ecs.task-definition-version"
	mib             = 1 << 20
	minimalShares   = 2
	defaultStopCode = int(unix.SIGTERM)
)

// networkMode is the task's, with ECS's default.
func networkMode(d *ecs.TaskDefinition) string {
	if d.NetworkMode == "" {
		return ecs.NetworkBridge
	}
	return d.NetworkMode
}

// containerNetwork is networkMode for one container: disableNetworking is none.
func containerNetwork(d *ecs.TaskDefinition, c *ecs.ContainerDefinition) string {
	if set(c.DisableNetworking) {
		return ecs.NetworkNone
	}
	return networkMode(d)
}

// logDriver is the container's, with Docker's default.
func logDriver(c *ecs.ContainerDefinition) string {
	if c.LogConfiguration == nil || c.LogConfiguration.LogDriver == "" {
		return "json-file"
	}
	return c.LogConfiguration.LogDriver
}

// shipped tells whether the container's log driver brings its output somewhere else.
func shipped(c *ecs.ContainerDefinition) bool {
	driver := logDriver(c)
	return driver != "json-file" && driver != "none"
}

// makeSpec resolves one container of a task: definition, override and image. What depends on the network (NetNS, host
// name and its files) is left to the caller.
func (t *task) makeSpec(i int, image *runtime.Image, region string) (*runtime.Spec, error) {
	c := t.container(i)
	id := t.state.Containers[i].RuntimeID
	spec := &runtime.Spec{
		ID: id, Labels: t.labels(c), Image: image,
		Args: arguments(c, image.Config.Entrypoint, image.Config.Cmd),
		Env:  env(c, image.Config.Env, append(t.givenEnv(region), t.engine.endpointEnv(t, i)...)),
		Cwd:  first(c.WorkingDirectory, image.Config.WorkingDir, "/"),
		User: first(c.User, image.Config.User),

		CPUShares:      uint64(max(c.Cpu, minimalShares)),
		CgroupParent:   "task-" + t.run.ID.String(),
		Privileged:     set(c.Privileged),
		ReadonlyRootfs: set(c.ReadonlyRootFilesystem),
		Terminal:       set(c.PseudoTerminal),
		Restartable:    restarts(c),
	}
	if len(spec.Args) == 0 {
		return nil, fmt.Errorf("no command specified")
	}
	if err := t.limit(spec, c); err != nil {
		return nil, err
	}
	for _, u := range c.Ulimits {
		spec.Ulimits = append(spec.Ulimits, runtime.Ulimit{Name: u.Name, Soft: limit(u.SoftLimit), Hard: limit(u.HardLimit)})
	}
	linux(spec, c)
	t.share(spec)
	for _, s := range c.SystemControls {
		if spec.Sysctls == nil {
			spec.Sysctls = map[string]string{}
		}
		spec.Sysctls[s.Namespace] = s.Value
	}
	if err := t.mounts(spec, c); err != nil {
		return nil, err
	}
	return spec, t.logSpec(spec, c)
}

// container is a container's definition with its overrides.
func (t *task) container(i int) *ecs.ContainerDefinition {
	def := &t.definition.ContainerDefinitions[i]
	return def.With(t.run.Overrides.Container(def.Name))
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// limit reads a ulimit; -1 is none.
func limit(n int32) uint64 {
	if n < 0 {
		return unix.RLIM_INFINITY
	}
	return uint64(n)
}

func (t *task) labels(c *ecs.ContainerDefinition) map[string]string {
	labels := make(map[string]string, len(c.DockerLabels)+6)
	for k, v := range c.DockerLabels {
		labels[k] = v
	}
	labels[LabelTask] = t.run.ID.String()
	labels[labelCluster] = t.run.Cluster
	labels[labelContainer] = c.Name
	labels[labelTaskARN] = t.run.ARN
	labels[labelFamily] = t.definition.Family
	labels[labelRevision] = strconv.Itoa(int(t.definition.Revision))
	return labels
}

// givenEnv is what ECS itself sets; a definition may set it otherwise.
func (t *task) givenEnv(region string) []ecs.KeyValuePair {
	execution := "AWS_ECS_EC2"
	if t.run.LaunchType == ecs.LaunchFargate {
		execution = "AWS_ECS_FARGATE"
	}
	return []ecs.KeyValuePair{
		{Name: "AWS_EXECUTION_ENV", Value: &execution}, {Name: "AWS_REGION", Value: &region}, {Name: "AWS_DEFAULT_REGION", Value: &region},
	}
}

// limit gives a container its memory and the task's limits. The task's own limits are those of the task's cgroup; the
// container is kept within them too, so that it cannot be given more than the whole.
func (t *task) limit(spec *runtime.Spec, c *ecs.ContainerDefinition) error {
	if c.Memory != nil {
		spec.MemoryLimit = int64(*c.Memory) * mib
	}
	if c.MemoryReservation != nil {
		spec.MemoryReservation = int64(*c.MemoryReservation) * mib
	}
	cores, bytes, err := taskSize(t.definition, t.run.Overrides)
	if err != nil {
		return err
	}
	spec.CPUQuota, spec.ParentCPUQuota, spec.ParentMemoryLimit = cores, cores, bytes
	if bytes > 0 && (spec.MemoryLimit == 0 || spec.MemoryLimit > bytes) {
		spec.MemoryLimit = bytes
	}
	return nil
}

// logSpec says where the output goes. max-size and max-file are json-file's, with Docker's units.
// https://docs.docker.com/engine/logging/drivers/json-file/
func (t *task) logSpec(spec *runtime.Spec, c *ecs.ContainerDefinition) error {
	driver := logDriver(c)
	if driver == "none" || t.engine.files.none() {
		return nil
	}
	spec.Log.Path = t.engine.files.log(t.run.ID, c)
	if c.LogConfiguration == nil || driver == firelens.Driver { // whose options are the router's
		return nil
	}
	if driver != "json-file" {
		var err error
		if spec.Log.MaxBytes, spec.Log.MaxFiles, err = logs.FileOptions(driver, c.LogConfiguration.Options); err != nil {
			return fmt.Errorf("failed to initialize logging driver: %w", err)
		}
		return nil
	}
	for name, value := range c.LogConfiguration.Options {
		var err error
		switch name {
		case "max-size":
			spec.Log.MaxBytes, err = dockerSize(value)
		case "max-file":
			spec.Log.MaxFiles, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("this agent does not support it")
		}
		if err != nil {
			return fmt.Errorf("log option %s=%s: %w", name, value, err)
		}
	}
	return nil
}

// dockerSize reads a size as Docker writes them: a number with k, m or g behind it, to the base of 1024.
func dockerSize(s string) (int64, error) {
	number, shift := strings.TrimSuffix(strings.ToLower(s), "b"), 0
	for suffix, by := range map[string]int{"k": 10, "m": 20, "g": 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, shift = n, by
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("not a size")
	}
	return n << shift, nil
}

// stopSignal reads an image's stop signal: SIGQUIT, QUIT or 3. 0 is for none or one that is not known.
func stopSignal(s string) int {
	if s == "" {
		return 0
	}
	if n, err := strconv.Atoi(s); err == nil {
		if n > 0 && n < 65 {
			return n
		}
		return 0
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	// Docker and systemd images name real-time signals; SIGRTMIN is 34 to a C library.
	if offset, ok := strings.CutPrefix(name, "SIGRTMIN+"); ok {
		if n, err := strconv.Atoi(offset); err == nil && n >= 0 && n <= 30 {
			return 34 + n
		}
		return 0
	}
	return int(unix.SignalNum(name))
}
