package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// Endpoint is where containers ask about themselves, and for their credentials.
type Endpoint struct {
	// Key makes the ids in the paths, which nobody can guess and a restarted agent knows again.
	Key []byte
	// HostURL is the endpoint for containers on the host's network, such as http://127.0.0.1:51679; the others have
	// linkURL, which the network must bring there.
	HostURL string
}

// linkURL is ECS's address of the endpoint, which SDKs know by heart.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
const linkURL = "http://169.254.170.2"

// containerKey finds a container by the id in its endpoint's path.
type containerKey struct {
	task      ecs.TaskID
	container int
}

// endpointIDs are the ids under which a task's containers, and its roles, are known.
func (e *Engine) endpointID(use string, id ecs.TaskID, name string) string {
	h := hmac.New(sha256.New, e.cfg.Endpoint.Key)
	h.Write([]byte(use + "\x00" + id.String() + "\x00" + name))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (e *Engine) containerID(t *task, i int) string {
	return e.endpointID("container", t.run.ID, t.definition.ContainerDefinitions[i].Name)
}

func (e *Engine) roleID(t *task) string { return e.endpointID("task role", t.run.ID, "") }

// expose makes a task's containers known to the endpoint, and hide unknown. e.mu is held.
func (e *Engine) expose(t *task) {
	if e.cfg.Endpoint == nil {
		return
	}
	for i := range t.definition.ContainerDefinitions {
		e.exposed[e.containerID(t, i)] = containerKey{t.run.ID, i}
	}
	if t.role() != "" {
		e.roles[e.roleID(t)] = metadata.Role{Task: t.run.ID.String(), ARN: t.role()}
	}
}

func (e *Engine) hide(t *task) {
	if e.cfg.Endpoint == nil {
		return
	}
	for i := range t.definition.ContainerDefinitions {
		delete(e.exposed, e.containerID(t, i))
	}
	delete(e.roles, e.roleID(t))
}

// role is the task's own: that of its containers.
func (t *task) role() string {
	role, _ := t.definition.Roles(t.run.Overrides)
	return role
}

// endpointEnv is what leads a container's programs to its endpoints. Without a network there is no way to them.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
func (e *Engine) endpointEnv(t *task, i int) []ecs.KeyValuePair {
	if e.cfg.Endpoint == nil {
		return nil
	}
	base, credentials := linkURL, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	credentialsURL := "/v2/credentials/" + e.roleID(t)
	switch containerNetwork(t.definition, &t.definition.ContainerDefinitions[i]) {
	case ecs.NetworkNone:
		return nil
	case ecs.NetworkHost:
		base, credentials = e.cfg.Endpoint.HostURL, "AWS_CONTAINER_CREDENTIALS_FULL_URI"
		credentialsURL = base + credentialsURL
	}
	id := e.containerID(t, i)
	env := []ecs.KeyValuePair{pair("ECS_CONTAINER_METADATA_URI", base+"/v3/"+id), pair("ECS_CONTAINER_METADATA_URI_V4", base+"/v4/"+id), pair("ECS_AGENT_URI", base+"/api/"+id)}
	if t.role() != "" {
		env = append(env, pair(credentials, credentialsURL))
	}
	return env
}

func pair(name, value string) ecs.KeyValuePair { return ecs.KeyValuePair{Name: name, Value: &value} }

// Metadata is what the endpoint shows of the engine's tasks.
func (e *Engine) Metadata() metadata.Source { return shown{e} }

type shown struct{ e *Engine }

func (s shown) Find(id string) (*metadata.Task, int) {
	s.e.mu.Lock()
	key, ok := s.e.exposed[id]
	t := s.e.tasks[key.task]
	s.e.mu.Unlock()
	if !ok || t == nil {
		return nil, 0
	}
	return s.e.show(t), key.container
}

func (s shown) FindRole(id string) (metadata.Role, bool) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	r, ok := s.e.roles[id]
	return r, ok
}

func (s shown) Stats(ctx context.Context, runtimeID string) (*runtime.Stats, error) {
	meter, ok := s.e.cfg.Runtime.(runtime.Meter)
	if !ok {
		return nil, fmt.Errorf("this runtime measures nothing: %w", runtime.ErrNotFound)
	}
	return meter.Stats(ctx, runtimeID)
}

// show makes the snapshot of a task that its containers see.
func (e *Engine) show(t *task) *metadata.Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.definition
	v := &metadata.Task{
		ARN: t.run.ARN, Cluster: t.run.Cluster, Family: d.Family, Revision: d.Revision, LaunchType: first(t.run.LaunchType, ecs.LaunchEC2),
		Zone: e.cfg.Zone, Desired: ecs.TaskRunning, Known: t.status(),
		PullStarted: t.state.PullStartedAt.Time(), PullEnded: t.state.PullStoppedAt.Time(), ExecutionStopped: t.state.ExecutionStoppedAt.Time(),
		Containers: make([]metadata.Container, len(d.ContainerDefinitions)),
	}
	if service, ok := ecs.ServiceOfGroup(t.run.Group); ok {
		v.Service = service
	}
	if t.seen.stopping {
		v.Desired = ecs.TaskStopped
	}
	if cores, bytes, err := taskSize(d, t.run.Overrides); err == nil {
		v.CPUs, v.MemoryMiB = cores, bytes/mib
	}
	for i := range v.Containers {
		v.Containers[i] = t.showContainer(i, v.Desired)
	}
	return v
}

// showContainer is show for one container. t.mu is held.
func (t *task) showContainer(i int, desired ecs.TaskStatus) metadata.Container {
	c, s := t.container(i), &t.state.Containers[i]
	v := metadata.Container{
		RuntimeID: s.RuntimeID, Name: c.Name, Image: c.Image, ImageDigest: s.ImageDigest, Labels: maps.Clone(t.labels(c)), Ports: singly(s.NetworkBindings),
		Desired: desired, Known: s.LastStatus, ExitCode: s.ExitCode, CPU: float64(c.Cpu), LogDriver: logDriver(c),
		Created: s.StartedAt.Time(), Started: s.StartedAt.Time(), Finished: s.FinishedAt.Time(), Snapshotter: "overlayfs",
	}
	if i < len(t.run.ContainerARNs) {
		v.ARN = t.run.ContainerARNs[i]
	}
	switch {
	case c.Memory != nil:
		v.MemoryMiB = int64(*c.Memory)
	case c.MemoryReservation != nil:
		v.MemoryMiB = int64(*c.MemoryReservation)
	}
	if c.LogConfiguration != nil {
		v.LogOptions = c.LogConfiguration.Options
	}
	v.Networks = []metadata.Network{t.showNetwork(c, s.Address)}
	if restarts(c) {
		n := s.Restarts
		v.RestartCount = &n
	}
	if s.HealthStatus != "" {
		health := t.live[i].health
		health.Status = s.HealthStatus
		v.Health = &health
	}
	return v
}

// singly has a binding for each port of a range, as the endpoint of ECS's agent has.
func singly(bindings []ecs.NetworkBinding) []ecs.NetworkBinding {
	var out []ecs.NetworkBinding
	for _, b := range bindings {
		container := ecs.PortMapping{ContainerPortRange: b.ContainerPortRange}
		host := ecs.PortMapping{ContainerPortRange: b.HostPortRange}
		from, to, ok := container.Range()
		hostFrom, _, hostOK := host.Range()
		if !ok || !hostOK {
			out = append(out, b)
			continue
		}
		for n := range int32(to - from + 1) {
			c, h := int32(from)+n, int32(hostFrom)+n
			out = append(out, ecs.NetworkBinding{BindIP: b.BindIP, Protocol: b.Protocol, ContainerPort: &c, HostPort: &h})
		}
	}
	return out
}
